package bench

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// spoil starts a proxy in front of a server that passes everything on, but hands
// the nth incoming message, of all connections, to change, which says what takes
// its place. A nil change cuts the connection there.
func spoil(t *testing.T, server string, nth int64, change func([]byte) [][]byte) string {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var seen atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", target.Host)
			if err != nil {
				_ = client.Close()
				continue
			}
			wg.Go(func() {
				defer upstream.Close()
				_, _ = io.Copy(upstream, client)
			})
			wg.Go(func() {
				defer client.Close()
				pass(client, upstream, func(frame []byte) ([][]byte, bool) {
					if !bytes.Contains(frame, []byte("incoming_message")) || seen.Add(1) != nth {
						return [][]byte{frame}, true
					}
					if change == nil {
						return nil, false
					}
					return change(frame), true
				})
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		wg.Wait()
	})
	return "http://" + listener.Addr().String()
}

// pass copies a server's side of a WebSocket, frame by frame, until it ends or
// change says so.
func pass(to, from net.Conn, change func([]byte) ([][]byte, bool)) {
	in := bufio.NewReaderSize(from, 1<<16)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.Write(to) != nil {
		return
	}
	buf, chunk := []byte(nil), make([]byte, 1<<16)
	for {
		n, err := in.Read(chunk)
		if err != nil {
			return
		}
		buf = append(buf, chunk[:n]...)
		for {
			op, payload, size, err := cutFrame(buf)
			if err != nil {
				return
			}
			if size == 0 {
				break
			}
			frames, goOn := change(append([]byte(nil), payload...))
			for _, f := range frames {
				head := []byte{0x80 | byte(op), byte(len(f))}
				if len(f) >= 126 {
					head = binary.BigEndian.AppendUint16([]byte{0x80 | byte(op), 126}, uint16(len(f)))
				}
				if _, err := to.Write(append(head, f...)); err != nil {
					return
				}
			}
			if !goOn {
				return
			}
			buf = buf[size:]
		}
	}
}
