/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to a data folder in its life, as short stories. */
#ifndef TESTS_FAULT_STORIES_H
#define TESTS_FAULT_STORIES_H

#include "run.h"

extern const struct story stories[];
extern const size_t n_stories;

#endif
