package streams

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// Presence knows which devices are connected where. Nobody sends heartbeats for
// a user: a gateway keeps one leased key alive, a session is a record written at
// connect and at disconnect, and a session whose gateway has no lease is over.
type Presence struct {
	conn               *Conn
	sessions, gateways jetstream.KeyValue

	// Of the one goroutine that opens it, and then of that of KeepLease.
	since    time.Time // when the bucket of the leases that are followed was made
	unfollow func()
	newest   uint64 // revision of the lease that was written last
	lost     bool   // writes were, and nobody knows yet

	some chan struct{} // has one where a lease was heard of; of KeepLease

	mu     sync.Mutex // guards the rest
	now    func() time.Time
	leases map[string]heardLease   // by gateway
	ended  map[string]endedSession // by key, of devices that were connected here last, at most maxEnded
}

// heardLease is a lease as the watch showed it last.
type heardLease struct {
	at       time.Time
	revision uint64
}

// endedSession is the record that this process wrote at the end of a session. A
// device that comes back needs no look-up where it is still the newest, which the
// compare-and-set tells.
type endedSession struct {
	record   schemas.Session
	revision uint64
}

// maxEnded bounds the remembered sessions; one more evicts any other.
const maxEnded = 100_000

func openPresence(ctx context.Context, c *Conn) (*Presence, error) {
	p := &Presence{conn: c, now: time.Now,
		some: make(chan struct{}, 1), leases: make(map[string]heardLease), ended: make(map[string]endedSession)}
	var err error
	if p.sessions, err = c.api.Bucket(ctx, subject.Sessions); err != nil {
		return nil, err
	}
	if p.gateways, err = c.api.Bucket(ctx, subject.Gateways); err != nil {
		return nil, err
	}
	return p, p.follow(ctx)
}

// follow watches the leases of the bucket that there is now, and returns once those
// in it are known. It is called by one goroutine at a time.
func (p *Presence) follow(ctx context.Context) error {
	made, err := p.made(ctx)
	if err != nil {
		return err
	}
	current := make(chan struct{}) // closed once the leases that were there are known
	stop, err := p.conn.api.Watch(ctx, p.gateways, func(e jetstream.KeyValueEntry) {
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
	p.since, p.unfollow = made, stop
	return nil
}

// made is when the bucket of leases was.
func (p *Presence) made(ctx context.Context) (time.Time, error) {
	status, err := p.gateways.Status(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("failed to look up bucket %s: %w", subject.Gateways, err)
	}
	return status.(*jetstream.KeyValueBucketStatus).StreamInfo().Created, nil
}

// changed notes a lease, or its end.
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
	p.conn.pressure.Note(e.Key(), holds && p.removalBehind(e))
	select {
	case p.some <- struct{}{}:
	default:
	}
	if holds != before {
		p.conn.tellWatch(func(l SessionListener) { l.Lease(e.Key()) })
	}
}

// removalBehind says whether removal at the gateway of a lease is behind.
func (p *Presence) removalBehind(e jetstream.KeyValueEntry) bool {
	lease, err := schemas.Decode[schemas.GatewayLease](e.Value())
	if err != nil {
		p.conn.log.Warn("a lease cannot be read", "gateway", e.Key(), "error", err)
	}
	return lease.RemovalBehind
}

// Alive says whether a gateway's lease holds.
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

// hears waits for what was written to come by the watch; false where it does not.
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
		case <-p.some:
		case <-ctx.Done():
			return false
		}
	}
}

// LeaseTTL is for how long a lease holds that is not renewed.
const LeaseTTL = 15 * time.Second

// LeaseEvery is how often a gateway renews its lease.
const LeaseEvery = LeaseTTL / 3

