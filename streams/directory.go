package streams

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/msgid"
	"roost/streams/subject"
)

// Directory knows who there is: accounts, devices, settings and blocks, each one key a
// user in its bucket, changed with compare-and-set. What sends need of a person
// is cached, and the cache is told of changes by one watch a bucket; another
// gateway's change is seen here a network hop later.
type Directory struct {
	accounts, devices, settings, blocks jetstream.KeyValue
	now                                 func() time.Time
	told                                func(schemas.UserID) // that somebody changed, after the cache forgot them
	clock                               *msgid.Clock

	mu        sync.Mutex // guards the rest
	people    map[personPart]*slot
	onDevices []func(schemas.UserID, schemas.Devices)
}

// Person is what a send needs to know of a user. It is shared: do not change it.
type Person struct {
	Registration
	Settings schemas.Settings
	Blocked  schemas.Blocks
}

// Registration is what a connect needs to know of a user: a Person without what
// they chose. It is shared: do not change it.
type Registration struct {
	Exists  bool
	Devices []schemas.Device
	Deleted bool               // the account was deleted, and not everything of it yet
	Taken   bool               // the name is that of a deleted account, and nobody may have it yet
	Removed []schemas.DeviceID // the devices removed last
	// LastActive is when a device that is among Devices no more was connected last.
	LastActive schemas.Timestamp
	// TokensAfter is when an account of that name was deleted last: no token from
	// before is good any more.
	TokensAfter schemas.Timestamp
}

// Device finds one of the person's devices.
func (p *Registration) Device(id schemas.DeviceID) (schemas.Device, bool) {
	for _, d := range p.Devices {
		if d.DeviceID == id {
			return d, true
		}
	}
	return schemas.Device{}, false
}

// Lost says whether the person had a device that is no more. That a device is not
// among Devices does not say so: it may be newer than what was read.
func (p *Registration) Lost(id schemas.DeviceID) bool {
	return p.Deleted || slices.Contains(p.Removed, id)
}

// LostSince is Lost for a device that was registered at a known time. The deletion of an
// earlier account of the same name does not concern it.
func (p *Registration) LostSince(d schemas.Device) bool {
	return p.TokensAfter > 0 && d.CreatedAt <= p.TokensAfter || slices.Contains(p.Removed, d.DeviceID)
}

// Had says whether who has the name now had it at the time of that id, too: not
// somebody who was deleted since, nor the next of that name.
func (p *Registration) Had(id schemas.MessageID) bool {
	return p.Exists && !p.OfTheOneBefore(id)
}

// OfTheOneBefore says whether an id is of a time when somebody else had the name, who
// deleted the account since: who has it now is not told of receipts of such a message,
// and does not change it.
func (p *Registration) OfTheOneBefore(id schemas.MessageID) bool {
	return p.TokensAfter > 0 && id.Time() <= p.TokensAfter
}

// personPart is what of a user is cached together: the whole Person, or the
// Registration alone, which takes two reads less.
type personPart struct {
	user  schemas.UserID
	whole bool
}

// slot is one person's place in the cache; ready is closed once person and err
// are there. An invalidation takes the slot out of the map, so what was loaded
// before it is given to those who asked before it, and to nobody else.
type slot struct {
	ready   chan struct{}
	person  *Person
	err     error
	expires time.Time
}

const (
	// maxCached bounds the people in the cache; one more evicts any other.
	maxCached = 200_000
	// cacheTTL is how long the cache is believed where a watch fails in silence.
	cacheTTL = time.Minute
)

func openDirectory(ctx context.Context, c *Conn) (*Directory, error) {
	d := &Directory{people: make(map[personPart]*slot), now: time.Now, clock: c.clock,
		told: func(u schemas.UserID) { c.tellWatch(func(l SessionListener) { l.Person(u) }) }}
	for _, b := range []struct {
		kv   *jetstream.KeyValue
		name subject.Bucket
	}{{&d.accounts, subject.Accounts}, {&d.devices, subject.Devices}, {&d.settings, subject.Settings}, {&d.blocks, subject.Blocks}} {
		kv, err := c.api.Bucket(ctx, b.name)
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
		if _, err := c.api.Watch(ctx, kv, changed, opts...); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// changed forgets who changed.
func (d *Directory) changed(e jetstream.KeyValueEntry) {
	if e == nil {
		return
	}
	if u, err := schemas.ParseUserToken(e.Key()); err == nil {
		d.forget(u)
		d.told(u)
	}
}

// devicesChanged tells those who asked for it as well.
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
		return // whoever loads it fails as well, and says so
	}
	d.mu.Lock()
	all := d.onDevices
	d.mu.Unlock()
	for _, told := range all {
		told(u, record)
	}
}

