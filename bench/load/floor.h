/* SPDX-License-Identifier: Apache-2.0 */
/* What `acquire` and `acquire-nng` of load-floor have in common, so that they differ in nothing but the way to send. */
#ifndef BENCH_LOAD_FLOOR_H
#define BENCH_LOAD_FLOOR_H

enum {
	FLOOR_FOLLOWERS = 2,
	FLOOR_REQUEST_BYTES = 100, /* an acquire with a name of usual length */
	FLOOR_ANSWER_BYTES = 40,
};

enum floor_phase { FLOOR_WARMUP, FLOOR_MEASURE, FLOOR_OVER };

#endif
