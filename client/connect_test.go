package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"roost/schemas"
)

func TestConnect(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		if got := p.header.Get("Authorization"); got != "Bearer secret" {
			t.Errorf("Authorization: %q", got)
		}
		if ev := event[Connected](t, c); ev.UserID != alice || ev.DeviceID != phone {
			t.Errorf("Connected: %+v", ev)
		}
		if w := c.Welcome(); w.UserID != alice {
			t.Errorf("Welcome: %+v", w)
		}
		closeClient(t, c)
		closeClient(t, c)
		if _, err := c.Receive(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("Receive after Close: %v", err)
		}
		if _, err := c.Send(t.Context(), schemas.Participant{User: bob}, "x", nil); !errors.Is(err, ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
		if err := c.MarkRead(t.Context(), "", bob, messageID(1)); !errors.Is(err, ErrClosed) {
			t.Errorf("MarkRead after Close: %v", err)
		}
	})
}

func TestConnectRefusesBadOptions(t *testing.T) {
	for _, opts := range []Options{
		{},
		{URL: "http://roost.test", DeviceName: "x"},
		{URL: "roost.test", Token: "x", DeviceName: "x"},
		{URL: "ftp://roost.test", Token: "x", DeviceName: "x"},
		{URL: "http://", Token: "x", DeviceName: "x"},
		{URL: "http://roost.test", Token: "x"},
		{URL: "http://roost.test", Token: "x", DeviceName: "x", Queue: -1},
		{URL: "http://roost.test", Token: "x", DeviceID: phone, Store: &MemoryStore{state: State{DeviceID: bobsOwn}}},
	} {
		if c, err := Connect(t.Context(), opts); err == nil {
			t.Errorf("%+v was accepted", opts)
			_ = c.Close()
		}
	}
}

func TestConnectRegistersADeviceOnce(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		opts := srv.options()
		opts.DeviceID, opts.DeviceName, opts.Store = "", "laptop", new(MemoryStore)
		for _, expected := range []schemas.Hello{{DeviceName: "laptop"}, {DeviceID: phone}} {
			done := make(chan *Client)
			go func() {
				c, err := Connect(t.Context(), opts)
				if err != nil {
					t.Errorf("Connect: %v", err)
				}
				done <- c
			}()
			if hello := srv.next().welcome(schemas.Welcome{}); *hello != expected {
				t.Errorf("hello: %+v, instead of %+v", *hello, expected)
			}
			closeClient(t, <-done)
		}
	})
}

func TestBackoff(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		opts := srv.options()
		opts.BackoffMin, opts.BackoffMax = time.Second, 5*time.Second
		c, p := srv.connect(opts)
		event[Connected](t, c)
		lost := time.Now()
		for _, pause := range []time.Duration{1, 2, 4, 5, 5} {
			p.close(1011)
			p = srv.next()
			if waited := time.Since(lost); waited != pause*time.Second {
				t.Errorf("waited %v, instead of %d s", waited, pause)
			}
			p.welcome(schemas.Welcome{})
			if ev := event[Disconnected](t, c); ev.RetryIn != pause*time.Second {
				t.Errorf("Disconnected: %+v", ev)
			}
			event[Connected](t, c)
			lost = time.Now()
		}
		time.Sleep(stableAfter)
		lost = time.Now()
		p.close(1011)
		p = srv.next()
		if waited := time.Since(lost); waited != time.Second {
			t.Errorf("after a stable connection it waited %v", waited)
		}
		p.welcome(schemas.Welcome{})
		closeClient(t, c)
	})
}

func TestJitterIsFull(t *testing.T) {
	opts, err := Options{Token: "x"}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	var below, above int
	for range 1000 {
		switch d := opts.Jitter(time.Second); {
		case d < 0 || d > time.Second:
			t.Fatalf("jitter of 1 s gave %v", d)
		case d < time.Second/2:
			below++
		default:
			above++
		}
	}
	if below < 300 || above < 300 {
		t.Errorf("%d pauses in the lower half, %d in the upper", below, above)
	}
}

