package streams_test

import (
	"testing"

	"roost/schemas"
	"roost/streams"
	"roost/streams/subject"
)

// A message for several people without a device waits for each of them.
func TestUnclaimedCopiesOfOneMessage(t *testing.T) {
	c := connect(t, onePartition())
	users := []schemas.UserID{"bob", "carol", "dave"}
	m := &schemas.Message{MessageID: c.Clock().Next(), SenderID: "alice", GroupID: "g-01K73S8AC0GR0VPGR0VPGR0VPG", Content: "x",
		Timestamp: schemas.Now(), SenderDeviceID: newDevice(c).DeviceID, MessageIDByClient: 1}
	var to []subject.Address
	for _, u := range users {
		to = append(to, subject.Unclaimed(u))
	}
	done := make(chan error, 1)
	c.CommitCopies(streams.Copies{Message: m, Entry: m.StoredMessage(), To: to}, func(_ []uint64, err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		if n := storedOf(t, c, u)["INBOX_0 inbox.0."+u.Token()+".*"]; n != 1 {
			t.Errorf("%d messages wait for %s, not 1", n, u)
		}
	}
}
