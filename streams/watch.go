package streams

import (
	"roost/schemas"
	"roost/streams/bus"
)

// SessionListener hears of what decides whether users are online. Its methods may be
// called concurrently and must not block.
type SessionListener interface {
	bus.SessionListener // of watched users
	// Person tells that the devices, settings or blocks of any user changed.
	Person(u schemas.UserID)
	// Lease tells that a gateway took or gave up its lease. Nobody tells of a lease that
	// expires: ask [Presence.Alive] now and then.
	Lease(gateway string)
}

// sessionWatch is the watch of the process, of which the rest of the Conn knows.
type sessionWatch struct {
	bus.SessionWatch
	c  *Conn
	to SessionListener
}

// WatchSessions starts telling to; a process has one watch at a time. Close it before the
// Conn.
func (c *Conn) WatchSessions(to SessionListener) bus.SessionWatch {
	w := &sessionWatch{c.bus.WatchSessions(to), c, to}
	c.watching.Store(w)
	return w
}

// Close implements [bus.SessionWatch].
func (w *sessionWatch) Close() {
	w.c.watching.CompareAndSwap(w, nil)
	w.SessionWatch.Close()
}

// tellWatch calls the listener of the process, if there is one.
func (c *Conn) tellWatch(tell func(SessionListener)) {
	if w := c.watching.Load(); w != nil {
		tell(w.to)
	}
}
