package historytest

import (
	"context"
	"errors"
	"testing"
	"time"

	"roost/schemas"
)

var wholeTests = []test{
	{"Ping", func(t *testing.T, f *fixture) {
		if err := f.Ping(f.ctx); err != nil {
			t.Fatal(err)
		}
	}},
	{"CancelledContext", func(t *testing.T, f *fixture) {
		ctx, cancel := context.WithCancel(f.ctx)
		cancel()
		endedContext(ctx, t, f, context.Canceled)
	}},
	{"ContextPastItsDeadline", func(t *testing.T, f *fixture) {
		ctx, cancel := context.WithDeadline(f.ctx, time.UnixMilli(int64(f.now-second)))
		defer cancel()
		endedContext(ctx, t, f, context.DeadlineExceeded)
	}},
}

// endedContext: after its context ended, every method returns an error that is want. So a worker
// can tell its own shutdown from a failure of the store. The store still serves later calls.
func endedContext(ctx context.Context, t *testing.T, f *fixture, want error) {
	m := series(f.now-day, 3)
	f.append(m[0])
	chat := chatOf(alice, bob)
	calls := map[string]func() error{
		"Append": func() error { return f.Append(ctx, m[1:]) },
		"Page": func() error {
			_, err := f.Page(ctx, chat, 0, endless, schemas.HistoryPageSize)
			return err
		},
		"Updates": func() error {
			_, err := f.Updates(ctx, chat, []schemas.MessageID{m[0].MessageID})
			return err
		},
		"Chats":         func() error { _, err := f.Chats(ctx, alice); return err },
		"DeleteBetween": func() error { _, err := f.DeleteBetween(ctx, chat, 0, endless); return err },
		"DeleteExpired": func() error { _, err := f.DeleteExpired(ctx, f.now+retention); return err },
		"Ping":          func() error { return f.Ping(ctx) },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, want) {
			t.Errorf("%s: got error %v, want one that is %v", name, err, want)
		}
	}
	wantPage(t, f.all(chat), m[0])
	f.append(m...)
	wantPage(t, f.all(chat), m...)
}
