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

// reason is the bound that a refused connection is over.
type reason string

const (
	reasonProcess reason = "process"
	reasonAddress reason = "address"
)

const (
	// maxRefusals bounds the refused connections that may still read their answer. They
	// hold a file each, from the reserve; more are closed at once.
	maxRefusals = 32
	// refusalTimeout bounds how long each may take.
	refusalTimeout = time.Second
	// maxRefusedRequest bounds what is read of the request of a refused connection.
	maxRefusedRequest = 16 << 10
)

var (
	processAnswer = httpAnswer(http.StatusServiceUnavailable, schemas.AnswerError{Code: schemas.CodeUnavailable, RetryAfterMS: 5000,
		Message: "The server has as many connections as it can hold. Try again later."})
	addressAnswer = httpAnswer(http.StatusTooManyRequests, schemas.AnswerError{Code: schemas.CodeRateLimited, RetryAfterMS: 10_000,
		Message: "Your address has too many connections. Close some, and try again."})
)

func (r reason) answer() []byte {
	if r == reasonAddress {
		return addressAnswer
	}
	return processAnswer
}

// httpAnswer is a whole HTTP response after which the connection closes.
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

// refusals answers connections that are refused, a few at a time.
type refusals struct {
	mu      sync.Mutex
	conns   map[net.Conn]struct{} // at most maxRefusals
	stopped bool
	wg      sync.WaitGroup
}

func newRefusals() *refusals { return &refusals{conns: make(map[net.Conn]struct{})} }

// answer refuses a connection. It never waits.
func (r *refusals) answer(c net.Conn, why reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped || len(r.conns) >= maxRefusals {
		_ = c.Close()
		return
	}
	r.conns[c] = struct{}{}
	r.wg.Go(func() {
		sayNo(c, why.answer())
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, c)
	})
}

// sayNo writes the answer and reads what the client sends: closed with unread bytes, TCP
// would reset the connection, and the client might not get the answer.
func sayNo(c net.Conn, answer []byte) {
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

// stop closes what is being refused, and waits.
func (r *refusals) stop() {
	r.mu.Lock()
	r.stopped = true
	for c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
}

// plainHeaders is how net/http ends the headers of its own error answers. No other
// answer has these headers in this order and no others.
var plainHeaders = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")

// inEnvelope is the answer in JSON for one that net/http wrote itself, in plain text,
// because it could not read the request; nil for anything else.
func inEnvelope(b []byte) []byte {
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
	message := "The request is not one of HTTP: " + string(bytes.TrimSpace(text[3:])) + "."
	if status == http.StatusRequestHeaderFieldsTooLarge {
		message = fmt.Sprintf("The headers of the request have over %d KiB. Send fewer.", maxHeaderBytes>>10)
	}
	return httpAnswer(status, schemas.AnswerError{Code: schemas.CodeBadFrame, Message: message})
}
