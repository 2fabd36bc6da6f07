package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"roost/schemas"
	"roost/streams/streamstest"
)

// A token is good for 30 days, and a wrong name gets the answer of a wrong password.
func TestSessionAnswers(t *testing.T) {
	h := newHouse(t)
	signUp(t, h)
	_, answer := h.call("", "POST", "/sessions", credentials)
	const month = 30 * 24 * time.Hour
	if left := time.Until(data[schemas.Token](t, answer).ExpiresAt.Time()); left > month || left < month-time.Minute {
		t.Errorf("the token is good for %v", left)
	}
	_, name := h.call("", "POST", "/sessions", `{"user_id":"nobody","password":"correct horse"}`)
	_, password := h.call("", "POST", "/sessions", `{"user_id":"alice","password":"wrong horse"}`)
	if name.Error == nil || password.Error == nil || *name.Error != *password.Error {
		t.Errorf("a wrong name got %+v, a wrong password %+v", name.Error, password.Error)
	}
}

// What cannot be done now says when to try again.
func TestUnavailableOverHTTP(t *testing.T) {
	h := newHouse(t)
	token := signUp(t, h)
	h.as(token, "GET", "/devices", "")
	h.nats.Stop()
	for _, c := range []struct{ method, path, body string }{
		{"DELETE", "/account", `{"password":"correct horse"}`},
		{"GET", "/history/bob", ""},
		{"PUT", "/user/settings", `{"history_storage":90}`},
		{"POST", "/groups", `{"group_name":"x"}`},
	} {
		status, answer := h.as(token, c.method, c.path, c.body)
		if status != http.StatusServiceUnavailable || answer.Error.Code != schemas.CodeUnavailable || answer.Error.RetryAfterMS == 0 {
			t.Errorf("%s %s got %d %+v", c.method, c.path, status, answer.Error)
		}
	}
	status, answer := h.call("", "GET", "/readyz", "")
	if status != http.StatusServiceUnavailable || answer.Status != schemas.StatusFailed || answer.Error == nil || len(answer.Data) == 0 {
		t.Errorf("readyz got %d %+v", status, answer)
	}
}

func TestBlockLimitOverHTTP(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	h := joinHouse(t, nats)
	h.token("zoe")
	full := schemas.Blocks{}
	for i := range schemas.MaxBlocks {
		full.UserIDs = append(full.UserIDs, schemas.UserID(fmt.Sprintf("user%05d", i)))
	}
	kv, err := streamstest.JetStream(t, nats).KeyValue(h.ctx(), "BLOCKS")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(h.ctx(), "bob", schemas.Encode(full)); err != nil {
		t.Fatal(err)
	}
	if status, answer := h.call("bob", "PUT", "/blocks/zoe", ""); status != http.StatusConflict || answer.Error.Code != schemas.CodeBlockLimit {
		t.Errorf("got %d %+v", status, answer.Error)
	}
	h.must("bob", "DELETE", "/blocks/user00000", "")
	if answer := h.must("bob", "PUT", "/blocks/zoe", ""); len(answer.Data) != 0 {
		t.Errorf("there is nothing to say, and it says %s", answer.Data)
	}
}

// pager is a history service that says what it is asked for.
type pager struct {
	asked chan schemas.HistoryRequest
	err   error
}

func (p pager) Chats(context.Context, schemas.ChatsRequest) (schemas.ChatsReply, error) {
	return schemas.ChatsReply{}, errors.New("nobody asks for it")
}

func (p pager) Page(_ context.Context, req schemas.HistoryRequest) (schemas.HistoryReply, error) {
	p.asked <- req
	m := schemas.Message{MessageID: "01K73S8AC0GR0VPGR0VPGR0VPG", SenderID: "bob", ReceiverID: "alice", Content: "kept", Timestamp: 5,
		SenderDeviceID: "01K73S8AC0DEV1CEDEV1CEDEV1", MessageIDByClient: 7, ReplyTo: "01K73S8AC0GR0VPGR0VPGR0VPF"}
	return schemas.HistoryReply{Messages: []schemas.MessageState{{Message: m}}}, p.err
}

func (p pager) Ready(context.Context) error { return nil }

// The two paths of history, and their times.
func TestHistoryRequests(t *testing.T) {
	h := newHouse(t)
	group := h.makeGroupThatKeeps("alice")
	if status, answer := h.call("alice", "GET", "/history/bob", ""); status != http.StatusServiceUnavailable || answer.Error.RetryAfterMS == 0 {
		t.Errorf("without a worker: %d %+v", status, answer.Error)
	}
	p := pager{asked: make(chan schemas.HistoryRequest, 1)}
	stop, err := h.conn.ServeHistory(&p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stop() })
	for path, asked := range map[string]schemas.HistoryRequest{
		"/history/bob":                     {Chat: "bob"},
		"/history/bob?last_timestamp=1234": {Chat: "bob", UpTo: 1234},
		"/history/bob?timestamp=1234":      {Chat: "bob"},
		"/history/" + group:                {Chat: group},
		"/chat/" + group:                   {Chat: group, Whole: true},
		"/chat/" + group + "?timestamp=99": {Chat: group, Whole: true, UpTo: 99},

		"/history/bob?before=01K73S8AC0GR0VPGR0VPGR0VPG":                       {Chat: "bob", Before: "01K73S8AC0GR0VPGR0VPGR0VPG"},
		"/history/bob?last_timestamp=1234&before=01K73S8AC0GR0VPGR0VPGR0VPG":   {Chat: "bob", UpTo: 1234, Before: "01K73S8AC0GR0VPGR0VPGR0VPG"},
		"/chat/" + group + "?before=01K73S8AC0GR0VPGR0VPGR0VPG&timestamp=1234": {Chat: group, Whole: true, UpTo: 1234, Before: "01K73S8AC0GR0VPGR0VPGR0VPG"},
	} {
		answer := h.must("alice", "GET", path, "")
		asked.UserID = "alice"
		if got := <-p.asked; got != asked {
			t.Errorf("%s: asked for %+v, not %+v", path, got, asked)
		}
		const want = `[{"message_id":"01K73S8AC0GR0VPGR0VPGR0VPG","sender_id":"bob","receiver_id":"alice","content":"kept","timestamp":5,"reply_to":"01K73S8AC0GR0VPGR0VPGR0VPF"}]`
		if string(answer.Data) != want {
			t.Errorf("%s: %s", path, answer.Data)
		}
	}
	for _, path := range []string{"/history/bob?last_timestamp=yesterday", "/history/bob?last_timestamp=0",
		"/history/bob?last_timestamp=9007199254740992", "/history/bob?last_timestamp=%2B5", "/chat/" + group + "?timestamp=9007199254740992",
		"/history/g-x", "/chat/bob", "/chat/" + group + "?timestamp=-1",
		"/history/bob?before=1234", "/chat/" + group + "?before=x"} {
		if status, answer := h.call("alice", "GET", path, ""); status != http.StatusBadRequest {
			t.Errorf("%s: %d %+v", path, status, answer.Error)
		}
	}
	for code, want := range map[schemas.Code]int{schemas.CodeHistoryOff: 409, schemas.CodeNotAMember: 403, schemas.CodeNotFound: 404} {
		p.err = schemas.Errorf(code, "No.")
		status, answer := h.call("alice", "GET", "/chat/"+group, "")
		if <-p.asked; status != want || answer.Error.Code != code {
			t.Errorf("%s: %d %+v", code, status, answer.Error)
		}
	}
}
