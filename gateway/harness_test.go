package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"roost/gateway"
	"roost/gateway/auth"
	"roost/schemas"
	"roost/streams"
	"roost/streams/embedded"
	"roost/streams/inbox"
	"roost/streams/streamstest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// house is a gateway on a real NATS server in the process.
type house struct {
	t      testing.TB
	nats   *embedded.Server
	conn   *streams.Conn
	server *gateway.Server
	http   *httptest.Server
	name   string // of the gateway
	tokens *auth.Tokens
	reg    *prometheus.Registry
	ws     []*websocket.Conn
}

var secret = bytes.Repeat([]byte("s"), 32)

// newHouse starts a gateway on a new server.
func newHouse(t testing.TB, change ...func(*gateway.Options)) *house {
	t.Helper()
	return joinHouse(t, streamstest.Server(t, t.TempDir()), change...)
}

// joinHouse starts one more gateway on a server.
func joinHouse(t testing.TB, nats *embedded.Server, change ...func(*gateway.Options)) *house {
	t.Helper()
	return furnish(t, nats, streams.Topology{}, change...)
}

func furnish(t testing.TB, nats *embedded.Server, topology streams.Topology, change ...func(*gateway.Options)) *house {
	t.Helper()
	return moveIn(t, nats, streamstest.Connect(t, nats, topology), change...)
}

// eachConsumer runs a test at a gateway with each kind of device consumer.
func eachConsumer(t *testing.T, test func(*testing.T, *house)) {
	for _, kind := range []inbox.Kind{inbox.Direct, inbox.JetStream} {
		t.Run(string(kind), func(t *testing.T) {
			nats := streamstest.Server(t, t.TempDir())
			conn := streamstest.Connect(t, nats, streams.Topology{}, func(o *streams.Options) { o.DeviceConsumer = kind })
			test(t, moveIn(t, nats, conn))
		})
	}
}

// moveIn starts a gateway on a connection.
func moveIn(t testing.TB, nats *embedded.Server, conn *streams.Conn, change ...func(*gateway.Options)) *house {
	t.Helper()
	tokens, err := auth.NewTokens(secret)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, nats: nats, conn: conn, tokens: tokens, reg: prometheus.NewRegistry()}
	o := gateway.Options{Streams: conn, Auth: tokens, Accounts: auth.NewAccounts(tokens),
		Registry: h.reg, Log: streamstest.Log(t)}
	for _, c := range change {
		c(&o)
	}
	if o.Name == "" {
		o.Name = "gateway-" + conn.Clock().NextULID()
	}
	h.name = o.Name
	h.server = gateway.New(o)
	if err := h.server.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	h.http = httptest.NewServer(h.server.Handler())
	t.Cleanup(h.stop)
	return h
}

// stop drains the gateway; twice is once.
func (h *house) stop() {
	if h.http == nil {
		return
	}
	for _, ws := range h.ws {
		_ = ws.CloseNow() // else the drain waits for clients that do not read
	}
	h.http.Close()
	h.http = nil
	ctx, cancel := context.WithTimeout(context.Background(), streamstest.Timeout)
	defer cancel()
	h.server.Drain(ctx)
}

// token makes a user exist and logs them in.
func (h *house) token(u schemas.UserID) string {
	h.t.Helper()
	if err := h.conn.Directory().EnsureUser(h.ctx(), u); err != nil {
		h.t.Fatal(err)
	}
	token, err := h.tokens.Issue(u)
	if err != nil {
		h.t.Fatal(err)
	}
	return token.Token
}

func (h *house) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), streamstest.Timeout)
	h.t.Cleanup(cancel)
	return ctx
}

// call does an HTTP request as a user (none where empty) and returns status and
// answer.
func (h *house) call(as schemas.UserID, method, path, body string) (int, schemas.Answer) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.ctx(), method, h.http.URL+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", schemas.ContentType)
	if as != "" {
		req.Header.Set("Authorization", "Bearer "+h.token(as))
	}
	return h.do(req)
}

// do reads the answer to a request.
func (h *house) do(req *http.Request) (int, schemas.Answer) {
	h.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	var a schemas.Answer
	if err := json.Unmarshal(data, &a); err != nil {
		h.t.Fatalf("%s %s answered %d %q, which is no answer of the protocol", req.Method, req.URL.Path, resp.StatusCode, data)
	}
	return resp.StatusCode, a
}

// device is a WebSocket of one device, spoken to frame by frame.
type device struct {
	t       testing.TB
	ws      *websocket.Conn
	welcome *schemas.Welcome
	next    schemas.ClientMessageID
	seen    []schemas.ServerFrame // skipped by want, in order
}

