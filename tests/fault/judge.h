/* SPDX-License-Identifier: Apache-2.0 */
/* Opens what is left of a folder and says which of the expectations it meets. */
#ifndef TESTS_FAULT_JUDGE_H
#define TESTS_FAULT_JUDGE_H

#include "run.h"

struct judge {
	uint64_t opened; /* images so far, those within images included */
	uint64_t recoveries; /* of them: cut while they were being opened */
	char why[640];   /* of the last refusal or contradiction */
};

/* store_open() and store_load(). 0 or what they return; on failure nothing stays open. */
int judge_open(const char *folder, uint64_t reserve, struct store **ret, struct node *node, struct store_error *error);

/* The position of the expectation that the image meets; −1: of none, judge->why says what was found. An image that meets one
 * must also take a further write and open again, and with `seed` not 0 a power cut while it is being opened must leave one of
 * the expectations, too. Takes over the image. */
int judge_image(struct judge *judge, struct medium *image, const struct expectation *expected, size_t n, uint64_t reserve,
                uint64_t seed);

#endif
