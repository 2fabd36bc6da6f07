package directory

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// Settings are a user's choices, or the defaults.
func (d *Directory) Settings(ctx context.Context, u schemas.UserID) (schemas.Settings, error) {
	s, _, ok, err := jsapi.Get[schemas.Settings](ctx, d.settings, subject.UserKey(u))
	if !ok {
		s = schemas.DefaultSettings()
	}
	return s, err
}

// ChangeSettings applies change to the newest settings and returns the result.
func (d *Directory) ChangeSettings(ctx context.Context, u schemas.UserID, change func(schemas.Settings) schemas.Settings) (schemas.Settings, error) {
	defer d.Forget(u)
	return jsapi.Update(ctx, d.settings, subject.UserKey(u), func(s schemas.Settings, exists bool) (schemas.Settings, error) {
		if !exists {
			s = schemas.DefaultSettings()
		}
		return change(s), nil
	})
}

// ErrTimerLimit means that as many chats of the user have a timer as are allowed.
var ErrTimerLimit = errors.New("too many chats have a timer")

// SetTimer writes the timer that a user chose for the chat with another.
func (d *Directory) SetTimer(ctx context.Context, u schemas.UserID, t schemas.ChatTimer) error {
	defer d.Forget(u)
	_, err := jsapi.Update(ctx, d.settings, subject.UserKey(u), func(s schemas.Settings, exists bool) (schemas.Settings, error) {
		if !exists {
			s = schemas.DefaultSettings()
		}
		s, ok := s.SetTimer(t)
		if !ok {
			return s, ErrTimerLimit
		}
		return s, nil
	})
	return err
}

// FollowSettings calls changed with the settings of every user who ever changed them,
// and then with every change, on the caller's goroutine, until ctx ends.
func (d *Directory) FollowSettings(ctx context.Context, changed func(schemas.UserID, schemas.Settings)) error {
	return jsapi.Follow(ctx, d.settings, func(e jetstream.KeyValueEntry) {
		user, err := schemas.ParseUserToken(e.Key())
		if err != nil || e.Operation() != jetstream.KeyValuePut {
			return
		}
		if s, err := schemas.Decode[schemas.Settings](e.Value()); err == nil {
			changed(user, s)
		}
	})
}
