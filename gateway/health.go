package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"roost/schemas"
	"roost/streams"
	"roost/streams/publisher"
)

// healthz is GET /healthz: the process is alive.
func (s *Server) healthz(*http.Request) (int, any, error) { return http.StatusOK, nil, nil }

// readyTimeout bounds what readyz asks others.
const readyTimeout = 2 * time.Second

// readyz is GET /readyz: whether this gateway can serve, and what is missing.
// History may be away: messages flow without it, so that is "degraded".
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	ready := schemas.Readiness{Ready: true, Missing: map[string]string{}, Degraded: map[string]string{}}
	if err := s.streams.Ready(); err != nil {
		ready.Missing["nats"] = err.Error()
	}
	if held := time.Since(s.since) < streams.LeaseTTL || s.streams.Presence().Alive(s.opts.Name); ready.Missing["nats"] == "" && !held {
		ready.Missing["lease"] = "NATS does not take this gateway's lease, so nobody can connect. " +
			"If `roost streams plan` with the admin role says that streams are missing, run `roost streams apply`."
	}
	if err := s.opts.Refuse(); err != nil {
		ready.Missing["disk"] = err.Error()
	}
	if err := s.opts.Auth.Degraded(); err != nil {
		ready.Degraded["identity"] = err.Error()
	}
	if failing := s.streams.Failing(); ready.Missing["nats"] == "" && len(failing) > 0 {
		ready.Degraded["streams"] = streamsFailing(failing)
	}
	s.mu.Lock()
	if s.draining {
		ready.Missing["gateway"] = "draining"
	}
	s.mu.Unlock()
	if ready.Missing["nats"] == "" {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if err := s.streams.HistoryReady(ctx); err != nil {
			ready.Degraded["history"] = schemas.AsError(err).Message
		}
	}
	status, answer := http.StatusOK, schemas.Answer{Status: schemas.StatusSuccess}
	if len(ready.Missing) > 0 {
		ready.Ready = false
		status = http.StatusServiceUnavailable
		answer.Status = schemas.StatusFailed
		answer.Error = &schemas.AnswerError{Code: schemas.CodeUnavailable, Message: "This gateway cannot serve now; data.missing says why."}
	}
	answer.Data = schemas.Encode(ready)
	s.write(w, status, answer)
}

// streamsFailing is what readyz says of streams that take nothing. A stream that NATS
// stopped after a failed write stays so until its node is started again.
func streamsFailing(failing []publisher.Failure) string {
	each := make([]string, len(failing))
	for i, f := range failing {
		each[i] = fmt.Sprintf("%s since %s (%v)", f.Stream, f.Since.UTC().Format(time.RFC3339), f.Err)
	}
	return "Streams take nothing: " + strings.Join(each, ", ") + ". If a NATS node logs a write error of one of them, remove the cause and restart the node."
}
