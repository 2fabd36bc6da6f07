package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roost/gateway"
	"roost/schemas"
	"roost/streams/streamstest"
)

// rawSocket is a WebSocket of which a test writes each byte.
type rawSocket struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// dialRaw opens a WebSocket without a library.
func (h *house) dialRaw(t *testing.T) *rawSocket {
	t.Helper()
	r := h.request(t, "GET /ws HTTP/1.1\r\nHost: x\r\n"+handshake("Upgrade", "websocket")+"\r\n")
	if resp := r.response(); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the handshake got %s", resp.Status)
	}
	return r
}

// handshake are the headers of a handshake, with these of Connection and Upgrade.
func handshake(connection, upgrade string) string {
	return "Connection: " + connection + "\r\nUpgrade: " + upgrade + "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
}

// request writes bytes to a new connection.
func (h *house) request(t *testing.T, data string) *rawSocket {
	t.Helper()
	conn, err := net.Dial("tcp", h.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(streamstest.Timeout)); err != nil {
		t.Fatal(err)
	}
	r := &rawSocket{t: t, conn: conn, in: bufio.NewReader(conn)}
	r.write([]byte(data))
	return r
}

func (r *rawSocket) response() *http.Response {
	r.t.Helper()
	resp, err := http.ReadResponse(r.in, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp
}

func (r *rawSocket) write(data []byte) {
	r.t.Helper()
	if _, err := r.conn.Write(data); err != nil {
		r.t.Fatal(err)
	}
}

// masked are frames as a client writes them, in one piece.
func masked(frames ...ws.Frame) []byte {
	var b bytes.Buffer
	for _, f := range frames {
		ws.MustWriteFrame(&b, ws.MaskFrame(f))
	}
	return b.Bytes()
}

func clientFrame(f schemas.ClientFrame) ws.Frame { return ws.NewTextFrame(schemas.EncodeFrame(f)) }

// next is the next frame of the server; false at the end of the connection.
func (r *rawSocket) next() (ws.Frame, bool) {
	r.t.Helper()
	h, err := ws.ReadHeader(r.in)
	if err == io.EOF {
		return ws.Frame{}, false
	}
	if err != nil || h.Length > 1<<20 {
		r.t.Fatalf("a frame of %d bytes, %v", h.Length, err)
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	if _, err := io.ReadFull(r.in, f.Payload); err != nil {
		r.t.Fatal(err)
	}
	return f, true
}

// until reads frames up to one of a kind that contains a text, and returns them.
func (r *rawSocket) until(op ws.OpCode, part string) (all []ws.Frame) {
	r.t.Helper()
	for {
		f, ok := r.next()
		if !ok {
			r.t.Fatalf("the connection ended; wanted %q", part)
		}
		all = append(all, f)
		if f.Header.OpCode == op && strings.Contains(string(f.Payload), part) {
			return all
		}
	}
}

// TestCloseWaitsForAnswers sends a message and a close frame in one segment.
func TestCloseWaitsForAnswers(t *testing.T) {
	h := newHouse(t)
	bob := h.connect("bob")
	token := h.token("alice")
	device := h.connect("alice").welcome.DeviceID
	for n := range schemas.ClientMessageID(20) {
		r := h.dialRaw(t)
		r.write(masked(clientFrame(&schemas.Hello{Token: token, DeviceID: device})))
		r.until(ws.OpText, "inbox_drained")
		r.write(masked(clientFrame(message("bob", "the last words", n+1)), ws.NewCloseFrame(ws.NewCloseFrameBody(4999, "bye"))))
		r.until(ws.OpText, "message_received")
		last := r.until(ws.OpClose, "")
		if code, _ := ws.ParseCloseFrameData(last[len(last)-1].Payload); code != 4999 {
			t.Errorf("the close frame was answered with %d", code)
		}
		if f, ok := r.next(); ok {
			t.Errorf("after the close frame came %v", f.Header)
		}
		bob.take()
	}
}

// TestTCPEndsAfterTheCloseHandshake closes, and breaks the protocol, while NATS is away.
func TestTCPEndsAfterTheCloseHandshake(t *testing.T) {
	h := newHouse(t)
	sockets := map[string]*rawSocket{}
	for _, name := range []string{"client", "protocol"} {
		r := h.dialRaw(t)
		r.write(masked(clientFrame(&schemas.Hello{Token: h.token(schemas.UserID(name)), DeviceName: "x"})))
		r.until(ws.OpText, "inbox_drained")
		sockets[name] = r
	}
	h.nats.Stop()
	began := time.Now()
	sockets["client"].write(masked(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, ""))))
	sockets["protocol"].write(masked(ws.NewFrame(ws.OpContinuation, true, nil)))
	for name, r := range sockets {
		r.until(ws.OpClose, "")
		if f, ok := r.next(); ok {
			t.Errorf("%s: after the close frame came %v", name, f.Header)
		}
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("%s: TCP ended after %v", name, took)
		}
	}
}

// TestControlFramesAreLimitedBeforeHello pings without a hello.
func TestControlFramesAreLimitedBeforeHello(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.Limits = gateway.Limits{FramesPerSecond: 100} })
	r := h.dialRaw(t)
	began := time.Now()
	for n := range 300 {
		r.write(masked(ws.NewPingFrame(fmt.Append(nil, n))))
	}
	r.until(ws.OpPong, "299")
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("300 pings at 100 a second and a burst of 200 were answered in %v", took)
	}
}

// TestInvalidTextEndsTheConnection sends text that is not UTF-8.
func TestInvalidTextEndsTheConnection(t *testing.T) {
	h := newHouse(t)
	d := h.connect("alice")
	d.raw(1, []byte("{\"type\":\"heartbeat\",\"x\":\"\xff\"}"))
	d.wantClose(schemas.CloseCode(ws.StatusInvalidFramePayloadData))
}
