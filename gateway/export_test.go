package gateway

import (
	"context"
	"net/http"
	"time"

	"roost/gateway/limit"
	"roost/schemas"
	"roost/streams/bus"
)

// Reach into the package for the tests beside it.

// NoteActive does at once what the gateway does every minute.
func (s *Server) NoteActive(ctx context.Context, now schemas.Timestamp) { s.noteActive(ctx, now) }

// Fail answers a request with an error.
func (s *Server) Fail(w http.ResponseWriter, r *http.Request, err error) { s.answers.Fail(w, r, err) }

// Defaults are the options of a server whose fields are not set.
func (s *Server) Defaults() Options { return s.opts }

// StartedAgo has the server believe that it was started so long ago.
func (s *Server) StartedAgo(d time.Duration) { s.since = time.Now().Add(-d) }

// Burst is how many a limiter lets through at once.
func Burst(perSecond float64) int { return limit.New(perSecond).Burst() }

const (
	MaxOutbox      = maxOutbox
	MaxOutboxBytes = maxOutboxBytes
	MaxUnwritten   = maxUnwritten
	RecentFor      = recentFor
	TypingEvery    = typingEvery
	MaxTyping      = maxTyping
	RoomTimeout    = roomTimeout

	SubscribesPerSecond = subscribesPerSecond
	MaxSubscribes       = maxSubscribes
)

// Heard is the news of a channel as a device that connects reads it.
func (s *Server) Heard(n bus.ChannelNews) { s.wakeups.News(n) }

// ForgetAccepted forgets which sends the gateway accepted, as a restart does.
func (s *Server) ForgetAccepted() {
	s.accepted.mu.Lock()
	defer s.accepted.mu.Unlock()
	s.accepted.devices.Purge()
}
