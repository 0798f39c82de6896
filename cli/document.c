/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/document.h"
#include "cli/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

json_t *document_text(const char *text) {
	return text && *text ? json_string(text) : json_null();
}

json_t *document_id(uint64_t id) {
	char text[24];

	(void)snprintf(text, sizeof text, "%" PRIu64, id);
	return json_string(text);
}

json_t *document_session(const struct lockd_session_info *session) {
	return json_pack("{s:o, s:o, s:o, s:I, s:o, s:I, s:I, s:I}", "id", document_text(session->id), "owner",
			 document_text(session->owner), "host", document_text(session->host), "pid",
			 (json_int_t)session->pid, "label", document_text(session->label), "ttl_ms",
			 (json_int_t)session->ttl_ms, "held", (json_int_t)session->held, "waiting",
			 (json_int_t)session->waiting);
}

int document_print(json_t *document, enum document_form form) {
	size_t flags = form == DOCUMENT_LINE ? JSON_COMPACT : JSON_INDENT(2);

	if (!document) {
		report("%s", strerror(ENOMEM));
		return EXIT_OTHER;
	}
	/* A failed write shows in the stream, where report_stdout() finds it. */
	(void)json_dumpf(document, stdout, flags | JSON_PRESERVE_ORDER);
	(void)putchar('\n');
	json_decref(document);
	return 0;
}
