package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"roost/schemas"
)

// The ids that the scripts use.
const (
	alice   schemas.UserID   = "alice"
	bob     schemas.UserID   = "bob"
	phone   schemas.DeviceID = "01JD000000000000000000000A"
	bobsOwn schemas.DeviceID = "01JD000000000000000000000B"
)

// script is a server that sends only what the test sends. It uses net.Pipe, so time in a
// synctest bubble passes only if the test waits.
type script struct {
	t      *testing.T
	pipes  chan net.Conn    // dialed, and not yet accepted by the HTTP server
	peers  chan *peer       // connected, and not yet received by the test
	answer http.HandlerFunc // if set, it answers instead of an upgrade
	mute   atomic.Bool      // it does not answer pings
	noRead atomic.Bool      // it accepts the next connection and never reads from it
	http   *http.Client
	closed chan struct{}

	clients []*Client // from connect
}

// peer is the server's side of one connection.
type peer struct {
	t      *testing.T
	ws     *websocket.Conn
	header http.Header
	frames chan schemas.ClientFrame // read all the time; capacity 1024
	frozen atomic.Bool              // it stops reading after the next frame
	beats  atomic.Int32
	ended  chan error // receives the error that ended reading
}

// bubble runs f against a script, in fake time.
func bubble(t *testing.T, f func(t *testing.T, srv *script)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := &script{t: t, pipes: make(chan net.Conn), peers: make(chan *peer, 16), closed: make(chan struct{})}
		transport := &http.Transport{DialContext: srv.dial}
		srv.http = &http.Client{Transport: transport}
		server := &http.Server{Handler: srv}
		var wg sync.WaitGroup
		wg.Go(func() { _ = server.Serve(srv) })
		defer func() { // also after t.Fatal, because otherwise the bubble would hang
			for _, c := range srv.clients {
				_ = c.Close()
			}
			transport.CloseIdleConnections()
			close(srv.closed)
			_ = server.Close()
			wg.Wait()
		}()
		f(t, srv)
	})
}

func (s *script) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	if s.noRead.CompareAndSwap(true, false) {
		return near, nil // no server is at the other end
	}
	select {
	case s.pipes <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

// Accept, Close and Addr implement net.Listener.
func (s *script) Accept() (net.Conn, error) {
	select {
	case c := <-s.pipes:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}
func (s *script) Close() error   { return nil }
func (s *script) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.answer != nil {
		s.answer(w, r)
		return
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		OnPingReceived: func(context.Context, []byte) bool { return !s.mute.Load() },
	})
	if err != nil {
		s.t.Errorf("the handshake failed: %v", err)
		return
	}
	p := &peer{t: s.t, ws: ws, header: r.Header, frames: make(chan schemas.ClientFrame, 1024),
		ended: make(chan error, 1)}
	select {
	case s.peers <- p:
	default: // with fake time it would retry for ever at once
		panic("the client connects again and again, and the script does not look")
	}
	for {
		_, data, err := ws.Read(context.Background())
		if err != nil {
			close(p.frames)
			p.ended <- err
			_ = ws.CloseNow()
			return
		}
		if p.frozen.Load() {
			<-s.closed
		}
		f, _, e := schemas.DecodeClientFrame(data)
		if e != nil {
			s.t.Errorf("the client sent %s: %v", data, e)
			continue
		}
		if _, ok := f.(*schemas.Heartbeat); ok {
			p.beats.Add(1)
			continue
		}
		p.frames <- f
	}
}

// options returns the options of a client of this script.
func (s *script) options() Options {
	return Options{
		URL:        "http://roost.test",
		Token:      "secret",
		DeviceID:   phone,
		HTTPClient: s.http,
		Jitter:     func(ceiling time.Duration) time.Duration { return ceiling },
	}
}

// connect starts a client and returns its first connection after the welcome.
func (s *script) connect(opts Options) (*Client, *peer) {
	s.t.Helper()
	type result struct {
		c   *Client
		err error
	}
	done := make(chan result, 1)
	go func() {
		c, err := Connect(s.t.Context(), opts)
		done <- result{c, err}
	}()
	p := s.next()
	p.welcome(schemas.Welcome{})
	r := <-done
	if r.err != nil {
		s.t.Fatalf("Connect: %v", r.err)
	}
	s.clients = append(s.clients, r.c)
	return r.c, p
}

// next returns the next connection of the client, before the answer to its hello.
func (s *script) next() *peer {
	s.t.Helper()
	select {
	case p := <-s.peers:
		return p
	case <-time.After(time.Hour):
		s.t.Fatal("the client did not connect")
		return nil
	}
}

