package gateway_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"roost/gateway"
	"roost/gateway/auth"
	"roost/schemas"
)

// A request at /ws that is no handshake, or one of another origin, is refused as every
// request is, and ends the connection: a proxy must not use it for others.
func TestHandshakeRefused(t *testing.T) {
	h := newHouse(t)
	for name, c := range map[string]struct {
		header, value string
		status        int
	}{
		"no upgrade":      {"Upgrade", "", http.StatusUpgradeRequired},
		"another upgrade": {"Upgrade", "h2c", http.StatusUpgradeRequired},
		"no connection":   {"Connection", "keep-alive", http.StatusUpgradeRequired},
		"no key":          {"Sec-WebSocket-Key", "", http.StatusBadRequest},
		"a short key":     {"Sec-WebSocket-Key", "c2hvcnQ=", http.StatusBadRequest},
		"no base64":       {"Sec-WebSocket-Key", strings.Repeat("!", 24), http.StatusBadRequest},
		"another version": {"Sec-WebSocket-Version", "8", http.StatusUpgradeRequired},
		"another origin":  {"Origin", "https://evil.example.com", http.StatusForbidden},
		"a wrong token":   {"Authorization", "Bearer nonsense", http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"},
				"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-Websocket-Version": {"13"}}
			header.Set(c.header, c.value)
			if c.value == "" {
				header.Del(c.header)
			}
			var lines strings.Builder
			if err := header.Write(&lines); err != nil {
				t.Fatal(err)
			}
			h.refused(t, "GET /ws HTTP/1.1\r\nHost: x\r\n"+lines.String()+"\r\n", c.status)
		})
	}
	t.Run("HTTP/1.0", func(t *testing.T) {
		h.refused(t, "GET /ws HTTP/1.0\r\n"+handshake("Upgrade", "websocket")+"\r\n", http.StatusUpgradeRequired)
	})
	t.Run("two keys", func(t *testing.T) {
		h.refused(t, "GET /ws HTTP/1.1\r\nHost: x\r\n"+handshake("Upgrade", "websocket")+"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", http.StatusBadRequest)
	})
}

// refused sends a request and checks the answer, and that the connection ends after it.
func (h *house) refused(t *testing.T, request string, status int) {
	t.Helper()
	r := h.request(t, request)
	resp := r.response()
	var answer schemas.Answer
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != status || answer.Error == nil || answer.Error.Message == "" {
		t.Errorf("got %s %+v, %v; want %d", resp.Status, answer, err, status)
	}
	if !resp.Close {
		t.Errorf("the answer does not say Connection: close: %v", resp.Header)
	}
	if up := resp.Header.Get("Upgrade"); (status == http.StatusUpgradeRequired) != (up == "websocket") {
		t.Errorf("%s has Upgrade: %q", resp.Status, up)
	}
	if rest, err := io.ReadAll(r.in); err != nil || len(rest) > 0 {
		t.Errorf("after the answer came %q, %v", rest, err)
	}
}

// Headers that are lists may stand in several lines, and name several values.
func TestHandshakeReadsLists(t *testing.T) {
	h := newHouse(t)
	for name, headers := range map[string]string{
		"two lines":         handshake("keep-alive\r\nConnection: Upgrade", "websocket"),
		"one line":          handshake("keep-alive, Upgrade", "websocket"),
		"several protocols": handshake("Upgrade", "h2c, websocket"),
		"other case":        handshake("UPGRADE", "WebSocket"),
	} {
		t.Run(name, func(t *testing.T) {
			r := h.request(t, "GET /ws HTTP/1.1\r\nHost: x\r\n"+headers+"\r\n")
			resp := r.response()
			if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
				t.Fatalf("got %s %v", resp.Status, resp.Header)
			}
			r.write(masked(ws.NewPingFrame([]byte("x"))))
			r.until(ws.OpPong, "x")
		})
	}
}

// A browser that offers subprotocols fails a handshake that answers none of them.
func TestSubprotocol(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		offered []string
		want    string
	}{{nil, ""}, {[]string{"roost.v1"}, "roost.v1"}, {[]string{"chat", "roost.v1"}, "roost.v1"}, {[]string{"roost.v2", "chat"}, ""}} {
		ws, resp, err := websocket.Dial(h.ctx(), h.http.URL+"/ws", &websocket.DialOptions{Subprotocols: c.offered})
		if err != nil {
			t.Fatal(err)
		}
		h.ws = append(h.ws, ws)
		if got := resp.Header.Values("Sec-WebSocket-Protocol"); strings.Join(got, ",") != c.want {
			t.Errorf("offered %v: selected %v", c.offered, got)
		}
	}
}

