package gateway

import (
	"time"

	"roost/schemas"
	"roost/streams"
)

// watched is one person whom connections of this gateway look at: what is known of
// their sessions, and what each viewer was told. Guarded by presences.mu.
//
// Sessions come from events and from reads of the records, in any order and
// perhaps twice: of two of one device the newer counts, and its end more than its
// begin.
type watched struct {
	user     schemas.UserID
	slot     int // of presences.slots
	viewers  map[*session]*view
	person   *streams.Person // nil until it was read
	changes  uint64          // counts what was heard of changes of the person
	sessions map[schemas.DeviceID]schemas.Session
	lingers  time.Time // until when the last session counts though it ended
}

// view is what one connection was told of a person.
type view struct {
	told bool // it was told of at all
	last schemas.Presence
}

// maxSessions bounds the sessions of devices that are not, or not yet, known as the
// person's; with more, those are forgotten.
const maxSessions = 64

// merge takes what was heard of a device's session. A session that ends keeps its
// person online for grace more, against flapping.
func (w *watched) merge(d schemas.DeviceID, s schemas.Session, now time.Time, grace time.Duration) {
	old, known := w.sessions[d]
	same := known && s.SessionID == old.SessionID
	if s.SessionID == "" || known && s.SessionID < old.SessionID || same && (old.Gateway == "" || s.Gateway != "") {
		return
	}
	if s.Gateway == "" {
		ended := now // by this gateway's clock, where it was known to be there
		if at := s.EndedAt.Time(); !same && at.Before(now) {
			ended = at
		}
		if until := ended.Add(grace); until.After(w.lingers) {
			w.lingers = until
		}
	}
	w.sessions[d] = s
	if len(w.sessions) > maxSessions && w.person != nil {
		for d := range w.sessions {
			if _, ok := w.person.Device(d); !ok {
				delete(w.sessions, d)
			}
		}
	}
}

// state is whether the person is online, and when they were last.
func (w *watched) state(now time.Time, alive func(gateway string) bool) (online bool, last schemas.Timestamp) {
	last = w.person.LastActive
	for _, d := range w.person.Devices {
		s := w.sessions[d.DeviceID]
		if s.Gateway != "" && alive(s.Gateway) {
			return true, schemas.TimestampOf(now)
		}
		last = max(last, d.LastActive, s.ConnectedAt, s.EndedAt)
	}
	return now.Before(w.lingers), last
}

// seenBy is what a viewer may know: of who is unknown, hides last-seen or blocks the
// viewer, nothing.
func (w *watched) seenBy(viewer schemas.UserID, online bool, last schemas.Timestamp) schemas.Presence {
	f := schemas.Presence{UserID: w.user}
	if w.person.Exists && (viewer == w.user || !w.person.HidesPresence(viewer)) {
		f.Online, f.LastActiveTime = online, last
	}
	return f
}

// news says whether a viewer was not told that yet.
func (v *view) news(f schemas.Presence) bool {
	return f.Online != v.last.Online || !f.Online && f.LastActiveTime != v.last.LastActiveTime
}

// update shows the person to all viewers to whom it is news.
func (w *watched) update(now time.Time, alive func(gateway string) bool) {
	if w.person == nil {
		return
	}
	online, last := w.state(now, alive)
	frames := make(map[schemas.Presence][]byte, 1) // what there is to see, or nothing
	for s, v := range w.viewers {
		f := w.seenBy(s.addr.User, online, last)
		if !v.told || !v.news(f) {
			continue
		}
		if frames[f] == nil {
			frames[f] = schemas.EncodeFrame(&f)
		}
		v.last = f
		s.conn.send(frames[f])
	}
}
