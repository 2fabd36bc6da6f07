package presence

import (
	"time"

	"roost/schemas"
	"roost/streams/directory"
)

// watched is one user that connections of this gateway watch: the known state of their sessions,
// and what each viewer was shown. Guarded by Watcher.mu.
//
// Sessions come from events and from records, in any order and perhaps twice. Of two sessions
// of one device the newer counts; of one session, its end counts more than its begin.
type watched struct {
	user     schemas.UserID
	slot     int // of Watcher.slots
	viewers  map[Viewer]*view
	person   *directory.User // nil until it was read
	changes  uint64          // counts changes of the user
	sessions map[schemas.DeviceID]schemas.Session
	lingers  time.Time // until when the last session counts although it ended
}

// view is what one viewer was shown of a user.
type view struct {
	shown bool // it was shown at all
	last  schemas.Presence
}

// maxSessions bounds the sessions of devices that are not, or not yet, known as the user's. If
// there are more, these sessions are dropped.
const maxSessions = 64

// merge merges the known state of a device's session. A session that ends keeps its user online
// for grace longer, so that they do not flap.
func (w *watched) merge(d schemas.DeviceID, s schemas.Session, now time.Time, grace time.Duration) {
	old, known := w.sessions[d]
	same := known && s.SessionID == old.SessionID
	if s.SessionID == "" || known && s.SessionID < old.SessionID || same && (old.Gateway == "" || s.Gateway != "") {
		return
	}
	if s.Gateway == "" {
		ended := now // by this gateway's clock, if the session was known before
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

// state returns whether the user is online, and when they were last.
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

// seenBy returns what a viewer may see: nothing of a user who does not exist, hides last-seen or
// blocks the viewer.
func (w *watched) seenBy(viewer schemas.UserID, online bool, last schemas.Timestamp) schemas.Presence {
	f := schemas.Presence{UserID: w.user}
	if w.person.Exists && (viewer == w.user || !w.person.HidesPresence(viewer)) {
		f.Online, f.LastActiveTime = online, last
	}
	return f
}

// news reports whether a viewer was not shown that yet.
func (v *view) news(f schemas.Presence) bool {
	return f.Online != v.last.Online || !f.Online && f.LastActiveTime != v.last.LastActiveTime
}

// update shows the user to all viewers to whom it is news.
func (w *watched) update(now time.Time, alive func(gateway string) bool) {
	if w.person == nil {
		return
	}
	online, last := w.state(now, alive)
	frames := make(map[schemas.Presence][]byte, 1) // what viewers see, or nothing
	for viewer, v := range w.viewers {
		f := w.seenBy(viewer.User(), online, last)
		if !v.shown || !v.news(f) {
			continue
		}
		if frames[f] == nil {
			frames[f] = schemas.EncodeFrame(&f)
		}
		v.last = f
		viewer.ShowPresence(frames[f])
	}
}
