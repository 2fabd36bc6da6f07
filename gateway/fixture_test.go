package gateway_test

import (
	"sync"
	"testing"

	"roost/schemas"
	"roost/streams"
	"roost/streams/subject"
)

func addr(u schemas.UserID, d *device) subject.Address {
	return subject.Address{User: u, Device: d.welcome.DeviceID}
}

// fill commits as many entries to an inbox as it takes.
func fill(t testing.TB, h *house, to subject.Address, from *device) {
	t.Helper()
	const step = 500
	for sent := 0; sent < streams.DefaultInboxMaxMessages; sent += step {
		results := make(chan error, step)
		for range step {
			m := &schemas.Message{MessageID: h.conn.Clock().Next(), SenderID: "alice", ReceiverID: to.User, Content: "x",
				Timestamp: schemas.Now(), SenderDeviceID: from.welcome.DeviceID}
			h.conn.CommitCopies(streams.Copies{Message: m, Entry: m.StoredMessage(), To: []subject.Address{to}},
				func(_ []uint64, err error) { results <- err })
		}
		for range step {
			if err := <-results; err != nil {
				t.Fatal(err)
			}
		}
	}
}

// goAway ends a connection and waits until the gateway has left everything in
// order: the session's end is recorded last.
func goAway(t testing.TB, h *house, u schemas.UserID, d *device) {
	t.Helper()
	_ = d.ws.CloseNow()
	eventually(t, "the end of the session", func() bool {
		online, _, err := h.conn.Presence().Status(h.ctx(), u, []schemas.Device{{DeviceID: d.welcome.DeviceID}})
		return err == nil && !online
	})
}

// exist makes users exist, all at once.
func exist(h *house, users []schemas.UserID) error {
	var mu sync.Mutex
	var failed error
	var wg sync.WaitGroup
	for _, u := range users {
		wg.Go(func() {
			if err := h.conn.Directory().EnsureUser(h.ctx(), u); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = err
			}
		})
	}
	wg.Wait()
	return failed
}
