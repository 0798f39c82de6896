// SPDX-License-Identifier: Apache-2.0

// Pairs that go on through a change of leader, and the longest time without any.

package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/clientv3/concurrency"
)

const (
	// A call that got no answer during an election is never answered before etcd's own limit of several seconds. Asking
	// again after this long keeps that limit out of the gap; it is far above the time of a call while a leader is
	// there.
	retryTimeout = 250 * time.Millisecond

	// Between two attempts, because some fail at once. The pause differs from session to session, so that they do not
	// all ask just before the service is back and then wait for the time-out together.
	retryPause  = 5 * time.Millisecond
	retryPhases = 16
)

// finishes finds the longest time in which no pair was finished.
type finishes struct {
	mutex       sync.Mutex
	done        int
	last        time.Time
	longest     time.Duration
	longestFrom time.Time
}

func (f *finishes) add(at time.Time) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.done++
	f.until(at)
}

func (f *finishes) until(at time.Time) {
	gap := at.Sub(f.last)
	if gap > f.longest {
		f.longest, f.longestFrom = gap, f.last
	}
	if gap > 0 {
		f.last = at
	}
}

func (l *load) gap() (fields, error) {
	if err := l.openSessions(l.options.sessions); err != nil {
		return nil, err
	}
	l.startClock()
	finished := finishes{last: l.begin}
	var failed int64
	_, err := l.each(func(i int, _ *worker) error {
		for l.pairWithRetries(i, &failed) {
			if now := time.Now(); l.counts(now) {
				finished.add(now)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	finished.until(l.end) // If the service has not come back, that is the gap.
	return fields{
		"done":   finished.done,
		"gap_ms": float64(finished.longest.Microseconds()) / 1000,
		"at_s":   monotonicSeconds() - time.Since(finished.longestFrom).Seconds(),
		"failed": failed,
	}, nil
}

// pairWithRetries repeats what failed until it is done or time is up. A pair begins anew as a whole: Lock takes the key
// that an earlier attempt has left for its own.
func (l *load) pairWithRetries(i int, failed *int64) bool {
	for time.Now().Before(l.end) {
		if err := l.attemptPair(i); err == nil {
			return true
		}
		atomic.AddInt64(failed, 1)
		time.Sleep(retryPause * time.Duration(1+i%retryPhases))
	}
	return false
}

func (l *load) attemptPair(i int) error {
	select {
	case <-l.sessions[i].Done():
		if err := l.replaceSession(i); err != nil {
			return err
		}
	default:
	}
	mutex := l.ownMutex(i)
	if err := l.impatiently(i, mutex.Lock); err != nil {
		return err
	}
	return l.impatiently(i, mutex.Unlock)
}

func (l *load) impatiently(i int, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(l.client(i).Ctx(), retryTimeout)
	defer cancel()
	return call(ctx)
}

// replaceSession grants the lease itself because a session lives no longer than a context given to NewSession.
func (l *load) replaceSession(i int) error {
	ctx, cancel := context.WithTimeout(l.client(i).Ctx(), retryTimeout)
	defer cancel()
	grant, err := l.client(i).Grant(ctx, int64(l.ttlSeconds()))
	if err != nil {
		return err
	}
	ttl, lease := concurrency.WithTTL(l.ttlSeconds()), concurrency.WithLease(grant.ID)
	session, err := concurrency.NewSession(l.client(i), ttl, lease)
	if err != nil {
		return err
	}
	l.sessions[i] = session
	return nil
}
