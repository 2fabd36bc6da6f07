package directory

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/msgid"
	"roost/streams/subject"
)

// Directory looks users up and changes them. Methods may be called concurrently.
type Directory struct {
	api                                 *jsapi.Client
	accounts, devices, settings, blocks jetstream.KeyValue
	clock                               *msgid.Clock
	now                                 func() time.Time
	log                                 *slog.Logger

	mu        sync.Mutex // guards the rest
	users     map[userPart]*slot
	onChange  []func(schemas.UserID)
	onDevices []func(schemas.UserID, schemas.Devices)
}

// userPart is the part of a user that is cached together: the whole User, or the
// Registration only, which takes two reads less.
type userPart struct {
	user  schemas.UserID
	whole bool
}

// slot is one user's place in the cache; ready is closed after user and err are set. An
// invalidation removes the slot from the map. So data loaded before it goes only to
// callers that asked before it.
type slot struct {
	ready   chan struct{}
	user    *User
	err     error
	expires time.Time
}

const (
	// maxCached bounds the users in the cache; one more evicts any other.
	maxCached = 200_000
	// CacheTTL is how long a cached user is used if a watch fails in silence.
	CacheTTL = time.Minute
)

// Open opens the buckets and starts the watches. now is the clock of the cache; nil is
// time.Now.
func Open(ctx context.Context, api *jsapi.Client, clock *msgid.Clock, now func() time.Time, log *slog.Logger) (*Directory, error) {
	if now == nil {
		now = time.Now
	}
	d := &Directory{api: api, clock: clock, now: now, log: log, users: make(map[userPart]*slot)}
	for _, b := range []struct {
		kv   *jetstream.KeyValue
		name subject.Bucket
	}{{&d.accounts, subject.Accounts}, {&d.devices, subject.Devices}, {&d.settings, subject.Settings}, {&d.blocks, subject.Blocks}} {
		kv, err := api.Bucket(ctx, b.name)
		if err != nil {
			return nil, err
		}
		*b.kv = kv
		if b.name == subject.Accounts {
			continue
		}
		changed, opts := d.changed, []jetstream.WatchOpt{jetstream.UpdatesOnly()}
		if b.name == subject.Devices {
			changed = d.devicesChanged
		} else {
			opts = append(opts, jetstream.MetaOnly())
		}
		if _, err := api.Watch(ctx, kv, changed, opts...); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// changed evicts a user who changed from the cache, and calls the functions registered
// with OnChange.
func (d *Directory) changed(e jetstream.KeyValueEntry) {
	if e == nil {
		return
	}
	u, err := schemas.ParseUserToken(e.Key())
	if err != nil {
		return
	}
	d.Forget(u)
	d.mu.Lock()
	all := d.onChange
	d.mu.Unlock()
	for _, changed := range all {
		changed(u)
	}
}

// OnChange registers changed, which is called after the devices, settings or blocks of
// any user changed, in any process, until the watches end. It must not block.
func (d *Directory) OnChange(changed func(schemas.UserID)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onChange = append(slices.Clone(d.onChange), changed)
}

// devicesChanged also calls the functions registered with OnDevices.
func (d *Directory) devicesChanged(e jetstream.KeyValueEntry) {
	d.changed(e)
	if e == nil || e.Operation() != jetstream.KeyValuePut {
		return
	}
	u, err := schemas.ParseUserToken(e.Key())
	if err != nil {
		return
	}
	record, err := schemas.Decode[schemas.Devices](e.Value())
	if err != nil {
		return // a caller that loads it fails as well, and returns the error
	}
	d.mu.Lock()
	all := d.onDevices
	d.mu.Unlock()
	for _, told := range all {
		told(u, record)
	}
}

// OnDevices registers told, which is called with each change of any user's devices, in
// any process, until the Conn is closed. It must not block.
func (d *Directory) OnDevices(told func(schemas.UserID, schemas.Devices)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onDevices = append(slices.Clone(d.onDevices), told)
}

// Forget evicts a user from the cache.
func (d *Directory) Forget(u schemas.UserID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.users, userPart{u, true})
	delete(d.users, userPart{u, false})
}

// ForgetAll empties the cache: changes may have been missed.
func (d *Directory) ForgetAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.users)
}

// User looks a user up, in the cache first. For an unknown user it returns a User that
// does not exist, not an error.
func (d *Directory) User(ctx context.Context, u schemas.UserID) (*User, error) {
	return d.look(ctx, userPart{u, true})
}

// Registration returns the part of [Directory.User] that a connect needs.
func (d *Directory) Registration(ctx context.Context, u schemas.UserID) (*Registration, error) {
	d.mu.Lock()
	s, whole := d.users[userPart{u, true}]
	whole = whole && !d.now().After(s.expires)
	d.mu.Unlock()
	p, err := d.look(ctx, userPart{u, whole})
	if err != nil {
		return nil, err
	}
	return &p.Registration, nil
}

func (d *Directory) look(ctx context.Context, of userPart) (*User, error) {
	d.mu.Lock()
	s, ok := d.users[of]
	if !ok || d.now().After(s.expires) {
		if len(d.users) >= maxCached {
			for other := range d.users { // any one: map order is random
				delete(d.users, other)
				break
			}
		}
		s = &slot{ready: make(chan struct{}), expires: d.now().Add(CacheTTL)}
		d.users[of] = s
		d.mu.Unlock()
		s.user, s.err = d.load(ctx, of)
		if s.err != nil {
			d.mu.Lock()
			if d.users[of] == s {
				delete(d.users, of)
			}
			d.mu.Unlock()
		}
		close(s.ready)
		return s.user, s.err
	}
	d.mu.Unlock()
	select {
	case <-s.ready:
		return s.user, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Fresh is User without the cache.
func (d *Directory) Fresh(ctx context.Context, u schemas.UserID) (*User, error) {
	d.Forget(u)
	return d.User(ctx, u)
}

// load serves all callers that wait for the slot, so it outlives the first caller.
func (d *Directory) load(ctx context.Context, of userPart) (*User, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), jsapi.Timeout)
	defer cancel()
	devices, _, exists, err := jsapi.Get[schemas.Devices](ctx, d.devices, subject.UserKey(of.user))
	if err != nil || !exists {
		return &User{}, err
	}
	if devices.Deleted() {
		return &User{Registration: Registration{Deleted: !devices.Erased, Taken: devices.NameTaken(schemas.TimestampOf(d.now())), TokensAfter: devices.DeletedAt}}, nil
	}
	for _, dev := range devices.Devices {
		// So every send to a device has a larger id than the device: see sentBy in the
		// gateway.
		d.clock.Observe(schemas.MessageID(dev.DeviceID))
	}
	p := &User{Registration: Registration{Exists: true, Devices: devices.Devices, Removed: devices.Removed, LastActive: devices.LastActive, TokensAfter: devices.TokensAfter}}
	if !of.whole {
		return p, nil
	}
	if p.Settings, err = d.Settings(ctx, of.user); err != nil {
		return &User{}, err
	}
	p.Blocked, err = d.Blocks(ctx, of.user)
	return p, err
}
