package main

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"roost/client"
	"roost/schemas"
	"roost/streams"
	"roost/streams/streamstest"
)

// TestClusterChannel has a channel at two gateways and a worker, each with its role's
// key: messages, wake-ups, an edit, a deletion, history, and the end of the group.
func TestClusterChannel(t *testing.T) {
	c := startCluster(t, 1)
	c.noViolations()
	c.apply(streams.Topology{Partitions: 2})
	alices := token(t, c.dir, "alice") // which makes the secret of both gateways
	a, b := c.gateway("--group-push-limit", "2"), c.gateway("--group-push-limit", "2")
	c.work()
	onA, onB := client.API{URL: a.url, Token: alices}, client.API{URL: b.url, Token: token(t, c.dir, "bob")}
	alice, bob := dialRaw(t, a, alices), dialRaw(t, b, token(t, c.dir, "bob"))
	carol := c.device("carol", &client.MemoryStore{}, b, a)
	group, err := onA.CreateGroup(t.Context(), schemas.NewGroup{GroupName: "town", Members: []schemas.UserID{"bob", "carol"}, HistoryStorage: schemas.HistoryDays})
	if err != nil {
		t.Fatal(err)
	}
	alice.write(`{"type":"send_message","group_id":"` + string(group.GroupID) + `","content":"hello","message_id_by_client":1,"timestamp":1}`)
	m := alice.until(schemas.TypeMessageReceived).(*schemas.MessageReceived)
	if w := bob.until(schemas.TypeWakeUp).(*schemas.WakeUp); w.GroupID != group.GroupID || w.MessageID != m.MessageID {
		t.Errorf("bob is woken by %+v", w)
	}
	if w := next[client.WakeUp](t, carol); w.MessageID != m.MessageID {
		t.Errorf("carol is woken by %+v", w)
	}
	shows := func(what string, is func(schemas.HistoryMessage) bool) {
		t.Helper()
		eventually(t, what, func() bool {
			page, err := onB.GroupChat(t.Context(), group.GroupID, schemas.PageBounds{})
			return err == nil && slices.ContainsFunc(page, func(h schemas.HistoryMessage) bool { return h.MessageID == m.MessageID && is(h) })
		})
	}
	shows("the message", func(h schemas.HistoryMessage) bool { return h.Content == "hello" })
	update := func(n int, change schemas.MessageChange, content string) {
		alice.write(fmt.Sprintf(`{"type":"update_message","group_id":%q,"target_message_id":%q,"change":%q,"content":%q,"message_id_by_client":%d,"timestamp":1}`,
			group.GroupID, m.MessageID, change, content, n))
		alice.until(schemas.TypeMessageReceived)
	}
	update(2, schemas.ChangeEdit, "hello, all")
	shows("the edit", func(h schemas.HistoryMessage) bool { return h.Content == "hello, all" && h.EditedAt > 0 })
	update(3, schemas.ChangeReaction, "👍")
	shows("the reaction", func(h schemas.HistoryMessage) bool { return len(h.Reactions) == 1 })
	eventually(t, "history of the channel", func() bool {
		page, err := onA.History(t.Context(), schemas.Participant{Group: group.GroupID}, schemas.PageBounds{})
		return err == nil && slices.ContainsFunc(page, func(h schemas.HistoryMessage) bool { return h.MessageID == m.MessageID })
	})
	update(4, schemas.ChangeDelete, "")
	shows("the deletion", func(h schemas.HistoryMessage) bool { return h.Deleted && h.Content == "" })
	for _, u := range []schemas.UserID{"bob", "carol", "alice"} {
		if err := onA.RemoveMember(t.Context(), group.GroupID, u); err != nil {
			t.Fatal(err)
		}
	}
	js, err := jetstream.New(c.raw("admin"))
	if err != nil {
		t.Fatal(err)
	}
	if n := streamstest.Stored(t, js, "CHANNELS"); n != 0 {
		t.Errorf("CHANNELS has %d entries", n)
	}
	_, _ = alice.ws.CloseNow(), bob.ws.CloseNow()
	closeAll([]*client.Client{carol})
	a.stop()
	b.stop()
}
