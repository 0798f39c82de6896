/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines on stderr: a few words, then key=value pairs. Under journald each line begins with its level, "<6>";
 * journald adds the time. Each line is one write(), so lines of several threads do not mix. Steady state logs nothing.
 */
#ifndef LOCKD_IO_LOG_H
#define LOCKD_IO_LOG_H

#include <stdbool.h>
#include <stddef.h>

/* The numbers of syslog(3), which journald reads. */
enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* Before other threads exist. Lines above `level` are dropped. The prefix is written if stderr is the journal's stream
 * ($JOURNAL_STREAM names its device and inode). */
void log_init(enum log_level level);

/* "error", "warning", "info" or "debug" → *ret; false: none of them. */
bool log_level_parse(const char *text, enum log_level *ret);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Text of a stranger, fit to stand between quotes in a line: control characters, quotes and bytes above ASCII become
 * '?', what does not fit is cut. Returns `out`. */
const char *log_clean(const void *text, size_t n, char *out, size_t out_bytes);

#endif
