// SPDX-License-Identifier: Apache-2.0

// Command load-etcd drives etcd as bench/README.md asks of a load generator: with etcd's own client and its own lock,
// the Mutex of the package concurrency. A session is a lease with its keep-alive; sessions are spread over clients,
// each of which has one connection to every endpoint and sends its calls to them in turn, as etcd's client does unless
// told otherwise.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	v3 "go.etcd.io/etcd/clientv3"
	"go.etcd.io/etcd/clientv3/concurrency"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

const (
	exitFailed = 1
	exitUsage  = 64

	// Whoever cannot be reached for this long while the stage is set is not there.
	stageTimeout = 30 * time.Second

	// So many calls open sessions at the same time: enough for group commit, few enough for etcd's queue of proposals.
	openersMax = 256
)

type options struct {
	workload  string
	endpoints []string
	sessions  int
	handles   int
	seconds   float64
	warmup    float64
	ttl       time.Duration
	prefix    string
	locks     int
}

// load is what the workloads share: the clients, the sessions, and when to measure.
type load struct {
	options
	clients  []*v3.Client
	sessions []*concurrency.Session
	leases   []v3.LeaseID // of keepalive, which has no sessions
	begin    time.Time    // operations that end in [begin, end) count
	end      time.Time
}

type fields map[string]interface{}

// worker is what one goroutine has counted; nobody else touches it before the goroutine is done.
type worker struct {
	done    int
	acquire []float64 // microseconds
	release []float64
	handoff []float64
}

var workloads = map[string]func(*load) (fields, error){
	"pairs":     (*load).pairs,
	"handoff":   (*load).handoff,
	"keepalive": (*load).keepalive,
	"gap":       (*load).gap,
	"hold":      (*load).hold,
	"wait":      (*load).wait,
	"idle":      (*load).idle,
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load-etcd:", err)
		os.Exit(exitUsage)
	}
	if err := run(o); err != nil {
		fmt.Fprintf(os.Stderr, "load-etcd: %s: %v\n", o.workload, err)
		os.Exit(exitFailed)
	}
}

func parse(args []string) (options, error) {
	var o options
	var endpoints string
	var ttlMs int

	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		o.workload, args = args[0], args[1:]
	}
	f := flag.NewFlagSet("load-etcd", flag.ContinueOnError)
	f.StringVar(&endpoints, "endpoints", "", "HOST:PORT,… of every node")
	f.IntVar(&o.sessions, "sessions", 1, "sessions, each with one outstanding operation")
	f.IntVar(&o.handles, "handles", 0, "clients over which they are spread (default min(sessions, 16))")
	f.Float64Var(&o.seconds, "seconds", 5, "how long to measure")
	f.Float64Var(&o.warmup, "warmup", 1, "seconds before that which are not counted")
	f.IntVar(&ttlMs, "ttl-ms", 10000, "of leases; etcd counts in whole seconds, so it is rounded up")
	f.StringVar(&o.prefix, "prefix", "bench", "of every name")
	f.IntVar(&o.locks, "locks", 1000, "of hold")
	if err := f.Parse(args); err != nil {
		return o, err
	}

	o.endpoints = strings.Split(endpoints, ",")
	o.ttl = time.Duration(ttlMs) * time.Millisecond
	if o.handles == 0 {
		o.handles = o.sessions
		if o.handles > 16 {
			o.handles = 16
		}
	}
	switch {
	case workloads[o.workload] == nil:
		return o, fmt.Errorf("unknown workload %q", o.workload)
	case f.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case endpoints == "":
		return o, errors.New("--endpoints is missing")
	case o.sessions < 1 || o.handles < 1 || o.locks < 1 || ttlMs < 1:
		return o, errors.New("--sessions, --handles, --locks and --ttl-ms must be at least 1")
	case o.seconds <= 0 || o.warmup < 0:
		return o, errors.New("--seconds must be above 0, --warmup at least 0")
	}
	return o, nil
}

func run(o options) error {
	l := &load{options: o}
	defer l.close()
	if err := l.connect(o.endpoints); err != nil {
		return err
	}
	result, err := workloads[o.workload](l)
	if err != nil || result == nil {
		return err
	}
	if err := l.report(result); err != nil {
		return err
	}
	l.leave()
	return nil
}

// logging leaves out the warnings: the client writes one for every attempt that fails, hundreds in a gap.
var logging = zap.Config{
	Level:       zap.NewAtomicLevelAt(zap.ErrorLevel),
	Encoding:    "console",
	OutputPaths: []string{"stderr"},
}

func (l *load) connect(endpoints []string) error {
	for i := 0; i < l.handles; i++ {
		client, err := v3.New(v3.Config{
			Endpoints:   endpoints,
			DialTimeout: stageTimeout,
			DialOptions: []grpc.DialOption{grpc.WithBlock()}, // without it DialTimeout means nothing
			LogConfig:   &logging,
		})
		if err != nil {
			return err
		}
		l.clients = append(l.clients, client)
	}
	return nil
}

func (l *load) close() {
	for _, client := range l.clients {
		_ = client.Close() // Nothing is lost with a connection.
	}
}

