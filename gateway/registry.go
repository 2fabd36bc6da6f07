package gateway

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"roost/gateway/wakeups"
	"roost/schemas"
	"roost/streams/subject"
)

// registry knows the connections of a gateway, by user and by address. Its methods may be
// called concurrently.
type registry struct {
	limits Limits // static

	mu        sync.Mutex // guards the rest, and the entry of each connection
	conns     map[*conn]struct{}
	byUser    map[schemas.UserID][]*conn
	byAddress map[string]int
	draining  bool
}

// entry is what the registry knows of one connection. It is part of the connection, so that an
// idle one costs no more memory.
type entry struct {
	user       schemas.UserID    // empty before identify
	session    *session          // nil before join
	device     schemas.DeviceID  // of the session; empty before hold
	registered schemas.Timestamp // when the device was
	active     schemas.Timestamp // the last activity of the device that is on record
	pinged     time.Time         // when the connection was pinged last
}

// registeredDevice is the part of a device's record that decides whether it is revoked.
func (e *entry) registeredDevice() schemas.Device {
	return schemas.Device{DeviceID: e.device, CreatedAt: e.registered}
}

func newRegistry(l Limits) *registry {
	return &registry{limits: l, conns: make(map[*conn]struct{}), byUser: make(map[schemas.UserID][]*conn), byAddress: make(map[string]int)}
}

// admit counts a new connection for its address, or returns why there may be none.
func (r *registry) admit(address string) *schemas.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.draining {
		return &schemas.Error{Code: schemas.CodeUnavailable, Message: "The server restarts. Connect again.", RetryAfterMS: 1000}
	}
	if max := r.limits.ConnectionsPerAddress; max > 0 && r.byAddress[address] >= max {
		return &schemas.Error{Code: schemas.CodeRateLimited, RetryAfterMS: 10_000,
			Message: fmt.Sprintf("Your address has %d connections already; close some.", max)}
	}
	r.byAddress[address]++
	return nil
}

// dismiss undoes admit.
func (r *registry) dismiss(address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	decrement(r.byAddress, address)
}

// add starts an admitted connection with run. It returns false if the gateway drains.
func (r *registry) add(c *conn, run func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.draining {
		return false
	}
	r.conns[c] = struct{}{}
	run()
	return true
}

// remove undoes admit, add and identify.
func (r *registry) remove(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
	decrement(r.byAddress, c.address)
	if u := c.entry.user; u != "" {
		others := slices.DeleteFunc(r.byUser[u], func(o *conn) bool { return o == c })
		if r.byUser[u] = others; len(others) == 0 {
			delete(r.byUser, u)
		}
	}
}

func decrement[K comparable](m map[K]int, k K) {
	if m[k]--; m[k] <= 0 {
		delete(m, k)
	}
}

// identify counts a connection for its user. It returns false if the user has too many.
func (r *registry) identify(c *conn, u schemas.UserID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if max := r.limits.ConnectionsPerUser; max > 0 && len(r.byUser[u]) >= max {
		return false
	}
	r.byUser[u] = append(r.byUser[u], c)
	c.entry.user = u
	return true
}

// hold notes the device of a connection, so that revoked and inactive return it.
func (r *registry) hold(c *conn, d schemas.Device, now schemas.Timestamp) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.entry.device, c.entry.registered, c.entry.active = d.DeviceID, d.CreatedAt, d.LastActive
	if stale(c.entry.active, now) {
		c.entry.active = now // the hello has just recorded it
	}
}

// join notes the session of a connection, so that devices returns it.
func (r *registry) join(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.conn.entry.session = s
}

// devices returns the connected devices of users, from shortly before their welcome on.
func (r *registry) devices(users ...schemas.UserID) (all []wakeups.Device) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, u := range users {
		for _, c := range r.byUser[u] {
			if c.entry.session != nil {
				all = append(all, c.entry.session)
			}
		}
	}
	return all
}

// revoked returns the connections of devices that a user's record does not have any more.
func (r *registry) revoked(u schemas.UserID, record schemas.Devices) (all []*conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.byUser[u] {
		if c.entry.device != "" && record.Revoked(c.entry.registeredDevice()) {
			all = append(all, c)
		}
	}
	return all
}

// inactive returns the connections of devices whose last activity is to be recorded again.
func (r *registry) inactive(now schemas.Timestamp) (due []*conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		if c.entry.device != "" && stale(c.entry.active, now) {
			due = append(due, c)
		}
	}
	return due
}

// deviceOf returns the device of a connection, and the part of its record that decides whether
// it is revoked.
func (r *registry) deviceOf(c *conn) (subject.Address, schemas.Device) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return subject.Address{User: c.entry.user, Device: c.entry.device}, c.entry.registeredDevice()
}

// recorded notes that the last activity of a device is on record.
func (r *registry) recorded(c *conn, at schemas.Timestamp) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.entry.active = at
}

// silent returns the connections to ping, because they are quiet, and those to close, because
// they have been silent for too long.
func (r *registry) silent(now time.Time, heartbeat time.Duration) (quiet, silent []*conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		since := now.Sub(c.socket.LastHeard())
		switch {
		case since > silentAfter*heartbeat:
			silent = append(silent, c)
		case since > pingsAfter*heartbeat/2 && now.Sub(c.entry.pinged) > pingsBetween*heartbeat/2:
			c.entry.pinged = now
			quiet = append(quiet, c)
		}
	}
	return quiet, silent
}

// all returns all connections.
func (r *registry) all() []*conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.conns))
}

// count is the number of connections.
func (r *registry) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

// drain refuses connections from now on, and returns those that are open.
func (r *registry) drain() []*conn {
	r.mu.Lock()
	r.draining = true
	r.mu.Unlock()
	return r.all()
}

// drains reports whether drain was called.
func (r *registry) drains() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.draining
}
