// Package sockettest has a connection for tests of WebSockets.
package sockettest

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// Conn is a connection that reads from In and records each write.
type Conn struct {
	net.Conn // nil: tests call only the methods below
	In       io.Reader
	Writes   [][]byte
	Fail     error // returned by Write
	Deadline time.Time
	Closed   bool
}

// Read implements [net.Conn].
func (c *Conn) Read(p []byte) (int, error) { return c.In.Read(p) }

// SetReadDeadline implements [net.Conn].
func (c *Conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements [net.Conn].
func (c *Conn) SetWriteDeadline(t time.Time) error { c.Deadline = t; return nil }

// Close implements [net.Conn].
func (c *Conn) Close() error { c.Closed = true; return nil }

// Write implements [net.Conn].
func (c *Conn) Write(p []byte) (int, error) {
	if c.Fail != nil {
		return 0, c.Fail
	}
	c.Writes = append(c.Writes, bytes.Clone(p))
	return len(p), nil
}

// Frames parses the recorded writes.
func (c *Conn) Frames(t testing.TB) (all []ws.Frame) {
	t.Helper()
	in := bytes.NewReader(bytes.Join(c.Writes, nil))
	for in.Len() > 0 {
		h, err := ws.ReadHeader(in)
		if err != nil || h.Length > int64(in.Len()) {
			t.Fatalf("a frame of %d bytes, %v", h.Length, err)
		}
		f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
		if _, err := io.ReadFull(in, f.Payload); err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}