func TestCloseCodes(t *testing.T) {
	for code, again := range map[schemas.CloseCode]bool{
		1000: true, 1001: true, 1011: true, schemas.CloseFrameTooBig: true, schemas.CloseRestarting: true,
		schemas.CloseProtocolError: false, schemas.CloseUnauthenticated: false, schemas.CloseForbidden: false,
		schemas.CloseSlow: true, schemas.CloseHelloTimeout: false, schemas.CloseRateLimited: false,
		schemas.CloseReplaced: false, schemas.CloseDeviceRemoved: false,
	} {
		t.Run(fmt.Sprint(int(code)), func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *script) {
				c, p := srv.connect(srv.options())
				event[Connected](t, c)
				p.close(code)
				if again {
					event[Disconnected](t, c)
					srv.next().welcome(schemas.Welcome{})
					event[Connected](t, c)
				} else {
					_, err := c.Receive(t.Context())
					var closed *CloseError
					if !errors.As(err, &closed) || closed.Code != code || closed.Reason != "scripted" {
						t.Errorf("Receive: %v", err)
					}
				}
				closeClient(t, c)
			})
		})
	}
}

// TestTokenCheckUnavailable: if the server cannot check the token now, the client keeps it and
// retries, even before its first welcome.
func TestTokenCheckUnavailable(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		refused := func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "5")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"status":"failed","error":{"code":"unavailable","message":"Keep the token.","retry_after_ms":5000}}`))
		}
		opts, tokens := srv.options(), 0
		opts.Token, opts.TokenSource = "", func(context.Context) (string, error) {
			if tokens++; tokens == 1 {
				return "", &schemas.Error{Code: schemas.CodeUnavailable, Message: "Try again."}
			}
			return "secret", nil
		}
		srv.answer = func(w http.ResponseWriter, r *http.Request) {
			srv.answer = nil
			refused(w, r)
		}
		type connected struct {
			c   *Client
			err error
		}
		done := make(chan connected)
		began := time.Now()
		go func() {
			c, err := Connect(t.Context(), opts)
			done <- connected{c, err}
		}()
		p := srv.next()
		if waited := time.Since(began); waited < 5*time.Second {
			t.Errorf("reconnected after %v, sooner than asked", waited)
		}
		want[*schemas.Hello](p)
		p.send(&schemas.ErrorFrame{Code: schemas.CodeUnavailable, Message: "Keep the token.", RetryAfterMS: 5000})
		p.close(schemas.CloseRestarting)
		p = srv.next()
		p.welcome(schemas.Welcome{})
		result := <-done
		if result.err != nil {
			t.Fatal(result.err)
		}
		srv.clients = append(srv.clients, result.c)
		event[Connected](t, result.c)
		p.close(schemas.CloseRestarting)
		event[Disconnected](t, result.c)
		p = srv.next()
		if got := p.header.Get("Authorization"); got != "Bearer secret" || tokens != 2 {
			t.Errorf("reconnected with %q, after %d tokens", got, tokens)
		}
		p.welcome(schemas.Welcome{})
		event[Connected](t, result.c)
		closeClient(t, result.c)
	})
}

// TestCloseCodeAfterFullQueue: the client reads the close code even if the queue has no room for
// the frames before it.
func TestCloseCodeAfterFullQueue(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		opts := srv.options()
		opts.Queue = 1 // Connected fills it
		c, p := srv.connect(opts)
		go func() {
			for n := 1; n <= 3; n++ {
				p.message(n)
			}
			p.close(schemas.CloseReplaced)
		}()
		synctest.Wait()
		for {
			_, err := c.Receive(t.Context())
			var closed *CloseError
			if errors.As(err, &closed) && closed.Code == schemas.CloseReplaced {
				break
			}
			if err != nil {
				t.Fatalf("Receive: %v", err)
			}
		}
		closeClient(t, c)
	})
}

func TestReconnectFrame(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		event[Connected](t, c)

		// The server closes early. The client still waits until the time of the frame.
		asked := time.Now()
		p.send(&schemas.Reconnect{AfterMS: 7000})
		p.close(schemas.CloseRestarting)
		p = srv.next()
		if waited := time.Since(asked); waited != 7*time.Second {
			t.Errorf("reconnected after %v", waited)
		}
		p.welcome(schemas.Welcome{})
		event[Disconnected](t, c)
		event[Connected](t, c)

		// The server leaves the connection open. The client uses it until that time.
		asked = time.Now()
		p.send(&schemas.Reconnect{AfterMS: 3000})
		p.message(1)
		ack(t, event[Message](t, c))
		want[*schemas.DeliveredAck](p)
		p = srv.next()
		if waited := time.Since(asked); waited != 3*time.Second {
			t.Errorf("reconnected after %v", waited)
		}
		if hello := p.welcome(schemas.Welcome{}); hello.ResumeAfter != cursor(1) {
			t.Errorf("resume_after: %q", hello.ResumeAfter)
		}
		if ev := event[Disconnected](t, c); !errors.Is(ev.Err, errReconnect) || ev.RetryIn != 0 {
			t.Errorf("Disconnected: %+v", ev)
		}
		closeClient(t, c)
	})
}

func TestDeadServerIsDetected(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		done := make(chan error)
		srv.noRead.Store(true)
		began := time.Now()
		go func() {
			c, err := Connect(t.Context(), srv.options())
			if err == nil {
				event[Connected](t, c)
				event[Disconnected](t, c)
				err = c.Close()
			}
			done <- err
		}()
		// The first server accepts the connection and sends nothing: the handshake times
		// out. The second sends welcome and then nothing: the ping times out.
		p := srv.next()
		if waited := time.Since(began); waited != DefaultHandshakeTimeout+DefaultBackoffMin {
			t.Errorf("waited %v for a handshake", waited)
		}
		srv.mute.Store(true)
		p.welcome(schemas.Welcome{HeartbeatMS: 5000})
		began = time.Now()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if waited := time.Since(began); waited < 5*time.Second+pongTimeout || waited > 5*time.Second+pongTimeout+2*time.Second {
			t.Errorf("detected after %v", waited)
		}
	})
}

// TestPulse: the client detects a dead connection 10 s after its ping. A server that owes the
// answer to a send has more time.
func TestPulse(t *testing.T) {
	const heartbeat = 30 * time.Second
	for name, patience := range map[string]time.Duration{"idle": pongTimeout, "a send waits": heartbeat} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *script) {
				c, p := srv.connect(srv.options())
				began := time.Now()
				event[Connected](t, c)
				if patience == heartbeat {
					sendLater(c, t.Context(), "hello")
					want[*schemas.SendMessage](p)
				}
				srv.mute.Store(true)
				event[Disconnected](t, c)
				if took := time.Since(began); took < heartbeat+patience || took > heartbeat+patience+2*goodbyeTimeout {
					t.Errorf("detected after %v", took)
				}
				srv.mute.Store(false)
				srv.next().welcome(schemas.Welcome{})
				closeClient(t, c)
			})
		})
	}
}

// TestPulseCountsFrames: any frame of the server shows that the connection is alive, as a pong
// does.
func TestPulseCountsFrames(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		event[Connected](t, c)
		srv.mute.Store(true)
		for range 20 {
			time.Sleep(9 * time.Second)
			p.send(&schemas.Alive{})
		}
		noEvent(t, c)
		closeClient(t, c)
	})
}

// TestCloseIsBounded: Close does not wait for a server that does not read.
func TestCloseIsBounded(t *testing.T) {
	for _, writes := range []bool{false, true} {
		bubble(t, func(t *testing.T, srv *script) {
			c, p := srv.connect(srv.options())
			event[Connected](t, c)
			p.message(1)
			m := event[Message](t, c)
			p.frozen.Store(true)
			if err := c.MarkRead(t.Context(), "", bob, messageID(1)); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if writes {
				ack(t, m) // the server does not receive it
			}
			began := time.Now()
			closeClient(t, c)
			if took := time.Since(began); took > 2*goodbyeTimeout {
				t.Errorf("Close took %v", took)
			}
		})
	}
}