// leave ends the leases, so that their expiry does not disturb whoever measures next. One that cannot be ended expires
// after all.
func (l *load) leave() {
	_ = parallel(len(l.sessions), openersMax, func(i int) error {
		_ = l.sessions[i].Close()
		return nil
	})
	_ = parallel(len(l.leases), openersMax, func(i int) error {
		ctx, cancel := context.WithTimeout(l.client(i).Ctx(), l.ttl)
		defer cancel()
		_, _ = l.client(i).Revoke(ctx, l.leases[i])
		return nil
	})
}

func (l *load) report(result fields) error {
	result["workload"] = l.workload
	result["sessions"] = l.options.sessions
	result["handles"] = l.handles
	if result["seconds"] == nil {
		result["seconds"] = l.seconds
	}
	line, err := json.Marshal(result)
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(line))
	return err
}

func (l *load) client(i int) *v3.Client {
	return l.clients[i%len(l.clients)]
}

func (l *load) ttlSeconds() int {
	return int(math.Ceil(l.ttl.Seconds()))
}

func (l *load) openSession(i int) (*concurrency.Session, error) {
	return concurrency.NewSession(l.client(i), concurrency.WithTTL(l.ttlSeconds()))
}

func (l *load) openSessions(count int) error {
	l.sessions = make([]*concurrency.Session, count)
	return parallel(count, openersMax, func(i int) (err error) {
		l.sessions[i], err = l.openSession(i)
		return err
	})
}

func (l *load) ownMutex(i int) *concurrency.Mutex {
	return concurrency.NewMutex(l.sessions[i], fmt.Sprintf("%s/own/%d", l.prefix, i))
}

func (l *load) sharedMutex(i int) *concurrency.Mutex {
	return concurrency.NewMutex(l.sessions[i], l.prefix+"/shared")
}

// startClock is called when the stage is set: warm-up and measurement begin.
func (l *load) startClock() {
	l.begin = time.Now().Add(toDuration(l.warmup))
	l.end = l.begin.Add(toDuration(l.seconds))
}

func (l *load) counts(at time.Time) bool {
	return !at.Before(l.begin) && at.Before(l.end)
}

// each runs one goroutine per session until it returns, and adds up what they have counted.
func (l *load) each(body func(i int, w *worker) error) (worker, error) {
	workers := make([]worker, len(l.sessions))
	err := parallel(len(workers), len(workers), func(i int) error { return body(i, &workers[i]) })

	var sum worker
	for _, w := range workers {
		sum.done += w.done
		sum.acquire = append(sum.acquire, w.acquire...)
		sum.release = append(sum.release, w.release...)
		sum.handoff = append(sum.handoff, w.handoff...)
	}
	return sum, err
}

func (l *load) hold() (fields, error) {
	if err := l.openSessions(l.options.sessions); err != nil {
		return nil, err
	}
	began := time.Now()
	_, err := l.each(func(i int, _ *worker) error {
		for k := i; k < l.locks; k += len(l.sessions) {
			mutex := concurrency.NewMutex(l.sessions[i], fmt.Sprintf("%s/hold/%d", l.prefix, k))
			if err := mutex.Lock(l.client(i).Ctx()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	took := time.Since(began).Seconds()
	if err := l.report(fields{"done": l.locks, "per_s": float64(l.locks) / took, "seconds": took}); err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return nil, err
}

func (l *load) idle() (fields, error) {
	if err := l.openSessions(l.options.sessions); err != nil {
		return nil, err
	}
	err := parallel(len(l.sessions), openersMax, func(i int) error {
		return l.ownMutex(i).Lock(l.client(i).Ctx())
	})
	if err != nil {
		return nil, err
	}
	if err := l.report(fields{"done": len(l.sessions)}); err != nil {
		return nil, err
	}
	select {} // Until killed; the sessions are kept alive meanwhile.
}

// parallel calls body for 0 … count-1, at most `width` at a time, and returns the first error at once: the others may
// never return.
func parallel(count, width int, body func(i int) error) error {
	var next int64
	results := make(chan error, width)
	for w := 0; w < width; w++ {
		go func() {
			for {
				i := int(atomic.AddInt64(&next, 1)) - 1
				if i >= count {
					results <- nil
					return
				}
				if err := body(i); err != nil {
					results <- err
					return
				}
			}
		}()
	}
	for w := 0; w < width; w++ {
		if err := <-results; err != nil {
			return err
		}
	}
	return nil
}

// percentiles leaves its input sorted; of nothing they are null.
func percentiles(us []float64) fields {
	if len(us) == 0 {
		return nil
	}
	sort.Float64s(us)
	at := func(share float64) float64 {
		return us[int(share*float64(len(us)-1))]
	}
	return fields{"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1)}
}

func microseconds(d time.Duration) float64 {
	return float64(d.Nanoseconds()) / 1000
}

func toDuration(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second))
}

// monotonicSeconds reads the clock that other processes on this machine can compare with; Go keeps its own reading of
// it to itself.
func monotonicSeconds() float64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err)
	}
	return float64(now.Nano()) / 1e9
}
