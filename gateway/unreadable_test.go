package gateway_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"roost/gateway"
	"roost/schemas"
	"roost/streams"
	"roost/streams/streamstest"
	"roost/streams/streamstest/files"
)

// TestFailedReadsAreUnavailable asks for everything while NATS can open no file: each path
// and each frame that cannot be answered is unavailable, no fault of the server and
// no final answer.
func TestFailedReadsAreUnavailable(t *testing.T) {
	dir := t.TempDir()
	nats := streamstest.Server(t, dir)
	topology := streams.Topology{Partitions: 1}
	h := furnish(t, nats, topology)
	token := signUp(t, h) // of alice
	bobs := h.connect("bob")
	alice := h.join(token)
	group := h.makeGroup("alice", "bob")
	h.must("alice", "PATCH", "/groups/"+string(group), `{"history_storage":90}`)
	id := bobs.tell("alice", "hello").MessageID
	h.call("alice", "PUT", "/blocks/bob", "")
	h.call("alice", "DELETE", "/blocks/bob", "")
	h.call("bob", "PUT", "/blocks/carol", "")
	h.call("alice", "PUT", "/user/settings", `{"last_seen":"nobody"}`)
	h.call("bob", "PUT", "/user/settings", `{"last_seen":"nobody"}`)
	files.Bury(t, streamstest.JetStream(t, nats), "$KV.ACCOUNTS.%d", "$KV.DEVICES.%d", "$KV.SETTINGS.%d", "$KV.BLOCKS.%d", "$KV.GROUPS.%d",
		"$KV.SESSIONS.%d.%[1]d", "$KV.RECEIPTS.%d.%[1]d", "$KV.MEMBERSHIPS.%d.%[1]d", "sent.0.%d.%[1]d", "inbox.0.%d.%[1]d")
	bobs.tell("alice", "the newest records are such")
	device := alice.welcome.DeviceID
	h.stop()
	h.conn.Close()
	nats.Stop()

	h = furnish(t, streamstest.Server(t, dir), topology, func(o *gateway.Options) { o.Limits = gateway.Limits{} })
	alice = h.reconnect("alice", device, "") // so that she is known, and nobody else
	fill := strings.NewReplacer("{user_id}", "bob", "{group_id}", string(group), "{device_id}", string(device),
		"{chat_participant_id}", "bob", "message_id=", "message_id="+string(id), "after=", "", "last_timestamp=&before=", "", "timestamp=&before=", "")
	bodies := map[string]string{
		"POST /accounts": `{"user_id":"dave","password":"correct horse"}`, "POST /sessions": credentials, "POST /devices": `{"name":"x"}`,
		"DELETE /account": `{"password":"correct horse battery"}`, "PUT /user/settings": `{"last_seen":"everyone"}`,
		"PUT /chats/{user_id}": `{"disappearing_days":1}`, "POST /groups": `{"group_name":"new","members":["bob"]}`,
		"PATCH /groups/{group_id}": `{"group_name":"other"}`, "POST /groups/{group_id}/members": `{"user_id":"bob"}`,
		"PATCH /groups/{group_id}/members/{user_id}": `{"role":"admin"}`,
	}
	failed := 0
	for _, row := range protocolTable(t, "## HTTP") {
		route := strings.Trim(strings.SplitN(row[0], ",", 2)[0], "` ")
		method, path, _ := strings.Cut(route, " ")
		if path == "/ws" || path == "/metrics" {
			continue
		}
		if _, err := h.conn.Directory().Registration(h.ctx(), "alice"); err != nil { // her token can be checked
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // a batch that the server fails at has no answer
		r := httptest.NewRequestWithContext(ctx, method, fill.Replace(path), strings.NewReader(bodies[route]))
		r.Header.Set("Content-Type", schemas.ContentType)
		r.Header.Set("Authorization", "Bearer "+token)
		w := leaving{httptest.NewRecorder(), func() {}}
		restore := files.None(t)
		h.server.Handler().ServeHTTP(w, r)
		restore()
		cancel()
		body := bytes.TrimSpace(w.Body.Bytes())
		if path == "/export" && w.Code == http.StatusOK {
			last, err := schemas.Decode[schemas.ExportLine](body[bytes.LastIndexByte(body, '\n')+1:])
			if err != nil || last.Kind != schemas.ExportFailed || last.Error.Code != schemas.CodeUnavailable || last.Error.RetryAfterMS <= 0 {
				t.Errorf("%s ends with %+v, %v", route, last, err)
			}
			continue
		}
		if w.Code < 400 { // from memory
			continue
		}
		failed++
		if w.Code != http.StatusServiceUnavailable || !bytes.Contains(body, []byte(`"unavailable"`)) || w.Header()["Retry-After"] == nil {
			t.Errorf("%s: %d %s", route, w.Code, body)
		}
	}
	if failed < 20 {
		t.Errorf("%d paths alone could not be read", failed)
	}
	if _, err := h.conn.Directory().Registration(h.ctx(), "alice"); err != nil {
		t.Fatal(err)
	}
	restore := files.None(t)
	for _, f := range []schemas.ClientFrame{
		message("bob", "x", alice.next), &schemas.SendMessage{GroupID: group, Content: "x", MessageIDByClient: alice.next + 1, Timestamp: 1},
		&schemas.Read{MessageID: id, SenderID: "bob"}, &schemas.Read{MessageID: id, GroupID: group},
		&schemas.TypingNotice{ReceiverID: "bob"}, &schemas.TypingNotice{GroupID: group},
		&schemas.PresenceSubscribe{UserIDs: []schemas.UserID{"bob"}},
	} {
		alice.send(f)
		if e := want[*schemas.ErrorFrame](alice); e.Code != schemas.CodeUnavailable || e.RetryAfterMS <= 0 {
			t.Errorf("%s: %+v", f.Type(), e)
		}
	}
	restore()
}
