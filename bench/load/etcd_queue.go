// SPDX-License-Identifier: Apache-2.0

// One lock that all want: handoff, where who had it queues again, and wait, where nobody does.

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	v3 "go.etcd.io/etcd/clientv3"
)

func (l *load) handoff() (fields, error) {
	if err := l.openSessions(l.options.sessions); err != nil {
		return nil, err
	}
	l.startClock()
	var releasing atomic.Value // time.Time of the last release; only the holder stores
	sum, err := l.each(func(i int, w *worker) error {
		for time.Now().Before(l.end) {
			if err := l.takeAndPass(i, &releasing, w); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return fields{
		"done":       sum.done,
		"per_s":      float64(sum.done) / l.seconds,
		"handoff_us": percentiles(sum.handoff),
	}, nil
}

// takeAndPass queues for the shared lock, and releases it as soon as it is granted.
func (l *load) takeAndPass(i int, releasing *atomic.Value, w *worker) error {
	ctx := l.client(i).Ctx()
	mutex := l.sharedMutex(i)

	if err := mutex.Lock(ctx); err != nil {
		return err
	}
	granted := time.Now()
	if since, ok := releasing.Load().(time.Time); ok && l.counts(granted) {
		w.done++
		w.handoff = append(w.handoff, microseconds(granted.Sub(since)))
	}
	releasing.Store(time.Now())
	return mutex.Unlock(ctx)
}

// queue is the line of waiters behind the one lock of wait. Whoever is granted it sends how long the hand-off took, and
// releases.
type queue struct {
	releasing atomic.Value // time.Time at which the last release began; only the holder stores
	handoffs  chan float64
	failures  chan error
}

// wait has one session more than it is asked for: the holder.
func (l *load) wait() (fields, error) {
	if err := l.openSessions(l.options.sessions + 1); err != nil {
		return nil, err
	}
	ctx := l.client(0).Ctx()
	holder := l.sharedMutex(0)
	if err := holder.Lock(ctx); err != nil {
		return nil, err
	}
	q := &queue{
		handoffs: make(chan float64, l.options.sessions),
		failures: make(chan error, l.options.sessions),
	}
	if err := l.lineUp(ctx, q); err != nil {
		return nil, err
	}
	fmt.Printf("{\"waiting\": %d}\n", l.options.sessions)
	if answer, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil || answer != "go\n" {
		return nil, fmt.Errorf("wanted a line \"go\" on stdin, got %q", answer)
	}
	began := time.Now()
	q.releasing.Store(began)
	if err := holder.Unlock(ctx); err != nil {
		return nil, err
	}
	return l.drain(q, began)
}

// lineUp starts the waiters and returns when all have their key in the queue. It watches for the keys because Lock does
// not say when it has begun to wait.
func (l *load) lineUp(ctx context.Context, q *queue) error {
	arrivals := l.client(0).Watch(ctx, l.prefix+"/shared/", v3.WithPrefix(), v3.WithFilterDelete(), v3.WithCreatedNotify())
	if created, ok := <-arrivals; !ok || created.Err() != nil {
		return errors.New("cannot watch the queue")
	}
	for i := 1; i < len(l.sessions); i++ {
		go func(i int) {
			if err := l.waitAndPass(i, q); err != nil {
				q.failures <- err
			}
		}(i)
	}
	for waiting := 0; waiting < l.options.sessions; {
		select {
		case arrived := <-arrivals:
			if err := arrived.Err(); err != nil {
				return err
			}
			waiting += len(arrived.Events)
		case err := <-q.failures:
			return err
		}
	}
	return nil
}

func (l *load) waitAndPass(i int, q *queue) error {
	ctx := l.client(i).Ctx()
	mutex := l.sharedMutex(i)
	if err := mutex.Lock(ctx); err != nil {
		return err
	}
	q.handoffs <- microseconds(time.Since(q.releasing.Load().(time.Time)))
	q.releasing.Store(time.Now())
	return mutex.Unlock(ctx)
}

// drain collects the hand-offs until every waiter had the lock or time is up.
func (l *load) drain(q *queue, began time.Time) (fields, error) {
	timeUp := time.After(time.Until(began.Add(toDuration(l.seconds))))
	var handoffs []float64
	for running := true; running && len(handoffs) < l.options.sessions; {
		select {
		case took := <-q.handoffs:
			handoffs = append(handoffs, took)
		case err := <-q.failures:
			return nil, err
		case <-timeUp:
			running = false
		}
	}
	took := time.Since(began).Seconds()
	return fields{
		"done":       len(handoffs),
		"per_s":      float64(len(handoffs)) / took,
		"seconds":    took,
		"handoff_us": percentiles(handoffs),
	}, nil
}
