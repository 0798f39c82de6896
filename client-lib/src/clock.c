/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include <assert.h>
#include <time.h>

enum {
	/* Taken off every lease: granularity of clocks and of the milliseconds that the holder is told. */
	LEASE_MARGIN_US = 10 * 1000,
	MILLION = 1000 * 1000,
};

static int64_t clock_read_us(clockid_t id) {
	struct timespec ts;
	int r = clock_gettime(id, &ts);

	assert(r == 0);
	return (int64_t)ts.tv_sec * MILLION + ts.tv_nsec / 1000;
}

int64_t lockd__clock_us(void) {
	return clock_read_us(CLOCK_BOOTTIME);
}

uint64_t lockd__clock_wall_ms(void) {
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int64_t lockd__clock_deadline_us(int64_t now_us, int timeout_ms) {
	return timeout_ms < 0 ? LOCKD__NEVER : now_us + (int64_t)timeout_ms * 1000;
}

int lockd__clock_cond_init(pthread_cond_t *cond) {
	pthread_condattr_t attr;
	int r = pthread_condattr_init(&attr);

	if (r != 0)
		return -r;
	r = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (r == 0)
		r = pthread_cond_init(cond, &attr);
	(void)pthread_condattr_destroy(&attr);
	return -r;
}

void lockd__clock_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_us) {
	int64_t left_us, until_us;
	struct timespec ts;

	if (deadline_us == LOCKD__NEVER) {
		(void)pthread_cond_wait(cond, mutex);
		return;
	}
	left_us = deadline_us - lockd__clock_us();
	if (left_us <= 0)
		return;
	until_us = clock_read_us(CLOCK_MONOTONIC) + left_us;
	ts = (struct timespec){.tv_sec = until_us / MILLION, .tv_nsec = until_us % MILLION * 1000};
	(void)pthread_cond_timedwait(cond, mutex, &ts);
}

int64_t lockd__clock_lease_us(int64_t sent_us, uint32_t ttl_ms, uint32_t drift_ppm) {
	int64_t ttl_us = (int64_t)ttl_ms * 1000;

	if (drift_ppm >= MILLION)
		return sent_us;
	return sent_us + ttl_us * (MILLION - (int64_t)drift_ppm) / (MILLION + (int64_t)drift_ppm) - LEASE_MARGIN_US;
}
