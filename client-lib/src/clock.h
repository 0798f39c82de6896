/* SPDX-License-Identifier: Apache-2.0 */
/* Time as the holder of a lease counts it: CLOCK_BOOTTIME in microseconds, which goes on while the machine sleeps.
 * Waiting is done on CLOCK_MONOTONIC, the only steady clock that condition variables know, so whoever waits looks at
 * the clock again behind every wait. */
#ifndef CLIENT_CLOCK_H
#define CLIENT_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define LOCKD__NEVER INT64_MAX

int64_t lockd__clock_us(void);

/* Since 1970, UTC: what a backup says of its making. Nothing of the library rests on it. */
uint64_t lockd__clock_wall_ms(void);

/* The instant `timeout_ms` from `now_us`; a negative time-out is none. */
int64_t lockd__clock_deadline_us(int64_t now_us, int timeout_ms);

/* 0 or a negative errno. For lockd__clock_wait() only. */
int lockd__clock_cond_init(pthread_cond_t *cond);

/* Waits for a signal, at most until `deadline_us`; wakes up spuriously. */
void lockd__clock_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_us);

/* Until when a lease of `ttl_ms` runs that was asked for at `sent_us`, when every clock's rate is within 1±ρ: the
 * cluster counts TTL/(1+ρ) of real time at least, of which our clock shows TTL·(1−ρ)/(1+ρ) at least. */
int64_t lockd__clock_lease_us(int64_t sent_us, uint32_t ttl_ms, uint32_t drift_ppm);

#endif