// What a client offers besides is not taken up.
func TestHandshakeTakesNoExtension(t *testing.T) {
	h := newHouse(t)
	ws, resp, err := websocket.Dial(h.ctx(), h.http.URL+"/ws", &websocket.DialOptions{
		Subprotocols: []string{"chat"}, CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		t.Fatal(err)
	}
	h.ws = append(h.ws, ws)
	if resp.Header.Get("Sec-WebSocket-Extensions") != "" || resp.Header.Get("Sec-WebSocket-Protocol") != "" {
		t.Errorf("got %v", resp.Header)
	}
}

func TestTokenInTheURLOfTheSocket(t *testing.T) {
	h := newHouse(t)
	ws, _, err := websocket.Dial(h.ctx(), h.http.URL+"/ws?token="+h.token("alice"), nil)
	if err != nil {
		t.Fatal(err)
	}
	h.ws = append(h.ws, ws)
	d := &device{t: t, ws: ws}
	d.send(&schemas.Hello{DeviceName: "x"})
	d.wantError(schemas.CodeUnauthenticated)
	d.wantClose(schemas.CloseUnauthenticated)
}

// Of two tokens the one in hello counts.
func TestTokenOfHelloCounts(t *testing.T) {
	h := newHouse(t)
	ws, _, err := websocket.Dial(h.ctx(), h.http.URL+"/ws", &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + h.token("alice")}}})
	if err != nil {
		t.Fatal(err)
	}
	h.ws = append(h.ws, ws)
	d := &device{t: t, ws: ws}
	d.hello(&schemas.Hello{Token: h.token("bob"), DeviceName: "x"})
	if d.welcome.UserID != "bob" {
		t.Errorf("welcome is for %s", d.welcome.UserID)
	}
}

// until is an authenticator that refuses everything from some time on.
type until struct {
	auth.Authenticator
	over atomic.Bool
}

func (u *until) Authenticate(ctx context.Context, token string) (auth.Identity, error) {
	if u.over.Load() {
		return auth.Identity{}, schemas.Errorf(schemas.CodeUnauthenticated, "token: has expired.")
	}
	return u.Authenticator.Authenticate(ctx, token)
}

// A token that expires ends no connection.
func TestTokenIsCheckedOnce(t *testing.T) {
	auth := &until{}
	h := newHouse(t, func(o *gateway.Options) { auth.Authenticator, o.Auth = o.Auth, auth })
	alice, bob := h.connect("alice"), h.connect("bob")
	auth.over.Store(true)
	alice.tell("bob", "still here")
	bob.take()
	if status, _ := h.call("alice", "GET", "/devices", ""); status != http.StatusUnauthorized {
		t.Errorf("a request with it got %d", status)
	}
	d := h.dial()
	d.send(&schemas.Hello{Token: h.token("alice"), DeviceID: alice.welcome.DeviceID})
	d.wantClose(schemas.CloseUnauthenticated)
	alice.roundTrip()
}

func TestHelloThatCannotBeServed(t *testing.T) {
	h := newHouse(t)
	alice := h.connect("alice")
	d, token := h.dial(), h.token("alice")
	h.nats.Stop()
	d.send(&schemas.Hello{Token: token, DeviceID: alice.welcome.DeviceID})
	d.wantError(schemas.CodeUnavailable)
	d.wantClose(schemas.CloseRestarting)
}

// A device that is new is shown no receipts: it was never away.
func TestNewDeviceIsShownNoReceipts(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	m := alice.tell("bob", "x").MessageID
	bob.take()
	bob.send(&schemas.Read{MessageID: m})
	eventually(t, "bob's watermark", func() bool { return h.watermark("alice", "bob").ReadUpTo == m })
	tablet := h.connect("alice")
	want[*schemas.InboxDrained](tablet)
	if got := seen[*schemas.Receipts](tablet); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}

// Removed devices are told so while they are remembered, and later are as any that
// is not one's own.
func TestRemovedLongAgo(t *testing.T) {
	h := newHouse(t)
	token := h.token("alice")
	var removed []schemas.DeviceID
	for range schemas.MaxRemoved + 1 {
		_, answer := h.call("alice", "POST", "/devices", `{"name":"x"}`)
		id := data[schemas.DeviceInfo](t, answer).DeviceID
		h.must("alice", "DELETE", "/devices/"+string(id), "")
		removed = append(removed, id)
	}
	for id, c := range map[schemas.DeviceID]struct {
		code  schemas.Code
		close schemas.CloseCode
	}{removed[0]: {schemas.CodeForbidden, schemas.CloseForbidden}, removed[1]: {schemas.CodeDeviceRemoved, schemas.CloseDeviceRemoved}} {
		d := h.dial()
		d.send(&schemas.Hello{Token: token, DeviceID: id})
		d.wantError(c.code)
		d.wantClose(c.close)
	}
}

// A second hello of a connection is of the same user.
func TestHelloOfAnotherUser(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.MaxDevices = 1 })
	h.connect("alice")
	d := h.dial()
	d.send(&schemas.Hello{Token: h.token("alice"), DeviceName: "second"})
	d.wantError(schemas.CodeDeviceLimit)
	d.send(&schemas.Hello{Token: h.token("bob"), DeviceName: "x"})
	if e := d.wantError(schemas.CodeForbidden); !strings.Contains(e.Message, "another user") {
		t.Errorf("got %+v", e)
	}
	d.wantClose(schemas.CloseForbidden)
}