// OnDevices has told called with each change of anybody's devices, in whatever
// process it is made, until the Conn is closed. It must not block.
func (d *Directory) OnDevices(told func(schemas.UserID, schemas.Devices)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onDevices = append(slices.Clone(d.onDevices), told)
}

func (d *Directory) forget(u schemas.UserID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.people, personPart{u, true})
	delete(d.people, personPart{u, false})
}

func (d *Directory) forgetAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.people)
}

// Person looks a user up, in the cache first. An unknown user is a Person that
// does not exist, not an error.
func (d *Directory) Person(ctx context.Context, u schemas.UserID) (*Person, error) {
	return d.look(ctx, personPart{u, true})
}

// Registration is the part of [Directory.Person] that a connect needs.
func (d *Directory) Registration(ctx context.Context, u schemas.UserID) (*Registration, error) {
	d.mu.Lock()
	s, whole := d.people[personPart{u, true}]
	whole = whole && !d.now().After(s.expires)
	d.mu.Unlock()
	p, err := d.look(ctx, personPart{u, whole})
	if err != nil {
		return nil, err
	}
	return &p.Registration, nil
}

func (d *Directory) look(ctx context.Context, of personPart) (*Person, error) {
	d.mu.Lock()
	s, ok := d.people[of]
	if !ok || d.now().After(s.expires) {
		if len(d.people) >= maxCached {
			for other := range d.people { // any one: map order is random
				delete(d.people, other)
				break
			}
		}
		s = &slot{ready: make(chan struct{}), expires: d.now().Add(cacheTTL)}
		d.people[of] = s
		d.mu.Unlock()
		s.person, s.err = d.load(ctx, of)
		if s.err != nil {
			d.mu.Lock()
			if d.people[of] == s {
				delete(d.people, of)
			}
			d.mu.Unlock()
		}
		close(s.ready)
		return s.person, s.err
	}
	d.mu.Unlock()
	select {
	case <-s.ready:
		return s.person, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Fresh is Person past the cache.
func (d *Directory) Fresh(ctx context.Context, u schemas.UserID) (*Person, error) {
	d.forget(u)
	return d.Person(ctx, u)
}

// load serves everyone who waits for the slot, so it outlives the first asker.
func (d *Directory) load(ctx context.Context, of personPart) (*Person, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), jsapi.Timeout)
	defer cancel()
	devices, _, exists, err := jsapi.Get[schemas.Devices](ctx, d.devices, subject.UserKey(of.user))
	if err != nil || !exists {
		return &Person{}, err
	}
	if devices.Deleted() {
		return &Person{Registration: Registration{Deleted: !devices.Erased, Taken: devices.Taken(schemas.TimestampOf(d.now())), TokensAfter: devices.DeletedAt}}, nil
	}
	for _, dev := range devices.Devices {
		// So that what is sent to a device has a larger id than it: see sentBy in the gateway.
		d.clock.Observe(schemas.MessageID(dev.DeviceID))
	}
	p := &Person{Registration: Registration{Exists: true, Devices: devices.Devices, Removed: devices.Removed, LastActive: devices.LastActive, TokensAfter: devices.TokensAfter}}
	if !of.whole {
		return p, nil
	}
	if p.Settings, err = d.Settings(ctx, of.user); err != nil {
		return &Person{}, err
	}
	p.Blocked, err = d.Blocks(ctx, of.user)
	return p, err
}

// ErrExists: somebody has that name already.
var ErrExists = errors.New("exists already")

