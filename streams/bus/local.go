package bus

import (
	"context"
	"maps"
	"slices"
	"sync"

	"roost/schemas"
	"roost/streams/subject"
)

// Local is the Bus of single-process mode: no other process shares its server. The
// publisher calls the listeners, so nothing is lost and nothing is encoded. There are no
// other services.
type Local struct {
	frontiers []Frontier // by partition

	mu       sync.RWMutex                   // guards the rest
	devices  map[subject.Address][]Listener // two while one connection takes over from another
	sessions *localSessions                 // nil without a watch
	channels ChannelListener                // nil without a watch
}

var _ Bus = (*Local)(nil)

// NewLocal makes a bus for a number of partitions.
func NewLocal(partitions int) *Local {
	return &Local{frontiers: make([]Frontier, partitions), devices: make(map[subject.Address][]Listener)}
}

// Frontier returns the delivery frontier of the inboxes of a partition.
func (b *Local) Frontier(partition int) *Frontier { return &b.frontiers[partition] }

// Close implements [Bus].
func (b *Local) Close() {}

// Reconnected reports a gap to all devices after the process had lost its server: a
// commit may be stored without an answer, and so without a live message.
func (b *Local) Reconnected() {
	b.mu.RLock()
	all := slices.Concat(slices.Collect(maps.Values(b.devices))...)
	b.mu.RUnlock()
	for _, to := range all {
		to.Gap()
	}
}

// Subscribe implements [Devices].
func (b *Local) Subscribe(a subject.Address, to Listener) (leave func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.devices[a] = append(slices.Clip(b.devices[a]), to) // a copy: a publisher may hold the old slice
	return func() { b.leave(a, to) }, nil
}

func (b *Local) leave(a subject.Address, to Listener) {
	b.mu.Lock()
	defer b.mu.Unlock()
	// A copy, too.
	if left := slices.DeleteFunc(slices.Clone(b.devices[a]), func(o Listener) bool { return o == to }); len(left) > 0 {
		b.devices[a] = left
	} else {
		delete(b.devices, a)
	}
}

// connections returns the listeners of a device.
func (b *Local) connections(a subject.Address) []Listener {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.devices[a]
}

// PublishEntry implements [Devices].
func (b *Local) PublishEntry(a subject.Address, seq uint64, entry []byte) {
	for _, to := range b.connections(a) {
		to.Entry(seq, entry)
	}
	b.Frontier(subject.Partition(a.User, len(b.frontiers))).Add(seq)
}

// PublishFrame implements [Devices].
func (b *Local) PublishFrame(a subject.Address, frame []byte) {
	for _, to := range b.connections(a) {
		to.Frame(frame)
	}
}

// PublishReplaced implements [Devices].
func (b *Local) PublishReplaced(a subject.Address, session schemas.SessionID) {
	for _, to := range b.connections(a) {
		to.Replaced(session)
	}
}

// PublishRemoved implements [Devices].
func (b *Local) PublishRemoved(a subject.Address) {
	for _, to := range b.connections(a) {
		to.Removed()
	}
}

// PublishSession implements [Sessions].
func (b *Local) PublishSession(e schemas.SessionEvent) {
	b.mu.RLock()
	w := b.sessions
	b.mu.RUnlock()
	if w.watches(e.UserID) {
		w.to.Session(e)
	}
}

// WatchSessions implements [Sessions].
func (b *Local) WatchSessions(to SessionListener) SessionWatch {
	w := &localSessions{b: b, to: to, users: make(map[schemas.UserID]struct{})}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sessions = w
	return w
}

// PublishChannelNews implements [Channels].
func (b *Local) PublishChannelNews(n ChannelNews) {
	b.mu.RLock()
	to := b.channels
	b.mu.RUnlock()
	if to != nil {
		to.News(n)
	}
}

// WatchChannels implements [Channels].
func (b *Local) WatchChannels(to ChannelListener) (stop func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.channels = to
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.channels = nil
	}, nil
}

// PublishDelivered implements [Events].
func (*Local) PublishDelivered(schemas.UserID, []byte) {}

// PublishRead implements [Events].
func (*Local) PublishRead(schemas.UserID, []byte) {}

// PublishGroupChange implements [Events].
func (*Local) PublishGroupChange(schemas.GroupID, []byte) {}

// localSessions holds the watched users.
type localSessions struct {
	b  *Local
	to SessionListener

	mu    sync.RWMutex // guards users
	users map[schemas.UserID]struct{}
}

var _ SessionWatch = (*localSessions)(nil)

// watches reports whether a user is watched; the watch may be nil.
func (w *localSessions) watches(u schemas.UserID) bool {
	if w == nil {
		return false
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	_, ok := w.users[u]
	return ok
}

// Add implements [SessionWatch].
func (w *localSessions) Add(u schemas.UserID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.users[u] = struct{}{}
	return nil
}

// Settle implements [SessionWatch].
func (w *localSessions) Settle(context.Context) error { return nil }

// Remove implements [SessionWatch].
func (w *localSessions) Remove(u schemas.UserID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.users, u)
}

// Close implements [SessionWatch].
func (w *localSessions) Close() {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	if w.b.sessions == w {
		w.b.sessions = nil
	}
}
