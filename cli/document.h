/* SPDX-License-Identifier: Apache-2.0 */
/* JSON that is more than a table. */
#ifndef CLI_DOCUMENT_H
#define CLI_DOCUMENT_H

#include <jansson.h>
#include <stdint.h>

struct lockd_session_info;

/* Missing or empty text is null, as in tables. */
json_t *document_text(const char *text);
/* Tokens and revisions: a string, since a double holds 53 bits only. */
json_t *document_id(uint64_t id);
json_t *document_session(const struct lockd_session_info *session);

enum document_form { DOCUMENT_INDENTED, DOCUMENT_LINE };

/* Prints to stdout and drops the reference; NULL, from a constructor that had no memory, is an error here. 0, or an
 * exit status after a message. */
int document_print(json_t *document, enum document_form form);

#endif
