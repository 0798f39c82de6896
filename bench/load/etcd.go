// SPDX-License-Identifier: Apache-2.0

// Command load-etcd drives etcd as bench/README.md asks of a load generator: with etcd's own client and its own lock,
// the Mutex of the package concurrency. A session is a lease with its keep-alive; sessions are spread over clients,
// each of which has one connection to every endpoint and sends its calls to them in turn, as etcd's client does unless
// told otherwise.
package main

import (
	"bufio"
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
	"sync"
	"sync/atomic"
	"time"

	v3 "go.etcd.io/etcd/clientv3"
	"go.etcd.io/etcd/clientv3/concurrency"
	pb "go.etcd.io/etcd/etcdserver/etcdserverpb"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

const (
	exitFailed = 1
	exitUsage  = 64

	// Whoever cannot be reached for this long while the stage is set is not there.
	stageTimeout = 30 * time.Second

	// So many calls open sessions at the same time: enough for group commit, few enough for etcd's queue of proposals.
	openersMax = 256

	// A call that got no answer during an election is never answered before etcd's own limit of several seconds. Asking
	// again after this long keeps that limit out of the gap; it is far above the time of a call while a leader is
	// there.
	retryTimeout = 250 * time.Millisecond

	// Between two attempts, because some fail at once. The pause differs from session to session, so that they do not
	// all ask just before the service is back and then wait for the time-out together.
	retryPause  = 5 * time.Millisecond
	retryPhases = 16
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
		client, err := v3.New(v3.Config{Endpoints: endpoints, DialTimeout: stageTimeout, LogConfig: &logging})
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

// keepalive renews leases as the client library does, over one stream per client, but without its pause of a third of
// the TTL. The streams go to the leader alone: a follower passes every renewal on with an HTTP request of its own, which
// costs many times as much.
func (l *load) keepalive() (fields, error) {
	leader, err := l.leader()
	if err != nil {
		return nil, err
	}
	l.close()
	l.clients = nil
	if err := l.connect([]string{leader}); err != nil {
		return nil, err
	}
	if err := l.grantLeases(); err != nil {
		return nil, err
	}
	done, expired, err := l.renewAll()
	if err != nil {
		return nil, err
	}
	return fields{"done": done, "per_s": float64(done) / l.seconds, "expired": expired}, nil
}

func (l *load) renewAll() (done, expired int, err error) {
	shares := make([]renewals, l.handles)
	for k, id := range l.leases {
		share := &shares[k%l.handles]
		share.leases = append(share.leases, int64(id))
	}
	l.startClock()
	err = parallel(l.handles, l.handles, func(i int) error { return l.renew(i, &shares[i]) })
	for _, share := range shares {
		done += share.done
		expired += share.expired
	}
	return done, expired, err
}

func (l *load) leader() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), stageTimeout)
	defer cancel()
	for _, endpoint := range l.endpoints {
		status, err := l.clients[0].Status(ctx, endpoint)
		if err != nil {
			return "", err
		}
		if status.Leader == status.Header.MemberId {
			return endpoint, nil
		}
	}
	return "", errors.New("none of the endpoints is the leader")
}

func (l *load) grantLeases() error {
	l.leases = make([]v3.LeaseID, l.options.sessions)
	return parallel(len(l.leases), openersMax, func(i int) error {
		grant, err := l.client(i).Grant(l.client(i).Ctx(), int64(l.ttlSeconds()))
		if err != nil {
			return err
		}
		l.leases[i] = grant.ID
		return nil
	})
}

// renewals are one client's leases, and what came of them.
type renewals struct {
	leases        []int64
	done, expired int
}

// renew keeps one request per lease under way on one stream: each answer is followed by the next request for its lease.
func (l *load) renew(i int, r *renewals) error {
	ctx, cancel := context.WithCancel(l.client(i).Ctx())
	defer cancel()
	stream, err := pb.NewLeaseClient(l.client(i).ActiveConnection()).LeaseKeepAlive(ctx)
	if err != nil {
		return err
	}

	// The sender must not wait for the receiver: with many leases both directions would fill up.
	next := make(chan int64, len(r.leases))
	defer close(next)
	for _, id := range r.leases {
		next <- id
	}
	go func() {
		for id := range next {
			if stream.Send(&pb.LeaseKeepAliveRequest{ID: id}) != nil {
				return // Recv has the reason.
			}
		}
	}()

	for len(r.leases) > r.expired {
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		now := time.Now()
		if !now.Before(l.end) {
			return nil
		}
		if answer.TTL <= 0 {
			r.expired++
			continue
		}
		if l.counts(now) {
			r.done++
		}
		next <- answer.ID
	}
	return nil
}

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
