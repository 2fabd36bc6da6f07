package gateway

import (
	"time"
	"unique"

	"github.com/oklog/ulid/v2"

	"roost/schemas"
)

const (
	// MaxRecent is how many messages a connection remembers the senders of, after the messages
	// have left the inbox.
	MaxRecent = 64
	// recentFor is for how long after the last acknowledgement. An idle connection remembers none.
	recentFor = 10 * time.Minute
)

// recent remembers the senders of the messages that a connection acknowledged last, for a
// message_read that does not name the sender. The reader owns it.
//
// Each connection that receives messages has a full one, so a message takes only 24 bytes: ids
// are binary, and all connections share the name of a sender.
type recent struct {
	all  []recentMessage // at most MaxRecent; if it is full, next is the oldest
	next int
	at   time.Time // of the newest
}

type recentMessage struct {
	id     ulid.ULID
	sender unique.Handle[schemas.UserID]
}

// add remembers a message. It ignores an id that is not a ULID: the server makes none.
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

// over reports that all of it is stale, so that the memory can be freed.
func (r *recent) over(now time.Time) bool { return now.Sub(r.at) > recentFor }
