// SPDX-License-Identifier: Apache-2.0

// Each session with a lock of its own.

package main

import (
	"time"
)

func (l *load) pairs() (fields, error) {
	if err := l.openSessions(l.options.sessions); err != nil {
		return nil, err
	}
	l.startClock()
	sum, err := l.each(l.pairsOfSession)
	if err != nil {
		return nil, err
	}
	return fields{
		"done":       sum.done,
		"per_s":      float64(sum.done) / l.seconds,
		"acquire_us": percentiles(sum.acquire),
		"release_us": percentiles(sum.release),
	}, nil
}

func (l *load) pairsOfSession(i int, w *worker) error {
	ctx := l.client(i).Ctx()
	mutex := l.ownMutex(i)

	for time.Now().Before(l.end) {
		asked := time.Now()
		if err := mutex.Lock(ctx); err != nil {
			return err
		}
		held := time.Now()
		if err := mutex.Unlock(ctx); err != nil {
			return err
		}
		released := time.Now()
		if l.counts(released) {
			w.done++
			w.acquire = append(w.acquire, microseconds(held.Sub(asked)))
			w.release = append(w.release, microseconds(released.Sub(held)))
		}
	}
	return nil
}
