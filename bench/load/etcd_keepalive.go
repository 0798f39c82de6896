// SPDX-License-Identifier: Apache-2.0

// Renewal of leases as fast as it goes.

package main

import (
	"context"
	"errors"
	"time"

	v3 "go.etcd.io/etcd/clientv3"
	pb "go.etcd.io/etcd/etcdserver/etcdserverpb"
)

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
