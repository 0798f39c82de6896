/* SPDX-License-Identifier: Apache-2.0 */
#include "failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int failure(struct store_error *error, int r, const char *format, ...) {
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(error->text, sizeof error->text, format, arguments);
	va_end(arguments);
	return r;
}

int failure_errno(struct store_error *error, const char *what, const char *path) {
	int code = errno;

	return failure(error, code == ENOSPC ? STORE_FULL : -code, "cannot %s %s: %s", what, path, strerror(code));
}

int failure_read(struct store_error *error, const char *path) {
	int r = failure_errno(error, "read", path);

	return r == -EIO ? -EBADMSG : r;
}