// CreateAccount adds a person, or fails with [ErrExists]: also while the name of a
// deleted account is reserved, or not everything of it is deleted. An account that was written
// and no more, when a process died, is completed by [Directory.EnsureUser].
func (d *Directory) CreateAccount(ctx context.Context, a schemas.Account) error {
	p, err := d.Fresh(ctx, a.UserID)
	if err != nil {
		return err
	}
	if p.Taken {
		return ErrExists
	}
	// The server takes a record that it cannot read for none, and would replace it.
	if _, taken, err := d.Account(ctx, a.UserID); err != nil || taken {
		return cmp.Or(err, ErrExists)
	}
	revision, err := d.accounts.Create(ctx, subject.UserKey(a.UserID), schemas.Encode(a))
	if errors.Is(err, jetstream.ErrKeyExists) {
		return ErrExists
	}
	if err != nil {
		return fmt.Errorf("failed to create account: %w", err)
	}
	err = d.EnsureUser(ctx, a.UserID)
	if errors.Is(err, ErrDeleted) { // the account before was deleted at this moment
		if err := d.accounts.Purge(ctx, subject.UserKey(a.UserID), jetstream.LastRevision(revision)); err != nil {
			return fmt.Errorf("failed to take an account back: %w", err)
		}
		return ErrExists
	}
	return err
}

// Account looks an account up; ok is false where there is none.
func (d *Directory) Account(ctx context.Context, u schemas.UserID) (a schemas.Account, ok bool, err error) {
	a, _, ok, err = jsapi.Get[schemas.Account](ctx, d.accounts, subject.UserKey(u))
	return a, ok, err
}

// EnsureUser makes a user exist, with no device, where there is none: a user of
// an external issuer on the first connection. It fails with [ErrDeleted] while the name
// of a deleted account is reserved, or not everything of it is deleted.
func (d *Directory) EnsureUser(ctx context.Context, u schemas.UserID) error {
	p, err := d.Registration(ctx, u)
	if err != nil || p.Exists {
		return err
	}
	defer d.forget(u)
	_, err = jsapi.Update(ctx, d.devices, subject.UserKey(u), func(all schemas.Devices, exists bool) (schemas.Devices, error) {
		switch {
		case exists && !all.Deleted():
			return all, jsapi.ErrUnchanged
		case exists && all.Taken(schemas.TimestampOf(d.now())):
			return all, ErrDeleted
		}
		return schemas.Devices{Devices: []schemas.Device{}, Removed: all.Removed, TokensAfter: all.DeletedAt}, nil
	})
	if err != nil {
		return fmt.Errorf("failed to create user: %w", err)
	}
	return nil
}

// Admit is EnsureUser for the owner of a token that was issued at that time. It
// fails with [ErrDeleted] for a token from before an account of that name was
// deleted, for it is not one of the person who has the name now.
func (d *Directory) Admit(ctx context.Context, u schemas.UserID, issued schemas.Timestamp) error {
	p, err := d.Registration(ctx, u)
	if err != nil {
		return err
	}
	if p.TokensAfter > 0 && issued <= p.TokensAfter {
		return ErrDeleted
	}
	if p.Exists {
		return nil
	}
	return d.EnsureUser(ctx, u)
}

// Settings are a user's choices, or the defaults.
func (d *Directory) Settings(ctx context.Context, u schemas.UserID) (schemas.Settings, error) {
	s, _, ok, err := jsapi.Get[schemas.Settings](ctx, d.settings, subject.UserKey(u))
	if !ok {
		s = schemas.DefaultSettings()
	}
	return s, err
}

// ChangeSettings applies change to the newest settings and returns the result.
func (d *Directory) ChangeSettings(ctx context.Context, u schemas.UserID, change func(schemas.Settings) schemas.Settings) (schemas.Settings, error) {
	defer d.forget(u)
	return jsapi.Update(ctx, d.settings, subject.UserKey(u), func(s schemas.Settings, exists bool) (schemas.Settings, error) {
		if !exists {
			s = schemas.DefaultSettings()
		}
		return change(s), nil
	})
}

// ErrTimerLimit: as many chats of the person have a timer as may.
var ErrTimerLimit = errors.New("too many chats have a timer")

