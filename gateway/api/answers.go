package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"roost/gateway/auth"
	"roost/schemas"
)

// Answers writes the answers to HTTP requests. It counts and logs errors.
type Answers struct {
	log       *slog.Logger
	errors    *prometheus.CounterVec // by code
	abandoned prometheus.Counter     // requests whose client went away
}

// NewAnswers returns Answers that count errors by code, and abandoned requests.
func NewAnswers(log *slog.Logger, errs *prometheus.CounterVec, abandoned prometheus.Counter) *Answers {
	return &Answers{log: log, errors: errs, abandoned: abandoned}
}

// answer writes the data of a request, or its error.
func (a *Answers) answer(w http.ResponseWriter, r *http.Request, status int, data any, err error) {
	if err != nil {
		a.Fail(w, r, err)
		return
	}
	answer := schemas.Answer{Status: schemas.StatusSuccess}
	if data != nil {
		answer.Data = schemas.Encode(data)
	}
	a.write(w, status, answer)
}

// Statuses are the HTTP statuses of error codes; every other code is 500.
var Statuses = map[schemas.Code]int{
	schemas.CodeBadFrame:        http.StatusBadRequest,
	schemas.CodeInvalidArgument: http.StatusBadRequest,
	schemas.CodeUnauthenticated: http.StatusUnauthorized,
	schemas.CodeForbidden:       http.StatusForbidden,
	schemas.CodeNotAMember:      http.StatusForbidden,
	schemas.CodeNotFound:        http.StatusNotFound,
	schemas.CodeUnknownReceiver: http.StatusNotFound,
	schemas.CodeMethodNotAllow:  http.StatusMethodNotAllowed,
	schemas.CodeUnsupportedType: http.StatusUnsupportedMediaType,
	schemas.CodeConflict:        http.StatusConflict,
	schemas.CodeDeviceLimit:     http.StatusConflict,
	schemas.CodeGroupFull:       http.StatusConflict,
	schemas.CodeHistoryOff:      http.StatusConflict,
	schemas.CodeBlockLimit:      http.StatusConflict,
	schemas.CodeChatLimit:       http.StatusConflict,
	schemas.CodeRateLimited:     http.StatusTooManyRequests,
	schemas.CodeUnavailable:     http.StatusServiceUnavailable,
}

// Fail answers a request with an error. It is the only place that does: it maps the code to a
// status, counts it, and logs internal errors.
func (a *Answers) Fail(w http.ResponseWriter, r *http.Request, err error) {
	status, ok := Statuses[schemas.AsError(err).Code]
	if !ok {
		status = http.StatusInternalServerError
	}
	a.FailWith(w, r, status, err)
}

// FailWith is Fail with a status other than the usual one of the code.
func (a *Answers) FailWith(w http.ResponseWriter, r *http.Request, status int, err error) {
	e := schemas.AsError(err)
	switch {
	case clientGone(r, err):
		a.log.Debug("a client went away before the answer", "method", r.Method, "path", r.URL.Path, "error", err)
		a.abandoned.Inc()
	case status >= http.StatusInternalServerError && !errors.Is(err, auth.ErrBusy) && !errors.Is(err, auth.ErrProviderDown): // each has its own counter or warning
		a.log.Error("a request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	a.errors.WithLabelValues(string(e.Code)).Inc()
	if e.RetryAfterMS > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt((e.RetryAfterMS+999)/1000, 10))
	}
	if e.Code == schemas.CodeUnauthenticated {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	a.write(w, status, schemas.Answer{Status: schemas.StatusFailed,
		Error: &schemas.AnswerError{Code: e.Code, Message: e.Message, RetryAfterMS: e.RetryAfterMS}})
}

// clientGone reports whether a request failed because its client closed the connection, or
// canceled the request. Any other failure stays a failure, whether or not the client waits.
func clientGone(r *http.Request, err error) bool {
	return errors.Is(r.Context().Err(), context.Canceled) && errors.Is(err, context.Canceled)
}

// write sends an answer as JSON.
func (a *Answers) write(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", schemas.ContentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(answer) // the client went away
}
