/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever wants to hear of all that is damaged, and not only of what is met first. A node ends at the first damage and has no
 * audit; an examination passes over what it was told of, and reads on. */
#ifndef LOCKD_IO_AUDIT_H
#define LOCKD_IO_AUDIT_H

#include "lockd/io/store.h"

#include <errno.h>

struct audit {
	void (*damage)(void *context, const char *sentence);
	void *context;
};

/* What becomes of a result: damage is told to the audit, if there is one, and becomes 0. */
static inline int audit_pass(const struct audit *audit, int r, const struct store_error *error) {
	if (r != -EBADMSG || !audit)
		return r;
	audit->damage(audit->context, error->text);
	return 0;
}

#endif