// KeepLease renews the gateway's lease until ctx ends, and gives it up then. The lease
// says whether removal is behind, and is written at once when that changes. It
// runs on the caller's goroutine, and once at a time; failures to renew are told to failed.
// Where the buckets of presence were made anew, or lost writes, sessions are not on
// record any more: that is told to forgotten, which should return within [LeaseEvery].
func (p *Presence) KeepLease(ctx context.Context, lease schemas.GatewayLease, failed func(error), forgotten func()) {
	pressure := p.conn.pressure
	pressure.SetGateway(lease.Gateway)
	for {
		lease.RemovalBehind = pressure.Announce()
		wait := LeaseEvery
		lost, err := p.renew(ctx, lease)
		if err != nil && ctx.Err() == nil {
			failed(err)
			wait = LeaseEvery / 5
		}
		if lost {
			forgotten()
		}
		select {
		case <-time.After(wait):
		case <-pressure.Changed():
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), jsapi.Timeout)
			defer cancel()
			if err := p.gateways.Delete(ctx, lease.Gateway); err != nil {
				failed(fmt.Errorf("failed to give up the lease: %w", err))
			}
			return
		}
	}
}

// renew also says whether what was written before is lost: the bucket is another, or its
// numbers went back. Then, or where it is deaf for another reason, it watches anew: a
// watch goes on behind the last number that it saw, which may come days later.
func (p *Presence) renew(ctx context.Context, lease schemas.GatewayLease) (lost bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, LeaseEvery)
	defer cancel()
	revision, err := p.gateways.Put(ctx, lease.Gateway, schemas.Encode(lease))
	if err != nil {
		return false, fmt.Errorf("failed to renew the lease: %w", err)
	}
	p.lost = p.lost || revision <= p.newest
	p.newest = revision
	made, err := p.made(ctx)
	if err != nil {
		return false, err
	}
	p.lost = p.lost || !made.Equal(p.since)
	if !p.lost && p.hears(ctx, lease.Gateway, revision) {
		return false, nil
	}
	if err := p.follow(ctx); err != nil {
		return false, err
	}
	if lost, p.lost = p.lost, false; lost {
		p.mu.Lock()
		clear(p.ended) // their revisions are of before
		p.mu.Unlock()
	}
	return lost, nil
}

// Begin records that a session has its device now. A session without an id gets
// one that is larger than that of the session before it, whatever the gateways'
// clocks say: so of two connections of a device all agree which is the newer, and
// the record is of that one. It returns the record before it, and the revision to
// end the session with. s.ReceiptsFrom is for where there was none before, and else set.
func (p *Presence) Begin(ctx context.Context, a subject.Address, s *schemas.Session) (before schemas.Session, revision uint64, err error) {
	key, named := subject.DeviceKey(a), s.SessionID != ""
	for range jsapi.Attempts {
		before, known, ok, err := p.before(ctx, key)
		if err != nil {
			return before, 0, err
		}
		if before.ConnectedAt > 0 {
			s.ReceiptsFrom = before.MissedFrom()
		}
		if !named {
			p.conn.clock.Observe(schemas.MessageID(before.SessionID))
			s.SessionID = schemas.SessionID(p.conn.clock.NextULID())
		}
		if ok {
			revision, err = p.sessions.Update(ctx, key, schemas.Encode(*s), known)
		} else {
			revision, err = p.sessions.Create(ctx, key, schemas.Encode(*s))
		}
		if err == nil {
			return before, revision, nil
		}
		if !jsapi.IsConflict(err) {
			return before, 0, fmt.Errorf("failed to record the session: %w", err)
		}
	}
	return before, 0, fmt.Errorf("failed to record the session: %w", jsapi.ErrContended)
}

// before is the record that a new session replaces: as it was remembered, once,
// or else as it is.
func (p *Presence) before(ctx context.Context, key string) (s schemas.Session, revision uint64, ok bool, err error) {
	p.mu.Lock()
	e, ok := p.ended[key]
	delete(p.ended, key)
	p.mu.Unlock()
	if ok {
		return e.record, e.revision, true, nil
	}
	return jsapi.Get[schemas.Session](ctx, p.sessions, key)
}

func (p *Presence) remember(key string, e endedSession) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ended) >= maxEnded {
		for other := range p.ended { // any one: map order is random
			delete(p.ended, other)
			break
		}
	}
	p.ended[key] = e
}

