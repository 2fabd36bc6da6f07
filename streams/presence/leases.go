package presence

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

const (
	// LeaseTTL is how long a lease holds that is not renewed.
	LeaseTTL = 15 * time.Second
	// LeaseEvery is how often a gateway renews its lease.
	LeaseEvery = LeaseTTL / 3
)

// heardLease is a lease as the watch reported it last.
type heardLease struct {
	at       time.Time
	revision uint64
}

// Alive says whether a gateway has a lease that has not expired.
func (p *Presence) Alive(gateway string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	lease, ok := p.leases[gateway]
	if ok && p.now().Sub(lease.at) > LeaseTTL {
		delete(p.leases, gateway)
		return false
	}
	return ok
}

// KeepLease renews the lease of this gateway until ctx ends, and then deletes it. One
// goroutine at a time calls it. The lease says whether removal is behind, and KeepLease
// writes it at once when that changes.
//
// KeepLease calls failed with each error of a renewal. It calls lost after NATS lost the
// records of sessions: a bucket was created again, or lost its newest writes. lost returns
// within [LeaseEvery].
func (p *Presence) KeepLease(ctx context.Context, lease schemas.GatewayLease, failed func(error), lost func()) {
	p.backpressure.SetGateway(lease.Gateway)
	for {
		lease.RemovalBehind = p.backpressure.Announce()
		wait := LeaseEvery
		gone, err := p.renew(ctx, lease)
		if err != nil && ctx.Err() == nil {
			failed(err)
			wait = LeaseEvery / 5
		}
		if gone {
			lost()
		}
		select {
		case <-time.After(wait):
		case <-p.backpressure.Changed():
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), jsapi.Timeout)
			defer cancel()
			if err := p.gateways.Delete(ctx, lease.Gateway); err != nil {
				failed(fmt.Errorf("failed to delete the lease: %w", err))
			}
			return
		}
	}
}

// renew writes the lease, and says whether NATS lost earlier records: the bucket was created
// again, or its revisions went backwards. Then it restarts the watch of leases, because a
// watch only reports revisions above the last one that it saw. It also restarts a watch that
// does not report the lease just written.
func (p *Presence) renew(ctx context.Context, lease schemas.GatewayLease) (lost bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, LeaseEvery)
	defer cancel()
	revision, err := p.gateways.Put(ctx, lease.Gateway, schemas.Encode(lease))
	if err != nil {
		return false, fmt.Errorf("failed to renew the lease: %w", err)
	}
	p.lost = p.lost || revision <= p.newest
	p.newest = revision
	created, err := p.created(ctx)
	if err != nil {
		return false, err
	}
	p.lost = p.lost || !created.Equal(p.since)
	if !p.lost && p.hears(ctx, lease.Gateway, revision) {
		return false, nil
	}
	if err := p.follow(ctx); err != nil {
		return false, err
	}
	if lost, p.lost = p.lost, false; lost {
		p.mu.Lock()
		clear(p.ended) // their revisions are from before the loss
		p.mu.Unlock()
	}
	return lost, nil
}

// follow starts a watch of the present bucket of leases, ends the earlier one, and returns
// after it knows the leases that exist. One goroutine at a time calls it.
func (p *Presence) follow(ctx context.Context) error {
	created, err := p.created(ctx)
	if err != nil {
		return err
	}
	current := make(chan struct{}) // closed after the leases that exist are known
	stop, err := p.api.Watch(ctx, p.gateways, func(e jetstream.KeyValueEntry) {
		if e == nil {
			close(current)
			return
		}
		p.changed(e)
	})
	if err != nil {
		return err
	}
	select {
	case <-current:
	case <-ctx.Done():
		stop()
		return fmt.Errorf("failed to read bucket %s: %w", subject.Gateways, ctx.Err())
	}
	if p.unfollow != nil {
		p.unfollow()
	}
	p.since, p.unfollow = created, stop
	return nil
}

// created is when the bucket of leases was created.
func (p *Presence) created(ctx context.Context) (time.Time, error) {
	status, err := p.gateways.Status(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("failed to look up bucket %s: %w", subject.Gateways, err)
	}
	return status.(*jetstream.KeyValueBucketStatus).StreamInfo().Created, nil
}

// changed notes a lease, or its end. The watch calls it.
func (p *Presence) changed(e jetstream.KeyValueEntry) {
	p.mu.Lock()
	_, before := p.leases[e.Key()]
	holds := e.Operation() == jetstream.KeyValuePut
	if holds {
		p.leases[e.Key()] = heardLease{p.now(), e.Revision()}
	} else {
		delete(p.leases, e.Key())
	}
	p.mu.Unlock()
	p.backpressure.Note(e.Key(), holds && p.removalBehind(e))
	select {
	case p.heard <- struct{}{}:
	default:
	}
	if holds != before {
		p.tell(func(l Listener) { l.Lease(e.Key()) })
	}
}

// removalBehind says whether a lease says that removal is behind at its gateway.
func (p *Presence) removalBehind(e jetstream.KeyValueEntry) bool {
	lease, err := schemas.Decode[schemas.GatewayLease](e.Value())
	if err != nil {
		p.log.Warn("a lease cannot be read", "gateway", e.Key(), "error", err)
	}
	return lease.RemovalBehind
}

// hears waits until the watch reports the lease of that revision, and returns false if it
// does not do so in time.
func (p *Presence) hears(ctx context.Context, gateway string, revision uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, LeaseEvery/5)
	defer cancel()
	for {
		p.mu.Lock()
		heard := p.leases[gateway].revision == revision
		p.mu.Unlock()
		if heard {
			return true
		}
		select {
		case <-p.heard:
		case <-ctx.Done():
			return false
		}
	}
}