// dial opens a WebSocket without hello.
func (h *house) dial() *device {
	h.t.Helper()
	ws, _, err := websocket.Dial(h.ctx(), h.http.URL+"/ws", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	ws.SetReadLimit(1 << 20)
	h.ws = append(h.ws, ws)
	return &device{t: h.t, ws: ws, next: 1}
}

// connect opens a WebSocket and says hello for a new device.
func (h *house) connect(u schemas.UserID) *device {
	h.t.Helper()
	d := h.dial()
	d.hello(&schemas.Hello{Token: h.token(u), DeviceName: "test"})
	return d
}

// reconnect comes back as the same device.
func (h *house) reconnect(u schemas.UserID, id schemas.DeviceID, resume schemas.Cursor) *device {
	h.t.Helper()
	d := h.dial()
	d.hello(&schemas.Hello{Token: h.token(u), DeviceID: id, ResumeAfter: resume})
	return d
}

func (d *device) hello(f *schemas.Hello) {
	d.t.Helper()
	d.send(f)
	d.welcome = want[*schemas.Welcome](d)
	d.next = d.welcome.LastMessageIDByClient + 1
}

func (d *device) send(f schemas.ClientFrame) {
	d.t.Helper()
	d.raw(websocket.MessageText, schemas.EncodeFrame(f))
}

func (d *device) raw(kind websocket.MessageType, data []byte) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), streamstest.Timeout)
	defer cancel()
	if err := d.ws.Write(ctx, kind, data); err != nil {
		d.t.Fatal(err)
	}
}

// read returns the next frame, or the error that ended the connection.
func (d *device) read() (schemas.ServerFrame, error) {
	ctx, cancel := context.WithTimeout(context.Background(), streamstest.Timeout)
	defer cancel()
	_, data, err := d.ws.Read(ctx)
	if err != nil {
		return nil, err
	}
	return schemas.DecodeServerFrame(data)
}

// want reads until a frame of type F; what comes before goes to seen.
func want[F schemas.ServerFrame](d *device) F {
	d.t.Helper()
	for {
		f, err := d.read()
		if err != nil {
			var none F
			d.t.Fatalf("waiting for %T: %v", none, err)
		}
		if f, ok := f.(F); ok {
			return f
		}
		if e, ok := f.(*schemas.ErrorFrame); ok {
			var none F
			d.t.Fatalf("waiting for %T: got the error %s: %s", none, e.Code, e.Message)
		}
		d.seen = append(d.seen, f)
	}
}

// wantClose reads until the connection ends and checks the code.
func (d *device) wantClose(code schemas.CloseCode) {
	d.t.Helper()
	for {
		if _, err := d.read(); err != nil {
			if got := websocket.CloseStatus(err); got != websocket.StatusCode(code) {
				d.t.Fatalf("closed with %d (%v), want %d", got, err, code)
			}
			return
		}
	}
}

// wantError reads the next error frame.
func (d *device) wantError(code schemas.Code) *schemas.ErrorFrame {
	d.t.Helper()
	e := want[*schemas.ErrorFrame](d)
	if e.Code != code {
		d.t.Fatalf("got error %s (%s), want %s", e.Code, e.Message, code)
	}
	return e
}

// say sends a message and returns without waiting for the answer.
func (d *device) say(to schemas.UserID, content string) schemas.ClientMessageID {
	d.t.Helper()
	n := d.next
	d.next++
	d.send(message(to, content, n))
	return n
}

// tell sends a message and waits until it is accepted.
func (d *device) tell(to schemas.UserID, content string) *schemas.MessageReceived {
	d.t.Helper()
	return d.accepted(d.say(to, content))
}

// accepted is the answer to a send, the next one.
func (d *device) accepted(n schemas.ClientMessageID) *schemas.MessageReceived {
	d.t.Helper()
	got := want[*schemas.MessageReceived](d)
	if got.MessageIDByClient != n {
		d.t.Fatalf("the answer is for number %d, want %d", got.MessageIDByClient, n)
	}
	return got
}

func message(to schemas.UserID, content string, n schemas.ClientMessageID) *schemas.SendMessage {
	return &schemas.SendMessage{ReceiverID: to, Content: content, MessageIDByClient: n, Timestamp: schemas.Now()}
}

// take reads the next message, and acknowledges it.
func (d *device) take() *schemas.Incoming {
	d.t.Helper()
	m := want[*schemas.Incoming](d)
	d.ack(m.MessageID)
	return m
}

func (d *device) ack(id schemas.MessageID) {
	d.t.Helper()
	d.send(&schemas.DeliveredAck{MessageID: id, Timestamp: schemas.Now()})
}

// roundTrip waits until the gateway has done all that was sent to it before: a
// frame that it refuses is answered in its turn.
func (d *device) roundTrip() {
	d.t.Helper()
	d.raw(websocket.MessageText, []byte(`{"type":"no_such_frame"}`))
	d.wantError(schemas.CodeUnknownType)
}

// leave closes the connection in order.
func (d *device) leave() {
	d.t.Helper()
	_ = d.ws.Close(websocket.StatusNormalClosure, "")
}

// backlog reads up to inbox_drained.
func (d *device) backlog() []*schemas.Incoming {
	d.t.Helper()
	var all []*schemas.Incoming
	for {
		f, err := d.read()
		if err != nil {
			d.t.Fatal(err)
		}
		switch f := f.(type) {
		case *schemas.Incoming:
			all = append(all, f)
		case *schemas.InboxDrained:
			return all
		}
	}
}

// eventually waits, bounded, for a state that no frame tells of.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(streamstest.Timeout); time.Now().Before(deadline); {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("in vain waited for: %s", what)
}
