package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// guideAddress is the server's address in docs/guide.md.
const guideAddress = "127.0.0.1:8080"

var (
	guideStart = regexp.MustCompile(`(?s)\n## Quick start\n.*?\n## `)
	guideBlock = regexp.MustCompile("(?ms)^```(sh|json|frames)\\b[^\n]*\n(.*?)^```$")
	guideCurl  = regexp.MustCompile(`^curl (?:-X (\w+) )?(\S+)((?: -H '[^']*')*)(?: -d '(.*)')?$`)
	guideField = regexp.MustCompile(`-H '([^:]*): ([^']*)'`)
	guideFrame = regexp.MustCompile(`^(\w+) (→|←) (.*)$`)
)

// madeByServer are the members whose values differ from run to run.
var madeByServer = map[string]bool{"token": true, "device_id": true, "session_id": true, "sender_device_id": true, "message_id": true,
	"cursor": true, "resume_after": true, "timestamp": true, "created_at": true, "expires_at": true, "server_time": true}

// reader follows the quick start as somebody does who copies it, with the ids and tokens
// that this server makes in place of those that are printed.
type reader struct {
	t       *testing.T
	server  *server
	real    map[any]any // by what the guide has
	sockets map[string]*websocket.Conn
}

// TestGuide does what the quick start of docs/guide.md says, and gets what it shows.
func TestGuide(t *testing.T) {
	data, err := os.ReadFile("docs/guide.md")
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{t: t, server: serveLimited(t, t.TempDir()), real: make(map[any]any), sockets: make(map[string]*websocket.Conn)}
	answer, frames := "", 0
	for _, m := range guideBlock.FindAllStringSubmatch(guideStart.FindString(string(data)), -1) {
		text := strings.TrimSpace(m[2])
		switch {
		case m[1] == "json":
			r.compare(text, answer)
		case m[1] == "sh" && strings.HasPrefix(text, "curl "):
			answer = r.curl(text)
		case m[1] == "frames":
			for line := range strings.SplitSeq(text, "\n") {
				r.frame(line)
				frames++
			}
		}
	}
	if frames < 15 {
		t.Errorf("the quick start has %d frames", frames)
	}
}

// curl does a command of the guide and returns the body of the answer.
func (r *reader) curl(command string) string {
	r.t.Helper()
	m := guideCurl.FindStringSubmatch(command)
	if m == nil {
		r.t.Fatalf("this test does not know the command %s", command)
	}
	method, url, fields, body := m[1], m[2], m[3], m[4]
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequest(method, strings.Replace(url, guideAddress, r.server.address(), 1), strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range guideField.FindAllStringSubmatch(fields, -1) {
		req.Header.Set(f[1], f[2])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(got)
}

// frame sends a frame of the guide, or compares the next one of the server with it. A hello
// opens a connection of its user, and ends the one before.
func (r *reader) frame(line string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	m := guideFrame.FindStringSubmatch(line)
	if m == nil {
		r.t.Fatalf("no frame: %s", line)
	}
	user, arrow, text := m[1], m[2], m[3]
	if arrow == "←" {
		_, got, err := r.sockets[user].Read(ctx)
		if err != nil {
			r.t.Fatalf("%s: %v", line, err)
		}
		r.compare(text, string(got))
		return
	}
	if strings.Contains(text, `"type":"hello"`) {
		if old := r.sockets[user]; old != nil {
			_ = old.CloseNow()
		}
		ws, _, err := websocket.Dial(ctx, r.server.url+"/ws", nil)
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(func() { _ = ws.CloseNow() })
		r.sockets[user] = ws
	}
	for printed, got := range r.real {
		if p, ok := printed.(string); ok {
			text = strings.ReplaceAll(text, `"`+p+`"`, `"`+got.(string)+`"`)
		}
	}
	if err := r.sockets[user].Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		r.t.Fatal(err)
	}
}

// compare finds the same members in both, and keeps what the server made.
func (r *reader) compare(printed, got string) {
	r.t.Helper()
	var want, have any
	if err := json.Unmarshal([]byte(printed), &want); err != nil {
		r.t.Fatalf("%s: %v", printed, err)
	}
	if err := json.Unmarshal([]byte(got), &have); err != nil {
		r.t.Fatalf("%s: %v", got, err)
	}
	if where := r.differ("", want, have); where != "" {
		r.t.Fatalf("the guide has\n%s\nand the server\n%s\n%s", printed, got, where)
	}
}

// differ says where the two differ. A value that the server makes may be any, but the same
// one each time.
func (r *reader) differ(name string, want, have any) string {
	switch w := want.(type) {
	case map[string]any:
		h, _ := have.(map[string]any)
		if len(w) != len(h) {
			return fmt.Sprintf("%s has other members", name)
		}
		for member, value := range w {
			if where := r.differ(member, value, h[member]); where != "" {
				return where
			}
		}
		return ""
	case []any:
		h, _ := have.([]any)
		if len(w) != len(h) {
			return fmt.Sprintf("%s has %d values, and not %d", name, len(h), len(w))
		}
		for i, value := range w {
			if where := r.differ(name, value, h[i]); where != "" {
				return where
			}
		}
		return ""
	}
	if madeByServer[name] && have != nil {
		before, known := r.real[want]
		if !known {
			r.real[want] = have
			return ""
		}
		want = before
	}
	if want != have {
		return fmt.Sprintf("%s is %v, and not %v", name, have, want)
	}
	return ""
}
