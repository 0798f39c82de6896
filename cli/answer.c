/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/answer.h"
#include "cli/document.h"
#include "cli/duration.h"
#include "cli/report.h"

#include <inttypes.h>
#include <stdio.h>

static const char *level_name(enum lockd_read_level level) {
	switch (level) {
	case LOCKD_READ_LINEARIZABLE: return "linearizable";
	case LOCKD_READ_SESSION: return "session";
	case LOCKD_READ_STALE: return "stale";
	}
	return "unknown"; /* of a newer cluster */
}

json_t *answer_document(const struct lockd_answer *answer) {
	return json_pack("{s:s, s:I, s:o, s:o}", "read", level_name(answer->level), "node", (json_int_t)answer->node,
			 "revision", document_id(answer->revision), "age_ms",
			 answer->age_ms < 0 ? json_null() : json_integer(answer->age_ms));
}

void answer_report(const struct arguments *arguments, const struct lockd_answer *answer) {
	char age[64] = "", text[32];

	if (!(arguments->given & OPTIONS_READING) || arguments_given(arguments, OPTION_JSON))
		return;
	if (answer->level == LOCKD_READ_STALE && answer->age_ms < 0) {
		(void)snprintf(age, sizeof age, ", never heard of a leader");
	} else if (answer->level == LOCKD_READ_STALE) {
		duration_format((uint64_t)answer->age_ms, text, sizeof text);
		(void)snprintf(age, sizeof age, ", heard of its leader %s ago", text);
	}
	report("%s: %s, node %" PRIu32 ", revision %" PRIu64 "%s", arguments->verb->name, level_name(answer->level),
	       answer->node, answer->revision, age);
}