// SetTimer writes what a person chose for the chat with another.
func (d *Directory) SetTimer(ctx context.Context, u schemas.UserID, t schemas.ChatTimer) error {
	defer d.forget(u)
	_, err := jsapi.Update(ctx, d.settings, subject.UserKey(u), func(s schemas.Settings, exists bool) (schemas.Settings, error) {
		if !exists {
			s = schemas.DefaultSettings()
		}
		s, ok := s.SetTimer(t)
		if !ok {
			return s, ErrTimerLimit
		}
		return s, nil
	})
	return err
}

// ErrDeviceLimit: the person has as many devices as are allowed.
var ErrDeviceLimit = errors.New("too many devices")

// AddDevice registers dev unless the user has limit devices already. The first
// device of a user is marked as the one that claims what came before it. It may be
// repeated: a device that is registered, or was and is removed, stays as it is.
func (d *Directory) AddDevice(ctx context.Context, u schemas.UserID, dev schemas.Device, limit int) (schemas.Device, error) {
	defer d.forget(u)
	_, err := jsapi.Update(ctx, d.devices, subject.UserKey(u), func(all schemas.Devices, _ bool) (schemas.Devices, error) {
		if all.Deleted() {
			return all, ErrDeleted
		}
		for _, known := range all.Devices {
			if known.DeviceID == dev.DeviceID {
				dev = known
				return all, jsapi.ErrUnchanged
			}
		}
		if slices.Contains(all.Removed, dev.DeviceID) {
			dev.Unclaimed = false
			return all, jsapi.ErrUnchanged
		}
		if len(all.Devices) >= limit {
			return all, ErrDeviceLimit
		}
		dev.CreatedAt = max(dev.CreatedAt, all.TokensAfter+1) // so that it is known for a device of this account
		dev.Unclaimed = len(all.Devices) == 0
		all.Devices = append(all.Devices, dev)
		return all, nil
	})
	return dev, err
}

// ChangeDevice applies change to one device of a user; false where it is not there.
func (d *Directory) ChangeDevice(ctx context.Context, a subject.Address, change func(*schemas.Device)) (bool, error) {
	defer d.forget(a.User)
	found := false
	_, err := jsapi.Update(ctx, d.devices, subject.UserKey(a.User), func(all schemas.Devices, _ bool) (schemas.Devices, error) {
		found = false
		for i := range all.Devices {
			if all.Devices[i].DeviceID == a.Device {
				change(&all.Devices[i])
				found = true
			}
		}
		if !found {
			return all, jsapi.ErrUnchanged
		}
		return all, nil
	})
	return found, err
}

// RemoveDevice forgets a device; false where it is not there. What it should have
// claimed and did not is for the oldest device left.
func (d *Directory) RemoveDevice(ctx context.Context, a subject.Address) (bool, error) {
	return d.removeDevice(ctx, a, removal{})
}

// removal says how a device is removed.
type removal struct {
	// may is asked of the newest record whether it still goes; nil for yes.
	may func(schemas.Device) bool
	// seen is when the device was connected last, as its session says.
	seen schemas.Timestamp
	// takeBack is for a device that nobody knows of, and that was never used: a record
	// without it is written as it is, so that a registration which is still on its way fails.
	takeBack bool
}

// removeDevice is RemoveDevice as r says.
func (d *Directory) removeDevice(ctx context.Context, a subject.Address, r removal) (bool, error) {
	defer d.forget(a.User)
	found := false
	_, err := jsapi.Update(ctx, d.devices, subject.UserKey(a.User), func(all schemas.Devices, exists bool) (schemas.Devices, error) {
		kept, gone := make([]schemas.Device, 0, len(all.Devices)), schemas.Device{}
		for _, dev := range all.Devices {
			if dev.DeviceID != a.Device || r.may != nil && !r.may(dev) {
				kept = append(kept, dev)
			} else {
				gone = dev
			}
		}
		if gone.Unclaimed && len(kept) > 0 {
			kept[0].Unclaimed = true
		}
		if found = len(kept) < len(all.Devices); !found {
			if r.takeBack && exists && !all.Deleted() {
				return all, nil
			}
			return all, jsapi.ErrUnchanged
		}
		all.Devices = kept
		if !r.takeBack {
			all.LastActive = max(all.LastActive, gone.LastActive, r.seen)
		}
		return all.WithRemoved(a.Device), nil
	})
	return found, err
}
