package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"roost/gateway/api"
	"roost/schemas"
	"roost/streams/streamstest"
)

// oneChat is a history service with one chat; page is called for its only page.
type oneChat struct{ page func() error }

func (o oneChat) Chats(context.Context, schemas.ChatsRequest) (schemas.ChatsReply, error) {
	return schemas.ChatsReply{Chats: []string{"bob"}}, nil
}

func (o oneChat) Page(context.Context, schemas.HistoryRequest) (schemas.HistoryReply, error) {
	id := schemas.MessageIDAt(schemas.Now())
	m := schemas.Message{MessageID: id, SenderID: "bob", ReceiverID: "alice", Content: "kept", Timestamp: id.Time()}
	return schemas.HistoryReply{Messages: []schemas.MessageState{{Message: m}}}, o.page()
}

func (o oneChat) Ready(context.Context) error { return nil }

// lineSchema is that of a line of the export.
func lineSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	err := fs.WalkDir(schemas.JSON, "json", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := schemas.JSON.ReadFile(path)
		if err != nil {
			return err
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			return err
		}
		return c.AddResource(schemas.SchemaBase+strings.TrimPrefix(path, "json/"), doc)
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(schemas.SchemaBase + "http/export_line.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// export begins an export.
func (h *house) export(u schemas.UserID) *http.Response {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.ctx(), "GET", h.http.URL+"/export", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.token(u))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// lines reads an export to its end; each line is of the schema.
func lines(t *testing.T, resp *http.Response) []schemas.ExportLine {
	t.Helper()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatal(resp.Status, resp.Header)
	}
	schema := lineSchema(t)
	var all []schemas.ExportLine
	body := bufio.NewScanner(resp.Body)
	for body.Scan() {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body.Bytes()))
		if err == nil {
			err = schema.Validate(doc)
		}
		if err != nil {
			t.Errorf("%s: %v", body.Text(), err)
		}
		line, err := schemas.Decode[schemas.ExportLine](body.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, line)
	}
	if err := body.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestExport(t *testing.T) {
	h := newHouse(t)
	token := signUp(t, h)
	alice, bob := h.join(token), h.connect("bob")
	bob.tell("alice", "waits <here>")
	alice.tell("bob", "sent")
	h.call("alice", "PUT", "/user/settings", `{"last_seen":"nobody"}`)
	all := lines(t, h.export("alice"))
	last := all[len(all)-1]
	if last.Kind != schemas.ExportFailed || last.Error.Code != schemas.CodeUnavailable || last.Error.RetryAfterMS <= 0 {
		t.Errorf("without history it ends with %+v", last)
	}
	kinds := func(all []schemas.ExportLine) string {
		var b strings.Builder
		for _, l := range all {
			b.WriteString(string(l.Kind) + " ")
		}
		return b.String()
	}
	const before = "account settings device session sent waiting "
	if got := kinds(all); got != before+"error " {
		t.Errorf("without history: %s", got)
	}
	stop, err := h.conn.ServeHistory(oneChat{func() error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stop() })
	all = lines(t, h.export("alice"))
	last = all[len(all)-1]
	if got := kinds(all); got != before+"message end " || last.Items == nil || *last.Items != int64(len(all)-1) {
		t.Errorf("with history: %s, at the end %+v", got, last)
	}
	var entry schemas.Message
	if err := json.Unmarshal(all[5].Entry, &entry); err != nil || entry.Content != "waits <here>" || all[5].DeviceID != alice.welcome.DeviceID {
		t.Errorf("what waits is %+v, %v", all[5], err)
	}
	if got := all[0].Account; got == nil || got.UserID != "alice" || all[6].Chat != "bob" || all[6].Message.Content != "kept" {
		t.Errorf("the account is %+v, the message %+v", got, all[6])
	}
	if resp := h.export("carol"); kinds(lines(t, resp)) != "message end " {
		t.Error("who has nothing yet gets something")
	}
	if status, answer := h.call("", "GET", "/export", ""); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d %+v", status, answer)
	}
}

// heldHistory is a worker that says when it is asked, and answers once release is closed.
func (h *house) heldHistory() (asked, release chan struct{}) {
	h.t.Helper()
	asked, release = make(chan struct{}, 2*api.MaxExports), make(chan struct{})
	stop, err := h.conn.ServeHistory(oneChat{func() error {
		asked <- struct{}{}
		<-release
		return nil
	}})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = stop() })
	return asked, release
}

// TestExportIsStreamed: lines come before the last one is known, one export a
// person, and a client that goes away ends it.
func TestExportIsStreamed(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	a := addr("alice", alice)
	alice.leave()
	fill(t, h, a, bob)
	asked, release := h.heldHistory()
	resp := h.export("alice")
	body := bufio.NewScanner(resp.Body)
	for range 9000 { // the rest waits in buffers
		if !body.Scan() {
			t.Fatal(body.Err())
		}
	}
	streamstest.Receive(t, asked)
	if resp := h.export("alice"); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a second one: %s", resp.Status)
	}
	_ = resp.Body.Close()
	close(release)
	eventually(t, "another one may begin", func() bool { return h.export("alice").StatusCode == http.StatusOK })
}

// TestExportsAreFew: of all people together a gateway makes some at a time.
func TestExportsAreFew(t *testing.T) {
	h := newHouse(t)
	asked, release := h.heldHistory()
	ctx, cancel := context.WithCancel(t.Context())
	var exports sync.WaitGroup
	defer exports.Wait()
	defer cancel()
	for i := range api.MaxExports {
		req, err := http.NewRequestWithContext(ctx, "GET", h.http.URL+"/export", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+h.token(schemas.UserID(fmt.Sprint("user", i))))
		exports.Go(func() { // its headers come with its last line
			if resp, err := http.DefaultClient.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		})
		streamstest.Receive(t, asked)
	}
	if resp := h.export("alice"); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("one more: %s", resp.Status)
	}
	close(release)
	eventually(t, "one more may begin", func() bool { return h.export("alice").StatusCode == http.StatusOK })
}
