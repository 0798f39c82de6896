/* SPDX-License-Identifier: Apache-2.0 */
/* The path of one acquire over nng's streams, used as lockd uses them: a receive with a callback on each connection,
 * and sends without one. Each of these is a process of its own, forked before anything of nng's was called in it, since
 * nng's threads do not survive a fork. One operation is outstanding. */
#ifndef BENCH_LOAD_FLOOR_NNG_H
#define BENCH_LOAD_FLOOR_NNG_H

#include "bench/load/floor.h"
#include "bench/load/floor_disk.h"
#include "bench/load/latency.h"

#include <stdatomic.h>
#include <stdint.h>

/* Both tell the port on which they listen by writing two bytes into `port_pipe`, which they close, and end with the one
 * that connects there. */
_Noreturn void floor_nng_follow(struct floor_disk *disk, int port_pipe);
_Noreturn void floor_nng_lead(struct floor_disk *disk, const uint16_t followers[FLOOR_FOLLOWERS], int port_pipe);

/* Asks the leader over and over until the phase is FLOOR_OVER; what began and ended in FLOOR_MEASURE is counted. */
_Noreturn void floor_nng_ask(uint16_t leader, const _Atomic enum floor_phase *phase, struct latency *latency);

#endif
