package gateway

import (
	"time"

	"roost/schemas"
)

const (
	// maxRecent is how many messages a connection remembers the senders of, once
	// they have left the inbox.
	maxRecent = 64
	// recentFor is for how long after the last of them: an idle connection has none.
	recentFor = 10 * time.Minute
)

// recent are the senders of the messages that a connection acknowledged last, for
// a message_read that does not name the sender. It belongs to the reader.
type recent struct {
	all  []recentMessage // at most maxRecent; next is the oldest then
	next int
	at   time.Time // of the newest
}

type recentMessage struct {
	id     schemas.MessageID
	sender schemas.UserID
}

func (r *recent) add(id schemas.MessageID, sender schemas.UserID, now time.Time) {
	m := recentMessage{id, sender}
	if r.at = now; len(r.all) < maxRecent {
		r.all = append(r.all, m)
		return
	}
	r.all[r.next] = m
	r.next = (r.next + 1) % maxRecent
}

func (r *recent) sender(id schemas.MessageID) (schemas.UserID, bool) {
	for _, m := range r.all {
		if m.id == id {
			return m.sender, true
		}
	}
	return "", false
}

// over says that nothing came for a while, so that the memory can go.
func (r *recent) over(now time.Time) bool { return now.Sub(r.at) > recentFor }
