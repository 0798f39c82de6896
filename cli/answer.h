/* SPDX-License-Identifier: Apache-2.0 */
/* What a list that was read is worth: at which level, by whom, how old. */
#ifndef CLI_ANSWER_H
#define CLI_ANSWER_H

#include "cli/arguments.h"

#include <jansson.h>
#include <lockd/lockd.h>

json_t *answer_document(const struct lockd_answer *answer);

/* For people, a line on stderr where the command line says how to read; others know what they get. */
void answer_report(const struct arguments *arguments, const struct lockd_answer *answer);

#endif
