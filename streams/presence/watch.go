package presence

import (
	"roost/schemas"
	"roost/streams/bus"
)

// Listener gets each change that may turn users online or offline. Its methods may be called
// concurrently and must not block.
type Listener interface {
	bus.SessionListener // of watched users
	// UserChanged reports that the devices, settings or blocks of any user changed.
	UserChanged(u schemas.UserID)
	// Lease reports that a gateway wrote its first lease, or deleted its lease. It does not
	// report a lease that expires: call [Presence.Alive] now and then.
	Lease(gateway string)
}

// watch is the watch of the process.
type watch struct {
	bus.SessionWatch
	p  *Presence
	to Listener
}

// Watch starts to call a listener; a process has one watch at a time. Close the watch before
// the connection to NATS.
func (p *Presence) Watch(to Listener) bus.SessionWatch {
	w := &watch{p.bus.WatchSessions(to), p, to}
	p.watching.Store(w)
	return w
}

// Close implements [bus.SessionWatch].
func (w *watch) Close() {
	w.p.watching.CompareAndSwap(w, nil)
	w.SessionWatch.Close()
}

// UserChanged tells the listener that the record of a user changed. It does not block.
func (p *Presence) UserChanged(u schemas.UserID) {
	p.tell(func(l Listener) { l.UserChanged(u) })
}

// Gap tells the listener that this process may have missed changes. It does not block.
func (p *Presence) Gap() { p.tell(Listener.Gap) }

// tell calls the listener, if there is one.
func (p *Presence) tell(call func(Listener)) {
	if w := p.watching.Load(); w != nil {
		call(w.to)
	}
}
