package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"roost/gateway/auth"
	"roost/schemas"
	"roost/streams"
	"roost/streams/publisher"
)

// health serves GET /healthz and GET /readyz.
type health struct {
	streams *streams.Conn
	gate    *auth.Gate
	gateway Gateway
	answers *Answers
}

// alive is GET /healthz: the process is alive.
func (h *health) alive(*http.Request) (int, any, error) { return http.StatusOK, nil, nil }

// readyTimeout bounds the requests of readyz to other processes.
const readyTimeout = 2 * time.Second

// ready is GET /readyz: whether this gateway can serve, and which part is missing. Without history
// messages still flow, so that is "degraded".
func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	ready := schemas.Readiness{Ready: true, Missing: map[string]string{}, Degraded: map[string]string{}}
	if err := h.streams.Ready(); err != nil {
		ready.Missing["nats"] = err.Error()
	}
	for part, why := range h.gateway.Missing() {
		if part != "lease" || ready.Missing["nats"] == "" { // without NATS there is no lease
			ready.Missing[part] = why
		}
	}
	if err := h.gate.Degraded(); err != nil {
		ready.Degraded["identity"] = err.Error()
	}
	if failing := h.streams.Failing(); ready.Missing["nats"] == "" && len(failing) > 0 {
		ready.Degraded["streams"] = streamsFailing(failing)
	}
	if ready.Missing["nats"] == "" {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if err := h.streams.HistoryReady(ctx); err != nil {
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
	h.answers.write(w, status, answer)
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
