/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
	enum log_level level;
	bool journal;
} log_state = {.level = LOG_LEVEL_INFO};

/* $JOURNAL_STREAM alone does not tell: it is inherited by children whose stderr goes elsewhere. */
static bool stderr_is_journal(void) {
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	if (!stream || sscanf(stream, "%llu:%llu", &device, &inode) != 2 || fstat(STDERR_FILENO, &st) < 0)
		return false;
	return st.st_dev == device && st.st_ino == inode;
}

void log_init(enum log_level level) {
	log_state.level = level;
	log_state.journal = stderr_is_journal();
}

bool log_level_parse(const char *text, enum log_level *ret) {
	static const struct {
		const char *name;
		enum log_level level;
	} names[] = {{"error", LOG_LEVEL_ERROR},
		     {"warning", LOG_LEVEL_WARNING},
		     {"info", LOG_LEVEL_INFO},
		     {"debug", LOG_LEVEL_DEBUG}};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (strcmp(text, names[i].name) == 0) {
			*ret = names[i].level;
			return true;
		}
	}
	return false;
}

void log_line(enum log_level level, const char *format, ...) {
	char line[2048];
	int n = 0, more;
	va_list args;

	if (level > log_state.level)
		return;

	if (log_state.journal)
		n = snprintf(line, sizeof line, "<%d>", (int)level);
	va_start(args, format);
	more = vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
	va_end(args);
	if (more < 0)
		return;

	n += more;
	if ((size_t)n > sizeof line - 2)
		n = sizeof line - 2;
	line[n++] = '\n';
	/* There is nowhere to report that the log cannot be written. */
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}

const char *log_clean(const void *text, size_t n, char *out, size_t out_bytes) {
	const unsigned char *in = text;
	size_t i;

	for (i = 0; i < n && i + 1 < out_bytes; i++)
		out[i] = in[i] < 0x20 || in[i] >= 0x7f || in[i] == '"' || in[i] == '\\' ? '?' : (char)in[i];
	out[i] = '\0';
	return out;
}
