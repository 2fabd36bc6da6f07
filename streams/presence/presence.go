package presence

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams/bus"
	"roost/streams/jsapi"
	"roost/streams/msgid"
	"roost/streams/subject"
)

// Backpressure knows at which gateways removal of acknowledged entries is behind. Methods
// may be called concurrently and do not block.
type Backpressure interface {
	// SetGateway names the gateway of this process, before it writes its first lease.
	SetGateway(gateway string)
	// Announce says whether the lease of this gateway says that removal is behind.
	Announce() bool
	// Changed gets a value when Announce may answer otherwise than before.
	Changed() <-chan struct{}
	// Note notes what the lease of a gateway says, or with false that it has ended.
	Note(gateway string, behind bool)
}

// Options of a Presence. All fields but Now are required.
type Options struct {
	API          *jsapi.Client
	Clock        *msgid.Clock // makes session ids
	Bus          bus.Sessions // delivers events of sessions to Watch
	Backpressure Backpressure
	Log          *slog.Logger
	// Now is the clock by which leases expire. Default time.Now.
	Now func() time.Time
}

// Presence reads and writes sessions and leases. Methods may be called concurrently, except
// as KeepLease says.
type Presence struct {
	// Static after Open.
	api                *jsapi.Client
	clock              *msgid.Clock
	bus                bus.Sessions
	backpressure       Backpressure
	log                *slog.Logger
	now                func() time.Time
	sessions, gateways jetstream.KeyValue

	watching atomic.Pointer[watch] // nil while there is no listener

	// Owned by the goroutine of Open, and then by that of KeepLease.
	since    time.Time // when the bucket of the watched leases was created
	unfollow func()    // ends the watch of leases
	newest   uint64    // revision of the lease that was written last
	lost     bool      // NATS lost records, and KeepLease has not reported it yet

	heard chan struct{} // 1; the watch fills it at each lease, KeepLease empties it; full means that KeepLease will look

	mu     sync.Mutex              // guards the rest
	leases map[string]heardLease   // by gateway
	ended  map[string]endedSession // by key, of devices that were connected here last, at most maxEnded
}

// Open opens the buckets, starts the watch of leases, and returns after it knows the leases
// that exist.
func Open(ctx context.Context, o Options) (*Presence, error) {
	p := &Presence{api: o.API, clock: o.Clock, bus: o.Bus, backpressure: o.Backpressure, log: o.Log, now: o.Now,
		heard: make(chan struct{}, 1), leases: make(map[string]heardLease), ended: make(map[string]endedSession)}
	if p.now == nil {
		p.now = time.Now
	}
	var err error
	if p.sessions, err = p.api.Bucket(ctx, subject.Sessions); err != nil {
		return nil, err
	}
	if p.gateways, err = p.api.Bucket(ctx, subject.Gateways); err != nil {
		return nil, err
	}
	return p, p.follow(ctx)
}

// Status says whether a device of a user is connected, and when one was connected last.
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
		} else { // ended, or its gateway died at an unknown time
			last = max(last, s.ConnectedAt, s.EndedAt)
		}
	}
	if online {
		last = schemas.Now()
	}
	return online, last, nil
}

// LastSeen says whether a device has a session at a gateway with a lease, and when the device
// was connected last by its session record.
func (p *Presence) LastSeen(ctx context.Context, a subject.Address) (connected bool, last schemas.Timestamp, err error) {
	s, _, _, err := jsapi.Get[schemas.Session](ctx, p.sessions, subject.DeviceKey(a))
	if s.Gateway != "" && p.Alive(s.Gateway) {
		return true, schemas.Now(), err
	}
	return false, max(s.ConnectedAt, s.EndedAt), err
}
