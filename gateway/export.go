package gateway

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"time"

	"roost/gateway/auth"
	"roost/schemas"
)

const (
	// maxExports bounds the exports under way on a gateway: each reads all that there
	// is of a person.
	maxExports = 4
	// exportTimeout bounds one.
	exportTimeout = 10 * time.Minute
	// exportWrite is how long a client may take to read what one write has.
	exportWrite = 30 * time.Second
	exportBuf   = 32 << 10
)

// export is GET /export: all that is stored about the caller, a JSON object a
// line. The status is sent before it is known whether all can be read, so the last
// line says whether it was.
func (s *Server) export(w http.ResponseWriter, r *http.Request) {
	user, err := s.gate.Admit(r.Context(), auth.Bearer(r))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if err := s.beginExport(user); err != nil {
		s.fail(w, r, err)
		return
	}
	defer s.endExport(user)
	ctx, cancel := context.WithTimeout(r.Context(), exportTimeout)
	defer cancel()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	out := &exportWriter{control: http.NewResponseController(w)}
	out.to = bufio.NewWriterSize(patientWriter{w, out.control}, exportBuf)
	err = s.streams.Export(ctx, user, out.line)
	if out.failed != nil || clientGone(r, err) {
		s.metrics.abandoned.Inc()
		return
	}
	if err != nil {
		e := exportError(err)
		s.log.Error("an export was not completed", "error", err)
		s.metrics.errors.WithLabelValues(string(e.Code)).Inc()
		_ = out.line(schemas.ExportLine{Kind: schemas.ExportFailed,
			Error: &schemas.AnswerError{Code: e.Code, Message: e.Message, RetryAfterMS: e.RetryAfterMS}})
	} else {
		_ = out.line(schemas.ExportLine{Kind: schemas.ExportEnd, Items: &out.items})
	}
	out.end()
}

// exportError is what a client is told of an export that ended early. What failed without
// a code of its own could not be read.
func exportError(err error) *schemas.Error {
	if told := (*schemas.Error)(nil); errors.As(err, &told) {
		return told
	}
	return &schemas.Error{Code: schemas.CodeUnavailable, RetryAfterMS: 1000, Cause: err,
		Message: "Not everything could be read. Export again later."}
}

// beginExport takes one of the few places, and not two for one person.
func (s *Server) beginExport(u schemas.UserID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.exporting[u]; ok || len(s.exporting) >= maxExports {
		return &schemas.Error{Code: schemas.CodeRateLimited, RetryAfterMS: 10_000,
			Message: "An export of yours is under way, or too many of others. Try again later."}
	}
	s.exporting[u] = struct{}{}
	return nil
}

func (s *Server) endExport(u schemas.UserID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.exporting, u)
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

// end writes what is left.
func (x *exportWriter) end() {
	if x.to.Flush() == nil {
		_ = x.control.Flush() // the client went away
	}
}

// patientWriter gives each write its time.
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
