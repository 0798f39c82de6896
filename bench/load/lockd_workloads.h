/* SPDX-License-Identifier: Apache-2.0 */
/* The workloads of load-lockd; bench/README.md says what each does and prints. */
#ifndef BENCH_LOAD_LOCKD_WORKLOADS_H
#define BENCH_LOAD_LOCKD_WORKLOADS_H

#include "bench/load/options.h"

void lockd_pairs(const struct options *options);
void lockd_handoff(const struct options *options);
void lockd_keepalive(const struct options *options);
void lockd_gap(const struct options *options);
void lockd_hold(const struct options *options);
void lockd_wait(const struct options *options);
void lockd_idle(const struct options *options);
void lockd_flood(const struct options *options);

#endif
