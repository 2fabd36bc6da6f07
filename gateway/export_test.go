package gateway

import (
	"context"
	"net/http"

	"roost/schemas"
)

// Reach into the package for the tests beside it.

// NoteActive does at once what the gateway does every minute.
func (s *Server) NoteActive(ctx context.Context, now schemas.Timestamp) { s.noteActive(ctx, now) }

// Fail answers a request with an error.
func (s *Server) Fail(w http.ResponseWriter, r *http.Request, err error) { s.fail(w, r, err) }

// HTTPStatus is the status of each code that has one.
var HTTPStatus = httpStatus

// Defaults are the options of a server whose fields are not set.
func (s *Server) Defaults() Options { return s.opts }

// Burst is how many a limiter lets through at once.
func Burst(perSecond float64) int { return newLimiter(perSecond).Burst() }

const (
	MaxBody      = maxBody
	MaxGroupBody = maxGroupBody
	MaxExports   = maxExports
	MaxOutbox    = maxOutbox
	WriteTimeout = writeTimeout
	RecentFor    = recentFor
	MaxRecent    = maxRecent
	TypingEvery  = typingEvery
	MaxTyping    = maxTyping
	RoomTimeout  = roomTimeout
	WakeAgain    = wakeAgain

	SubscribesPerSecond = subscribesPerSecond
	MaxSubscribes       = maxSubscribes
)