// welcome reads the hello and answers it. It sets the zero fields of w.
func (p *peer) welcome(w schemas.Welcome) *schemas.Hello {
	p.t.Helper()
	hello := want[*schemas.Hello](p)
	if w.UserID == "" {
		w.UserID = alice
	}
	if w.DeviceID == "" {
		w.DeviceID = phone
	}
	if w.HeartbeatMS == 0 {
		w.HeartbeatMS = 30_000
	}
	p.send(&w)
	return hello
}

func (p *peer) send(f schemas.ServerFrame) {
	p.t.Helper()
	p.raw(schemas.EncodeFrame(f))
}

func (p *peer) raw(data []byte) {
	p.t.Helper()
	if err := p.ws.Write(context.Background(), websocket.MessageText, data); err != nil {
		p.t.Errorf("the script could not send %s: %v", data, err)
	}
}

// message sends bob's n-th message.
func (p *peer) message(n int) {
	p.t.Helper()
	p.send(incoming(n))
}

// incoming returns bob's n-th message, the n-th entry of the inbox.
func incoming(n int) *schemas.Incoming {
	return &schemas.Incoming{
		Message: schemas.Message{
			MessageID:         messageID(n),
			SenderID:          bob,
			ReceiverID:        alice,
			Content:           fmt.Sprintf("message %d", n),
			Timestamp:         schemas.Timestamp(1_700_000_000_000 + n),
			SenderDeviceID:    bobsOwn,
			MessageIDByClient: schemas.ClientMessageID(n),
		},
		Cursor: cursor(n),
	}
}

func messageID(n int) schemas.MessageID {
	return schemas.MessageID(fmt.Sprintf("01JD0000000000000000%06d", n))
}
func cursor(n int) schemas.Cursor { return schemas.Cursor(fmt.Sprintf("c%d", n)) }

// received answers a send.
func (p *peer) received(f schemas.Send) {
	p.t.Helper()
	m := f.Draft()
	p.send(&schemas.MessageReceived{
		MessageID:         messageID(1000 + int(m.MessageIDByClient)),
		MessageIDByClient: m.MessageIDByClient,
		Timestamp:         1,
	})
}

// close closes the connection with a code.
func (p *peer) close(code schemas.CloseCode) {
	p.t.Helper()
	_ = p.ws.Close(websocket.StatusCode(code), "scripted")
}

// want returns the client's next frame, which must be an F.
func want[F schemas.ClientFrame](p *peer) F {
	p.t.Helper()
	var f F
	select {
	case got, ok := <-p.frames:
		if !ok {
			p.t.Fatalf("the connection ended, instead of %T", f)
		}
		if f, ok = got.(F); !ok {
			p.t.Fatalf("the client sent %T %s, instead of %T", got, schemas.EncodeFrame(got), f)
		}
	case <-time.After(time.Hour):
		p.t.Fatalf("the client sent nothing, instead of %T", f)
	}
	return f
}

// quiet checks that the client sends no further frame.
func (p *peer) quiet() {
	p.t.Helper()
	synctest.Wait()
	select {
	case f, ok := <-p.frames:
		if ok {
			p.t.Fatalf("the client sent %s, instead of nothing", schemas.EncodeFrame(f))
		}
	default:
	}
}

// event returns the next event, which must be an E.
func event[E Event](t *testing.T, c *Client) E {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	ev, err := c.Receive(ctx)
	if err != nil {
		t.Fatalf("Receive: %v, instead of %T", err, *new(E))
	}
	e, ok := ev.(E)
	if !ok {
		t.Fatalf("Receive: %T %+v, instead of %T", ev, ev, e)
	}
	return e
}

// noEvent checks that no event waits for Receive.
func noEvent(t *testing.T, c *Client) {
	t.Helper()
	synctest.Wait()
	select {
	case ev := <-c.events:
		t.Fatalf("Receive: %T %+v, instead of nothing", ev, ev)
	default:
	}
}

func ack(t *testing.T, m Message) {
	t.Helper()
	if err := m.Ack(); err != nil {
		t.Fatalf("Ack: %v", err)
	}
}

func closeClient(t *testing.T, c *Client) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// outcome is the result of a Send in another goroutine.
type outcome struct {
	received schemas.MessageReceived
	err      error
}

func sendLater(c *Client, ctx context.Context, content string) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		r, err := c.Send(ctx, schemas.Participant{User: bob}, content, nil)
		done <- outcome{r, err}
	}()
	return done
}

func isUnknown(err error) (*UnknownOutcomeError, bool) {
	var unknown *UnknownOutcomeError
	ok := errors.As(err, &unknown)
	return unknown, ok
}
