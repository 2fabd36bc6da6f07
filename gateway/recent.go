package gateway

import (
	"time"
	"unique"

	"github.com/oklog/ulid/v2"

	"roost/schemas"
)

const (
	// MaxRecent is how many messages a connection remembers the senders of, once
	// they have left the inbox.
	MaxRecent = 64
	// recentFor is for how long after the last of them: an idle connection has none.
	recentFor = 10 * time.Minute
)

// recent are the senders of the messages that a connection acknowledged last, for
// a message_read that does not name the sender. It belongs to the reader.
//
// Each connection that receives has a full one, so a message takes 24 bytes here: ids are
// in binary, and all connections share the name of a sender.
type recent struct {
	all  []recentMessage // at most MaxRecent; next is the oldest then
	next int
	at   time.Time // of the newest
}

type recentMessage struct {
	id     ulid.ULID
	sender unique.Handle[schemas.UserID]
}

// add remembers a message. An id that is no ULID is not remembered: the server makes none.
func (r *recent) add(id schemas.MessageID, sender schemas.UserID, now time.Time) {
	parsed, err := ulid.ParseStrict(string(id))
	if err != nil {
		return
	}
	m := recentMessage{parsed, unique.Make(sender)}
	if r.at = now; len(r.all) < MaxRecent {
		r.all = append(r.all, m)
		return
	}
	r.all[r.next] = m
	r.next = (r.next + 1) % MaxRecent
}

func (r *recent) sender(id schemas.MessageID) (schemas.UserID, bool) {
	parsed, err := ulid.ParseStrict(string(id))
	if err != nil {
		return "", false
	}
	for _, m := range r.all {
		if m.id == parsed {
			return m.sender.Value(), true
		}
	}
	return "", false
}

// over says that nothing came for a while, so that the memory can go.
func (r *recent) over(now time.Time) bool { return now.Sub(r.at) > recentFor }
