package edge

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"roost/schemas"
)

// reason names the bound that a refused connection exceeds.
type reason string

const (
	reasonProcess reason = "process"
	reasonAddress reason = "address"
)

const (
	// maxRefusals bounds the refused connections that wait for the peer to read the
	// answer. Each holds a file of the reserve. Further ones are closed at once.
	maxRefusals = 32
	// refusalTimeout is the deadline of each.
	refusalTimeout = time.Second
	// maxRefusedRequest bounds the bytes read from a refused connection.
	maxRefusedRequest = 16 << 10
)

var (
	processAnswer = httpAnswer(http.StatusServiceUnavailable, schemas.AnswerError{Code: schemas.CodeUnavailable, RetryAfterMS: 5000,
		Message: "The server has reached its limit of connections. Try again later."})
	addressAnswer = httpAnswer(http.StatusTooManyRequests, schemas.AnswerError{Code: schemas.CodeRateLimited, RetryAfterMS: 10_000,
		Message: "Your address has too many connections. Close some, then try again."})
)

func (r reason) answer() []byte {
	if r == reasonAddress {
		return addressAnswer
	}
	return processAnswer
}

// httpAnswer returns a whole HTTP response that announces the close of the connection.
func httpAnswer(status int, e schemas.AnswerError) []byte {
	body := append(schemas.Encode(schemas.Answer{Status: schemas.StatusFailed, Error: &e}), '\n')
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: %d\r\n",
		status, http.StatusText(status), len(body))
	if e.RetryAfterMS > 0 {
		b.WriteString("Retry-After: " + strconv.FormatInt((e.RetryAfterMS+999)/1000, 10) + "\r\n")
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// refusals answers refused connections, at most maxRefusals at a time.
type refusals struct {
	mu      sync.Mutex
	conns   map[net.Conn]struct{} // at most maxRefusals
	stopped bool
	wg      sync.WaitGroup
}

func newRefusals() *refusals { return &refusals{conns: make(map[net.Conn]struct{})} }

// answer starts the answer to a refused connection. It never blocks.
func (r *refusals) answer(c net.Conn, why reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped || len(r.conns) >= maxRefusals {
		_ = c.Close()
		return
	}
	r.conns[c] = struct{}{}
	r.wg.Go(func() {
		writeRefusal(c, why.answer())
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, c)
	})
}

// writeRefusal writes the answer, reads the client's request, and closes the connection. If
// bytes were unread at the close, TCP would reset the connection, and the client might lose
// the answer.
func writeRefusal(c net.Conn, answer []byte) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(refusalTimeout))
	if _, err := c.Write(answer); err != nil {
		return
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.CopyN(io.Discard, c, maxRefusedRequest)
}

// stop closes the refused connections and waits for their goroutines. It may be called again.
func (r *refusals) stop() {
	r.mu.Lock()
	r.stopped = true
	for c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
}

// plainHeaders ends the headers of net/http's own error answers. No other answer has exactly
// these headers in this order.
var plainHeaders = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")

// jsonErrorAnswer translates the plain-text answer that net/http writes to a malformed
// request into one in JSON. It returns nil if b is another answer.
func jsonErrorAnswer(b []byte) []byte {
	text, ok := bytes.CutPrefix(b, []byte("HTTP/1.1 "))
	if !ok {
		return nil
	}
	text, _, ok = bytes.Cut(text, plainHeaders)
	if !ok || len(text) < 3 || bytes.ContainsAny(text, "\r\n") {
		return nil
	}
	status, err := strconv.Atoi(string(text[:3]))
	if err != nil || status < http.StatusBadRequest {
		return nil
	}
	message := "The HTTP request is malformed: " + string(bytes.TrimSpace(text[3:])) + "."
	if status == http.StatusRequestHeaderFieldsTooLarge {
		message = fmt.Sprintf("The headers of the request exceed %d KiB. Send fewer or shorter ones.", maxHeaderBytes>>10)
	}
	return httpAnswer(status, schemas.AnswerError{Code: schemas.CodeBadFrame, Message: message})
}