// End records that a session ended, now or at s.EndedAt, unless a newer one has the
// device: then it returns false. Where there is no record any more nobody has it.
func (p *Presence) End(ctx context.Context, a subject.Address, s schemas.Session, revision uint64) (bool, error) {
	if s.Gateway = ""; s.EndedAt == 0 {
		s.EndedAt = schemas.Now()
	}
	key := subject.DeviceKey(a)
	last, err := p.sessions.Update(ctx, key, schemas.Encode(s), revision)
	if jsapi.IsConflict(err) {
		now, known, ok, unread := jsapi.Get[schemas.Session](ctx, p.sessions, key)
		if unread != nil {
			return false, unread
		}
		if !ok || now.SessionID >= s.SessionID {
			return !ok, nil
		}
		// The session's begin was lost, and an older one is on record.
		last, err = p.sessions.Update(ctx, key, schemas.Encode(s), known)
	}
	if err != nil {
		return false, fmt.Errorf("failed to record the end of the session: %w", err)
	}
	p.remember(key, endedSession{s, last})
	return true, nil
}

// EndLate is End for who cannot tell what became of the session's record, because its
// begin or its end had no answer. It may be repeated.
func (p *Presence) EndLate(ctx context.Context, a subject.Address, s schemas.Session) (bool, error) {
	now, revision, ok, err := jsapi.Get[schemas.Session](ctx, p.sessions, subject.DeviceKey(a))
	if err != nil || ok && now.SessionID != s.SessionID {
		return false, err
	}
	if !ok || now.Gateway == "" {
		return true, nil
	}
	return p.End(ctx, a, s, revision)
}

// seen is whether a device has a session on a gateway that lives, and when it was
// connected last, as its session says.
func (p *Presence) seen(ctx context.Context, a subject.Address) (connected bool, last schemas.Timestamp, err error) {
	s, _, _, err := jsapi.Get[schemas.Session](ctx, p.sessions, subject.DeviceKey(a))
	if s.Gateway != "" && p.Alive(s.Gateway) {
		return true, schemas.Now(), err
	}
	return false, max(s.ConnectedAt, s.EndedAt), err
}

// Status is when a user was last connected, and whether a device is now.
func (p *Presence) Status(ctx context.Context, u schemas.UserID, devices []schemas.Device) (online bool, last schemas.Timestamp, err error) {
	addresses := make([]subject.Address, len(devices))
	for i, d := range devices {
		addresses[i] = subject.Address{User: u, Device: d.DeviceID}
		last = max(last, d.LastActive)
	}
	sessions, err := p.Sessions(ctx, addresses)
	if err != nil {
		return false, 0, err
	}
	for _, s := range sessions {
		if s.Gateway != "" && p.Alive(s.Gateway) {
			online = true
		} else { // ended, or its gateway died and nobody knows when exactly
			last = max(last, s.ConnectedAt, s.EndedAt)
		}
	}
	if online {
		last = schemas.Now()
	}
	return online, last, nil
}

// Sessions are the newest sessions of devices, in their order; empty for a device
// that has none on record.
func (p *Presence) Sessions(ctx context.Context, devices []subject.Address) ([]schemas.Session, error) {
	all, at := make([]schemas.Session, len(devices)), make(map[string]int, len(devices))
	subjects := make([]string, len(devices))
	for i, a := range devices {
		subjects[i] = subject.Sessions.Subject(subject.DeviceKey(a))
		at[subjects[i]] = i
	}
	newest, err := p.conn.api.Lasts(ctx, subject.Sessions.Stream(), subjects)
	if err != nil {
		return nil, err
	}
	for _, m := range newest {
		if len(m.Data) == 0 { // the mark of a deleted key
			continue
		}
		s, err := schemas.Decode[schemas.Session](m.Data)
		if err != nil {
			return nil, fmt.Errorf("failed to read %s: %w", m.Subject, err)
		}
		all[at[m.Subject]] = s
	}
	return all, nil
}

// Forget deletes the session record of a device that is no more, and leaves no mark:
// there may be any number of such devices.
func (p *Presence) Forget(ctx context.Context, a subject.Address) error {
	key := subject.DeviceKey(a)
	p.mu.Lock()
	delete(p.ended, key)
	p.mu.Unlock()
	if err := p.conn.purgeAll(ctx, subject.Sessions.Stream(), subject.Sessions.Subject(key)); err != nil {
		return fmt.Errorf("failed to delete the session record: %w", err)
	}
	return nil
}
