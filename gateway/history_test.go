package gateway_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"roost/schemas"
)

// onePage is a history service with one page.
type onePage []schemas.MessageState

func (onePage) Chats(context.Context, schemas.ChatsRequest) (schemas.ChatsReply, error) {
	return schemas.ChatsReply{Chats: []string{"bob"}}, nil
}

func (o onePage) Page(context.Context, schemas.HistoryRequest) (schemas.HistoryReply, error) {
	return schemas.HistoryReply{Messages: o}, nil
}

func (onePage) Ready(context.Context) error { return nil }

// makeGroupThatKeeps makes a group of one that keeps history.
func (h *house) makeGroupThatKeeps(owner schemas.UserID) string {
	h.t.Helper()
	id := string(h.makeGroup(owner))
	h.must(owner, "PATCH", "/groups/"+id, `{"history_storage":90}`)
	return id
}

// TestHistoryShowsStates: what became of a message stands in both kinds of pages and
// in the export.
func TestHistoryShowsStates(t *testing.T) {
	h := newHouse(t)
	const id = "01K73S8AC0GR0VPGR0VPGR0VPG"
	group := h.makeGroupThatKeeps("alice")
	m := schemas.Message{MessageID: id, SenderID: "bob", ReceiverID: "alice", Content: "hello", Timestamp: 5, ExpiresAt: 9}
	gone := schemas.Message{MessageID: id, SenderID: "bob", ReceiverID: "alice", Timestamp: 4}
	page := onePage{
		{Message: m, EditedAt: 6, Reactions: []schemas.Reaction{{UserID: "alice", Reaction: "👍"}}},
		{Message: gone, Deleted: true},
	}
	stop, err := h.conn.ServeHistory(page)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stop() })
	const want = `[{"message_id":"` + id + `","sender_id":"bob","receiver_id":"alice","content":"hello","timestamp":5,` +
		`"expires_at":9,"edited_at":6,"reactions":[{"user_id":"alice","reaction":"👍"}]},` +
		`{"message_id":"` + id + `","sender_id":"bob","receiver_id":"alice","content":"","timestamp":4,"deleted":true}]`
	for _, path := range []string{"/history/bob", "/chat/" + group} {
		status, answer := h.call("alice", "GET", path, "")
		if got := string(answer.Data); status != http.StatusOK || got != want {
			t.Errorf("%s: %d\n got  %s\n want %s", path, status, got, want)
		}
	}
	var exported onePage
	for _, l := range lines(t, h.export("alice")) {
		if l.Kind == schemas.ExportMessage {
			exported = append(exported, *l.Message)
		}
	}
	got, _ := json.Marshal(exported)
	if want, _ := json.Marshal(page); string(got) != string(want) {
		t.Errorf("exported are\n%s, not\n%s", got, want)
	}
}
