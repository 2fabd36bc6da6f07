package api

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"roost/gateway/auth"
	"roost/schemas"
	"roost/streams"
)

const (
	// MaxExports bounds the exports of a gateway at a time: each reads everything about a
	// user.
	MaxExports = 4
	// exportTimeout bounds one.
	exportTimeout = 10 * time.Minute
	// exportWrite is how long a client may take to read one write.
	exportWrite = 30 * time.Second
	exportBuf   = 32 << 10
)

// exports serves GET /export.
type exports struct {
	streams *streams.Conn
	gate    *auth.Gate
	answers *Answers

	mu      sync.Mutex                  // guards running
	running map[schemas.UserID]struct{} // at most MaxExports
}

// get is GET /export: everything that is stored about the caller, one JSON object a line. The
// status is sent before everything is read, so the last line says whether it was.
func (x *exports) get(w http.ResponseWriter, r *http.Request) {
	user, err := x.gate.Admit(r.Context(), auth.Bearer(r))
	if err != nil {
		x.answers.Fail(w, r, err)
		return
	}
	if err := x.begin(user); err != nil {
		x.answers.Fail(w, r, err)
		return
	}
	defer x.end(user)
	ctx, cancel := context.WithTimeout(r.Context(), exportTimeout)
	defer cancel()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	out := &exportWriter{control: http.NewResponseController(w)}
	out.to = bufio.NewWriterSize(patientWriter{w, out.control}, exportBuf)
	err = x.streams.Export(ctx, user, out.line)
	if out.failed != nil || clientGone(r, err) {
		x.answers.abandoned.Inc()
		return
	}
	if err != nil {
		e := exportError(err)
		x.answers.log.Error("an export was not completed", "error", err)
		x.answers.errors.WithLabelValues(string(e.Code)).Inc()
		_ = out.line(schemas.ExportLine{Kind: schemas.ExportFailed,
			Error: &schemas.AnswerError{Code: e.Code, Message: e.Message, RetryAfterMS: e.RetryAfterMS}})
	} else {
		_ = out.line(schemas.ExportLine{Kind: schemas.ExportEnd, Items: &out.items})
	}
	out.end()
}

// exportError is the error line of an export that ended early. A failure without a code means
// that something could not be read.
func exportError(err error) *schemas.Error {
	if told := (*schemas.Error)(nil); errors.As(err, &told) {
		return told
	}
	return &schemas.Error{Code: schemas.CodeUnavailable, RetryAfterMS: 1000, Cause: err,
		Message: "Not everything could be read. Export again later."}
}

// begin takes one of the few places, at most one for each user.
func (x *exports) begin(u schemas.UserID) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, ok := x.running[u]; ok || len(x.running) >= MaxExports {
		return &schemas.Error{Code: schemas.CodeRateLimited, RetryAfterMS: 10_000,
			Message: "You have a running export, or others have too many. Try again later."}
	}
	x.running[u] = struct{}{}
	return nil
}

func (x *exports) end(u schemas.UserID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.running, u)
}

// exportWriter writes lines and counts them.
type exportWriter struct {
	to      *bufio.Writer
	control *http.ResponseController
	items   int64
	failed  error     // of the first line that could not be written
	moved   time.Time // when a line moved the deadline last
}

func (x *exportWriter) line(l schemas.ExportLine) error {
	if now := time.Now(); now.Sub(x.moved) > time.Second { // with HTTP/2 a passed deadline ends the answer, written or not
		x.moved = now
		_ = x.control.SetWriteDeadline(now.Add(exportWrite)) // the client went away: the next write says so
	}
	if _, x.failed = x.to.Write(append(schemas.Encode(l), '\n')); x.failed == nil {
		x.items++
	}
	return x.failed
}

// end flushes the last lines.
func (x *exportWriter) end() {
	if x.to.Flush() == nil {
		_ = x.control.Flush() // the client went away
	}
}

// patientWriter sets a deadline for each write.
type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (p patientWriter) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(exportWrite)); err != nil {
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}
