package edge_test

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"roost/edge"
)

// served runs a test against a server, with the clock of synctest.
func served(t *testing.T, h http.HandlerFunc, change func(*edge.Options), test func(*pipes)) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		o, _ := options(t, change)
		s := edge.New(p, o)
		done := make(chan error, 1)
		go func() { done <- s.Serve(h) }()
		test(p)
		s.Shutdown(t.Context())
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
}

// TestDeadlines: the server closes the connection of a client that stops sending or reading.
func TestDeadlines(t *testing.T) {
	for _, c := range []struct {
		name, sends string
		within      time.Duration
	}{
		{"nothing sent", "", 15 * time.Second},
		{"half a head", "GET / HTTP/1.1\r\nHost: x\r\n", 15 * time.Second},
		{"half a body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", 35 * time.Second},
		{"nothing read", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 35 * time.Second},
		{"requests in a row and nothing read", strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 100), 35 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			served(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = w.Write(bytes.Repeat([]byte("x"), 100<<10))
			}, nil, func(p *pipes) {
				client, began := p.dial("192.0.2.1:1"), time.Now()
				defer client.Close()
				go func() { _, _ = io.WriteString(client, c.sends) }() // the close of the connection ends it
				if c.sends != "" {
					synctest.Wait()
				}
				time.Sleep(c.within)
				synctest.Wait()
				// The closed pipe discards bytes that the server wrote before its deadline.
				_ = client.SetReadDeadline(time.Now())
				if _, err := client.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
			})
		})
	}
}

// TestIdleConnectionCloses: the server closes a connection two minutes after its last request.
func TestIdleConnectionCloses(t *testing.T) {
	served(t, func(http.ResponseWriter, *http.Request) {}, nil, func(p *pipes) {
		client := p.dial("192.0.2.1:1")
		defer client.Close()
		if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := io.Copy(io.Discard, client); err != nil { // until the server closes it
			t.Error(err)
		}
		if d := time.Since(began); d != 2*time.Minute {
			t.Errorf("it ended after %v", d)
		}
	})
}

// TestAcceptErrors: after a temporary error the server logs a warning, at most one a second,
// and retries. Any other error ends Serve.
func TestAcceptErrors(t *testing.T) {
	var log bytes.Buffer
	served(t, func(http.ResponseWriter, *http.Request) {}, func(o *edge.Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
	}, func(p *pipes) {
		for range 12 {
			p.fail(&net.OpError{Op: "accept", Err: syscall.EMFILE})
		}
		client := p.dial("192.0.2.1:1")
		defer client.Close()
		if _, err := io.WriteString(client, "GET / HTTP/1.0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(client); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "level=WARN"); n < 1 || n > 6 {
			t.Errorf("%d warnings for 12 errors:\n%s", n, &log)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		o, _ := options(t, nil)
		s := edge.New(p, o)
		done := make(chan error, 1)
		go func() { done <- s.Serve(http.NotFoundHandler()) }()
		p.fail(syscall.EINVAL)
		if err := <-done; err == nil {
			t.Error("an error that does not pass was swallowed")
		}
		s.Shutdown(t.Context())
	})
}
