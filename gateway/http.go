package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path"
	"strconv"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"roost/gateway/auth"
	"roost/schemas"
)

// maxBody bounds the body of an HTTP request.
const maxBody = 16 << 10

// maxGroupBody bounds the body of routeNewGroup, which may name all members.
const maxGroupBody = 512 << 10

// routeWS is where clients connect, routeNewGroup where they make a group.
const (
	routeWS       = "GET /ws"
	routeNewGroup = "POST /groups"
)

// open and private are handlers of requests without and with a token: they
// return the status and the data of the answer, or an error.
type (
	open    func(*http.Request) (int, any, error)
	private func(*http.Request, schemas.UserID) (int, any, error)
)

func (s *Server) routes() http.Handler { return s.origins.CORS(s.router()) }

// router serves each path of the protocol.
func (s *Server) router() http.Handler {
	mux := http.NewServeMux()
	if s.opts.Accounts != nil {
		mux.HandleFunc("POST /accounts", s.open(s.createAccount))
		mux.HandleFunc("POST /sessions", s.open(s.createSession))
	}
	mux.HandleFunc("DELETE /account", s.open(s.deleteAccount))
	mux.HandleFunc("GET /export", s.export)
	mux.HandleFunc("POST /devices", s.private(s.createDevice))
	mux.HandleFunc("GET /devices", s.private(s.listDevices))
	mux.HandleFunc("DELETE /devices/{device_id}", s.private(s.deleteDevice))
	mux.HandleFunc("GET /user/settings", s.private(s.getSettings))
	mux.HandleFunc("PUT /user/settings", s.private(s.putSettings))
	mux.HandleFunc("GET /user/{user_id}/status", s.private(s.getStatus))
	mux.HandleFunc("GET /reads", s.private(s.getReads))
	mux.HandleFunc("GET /blocks", s.private(s.getBlocks))
	mux.HandleFunc("PUT /blocks/{user_id}", s.private(s.putBlock))
	mux.HandleFunc("DELETE /blocks/{user_id}", s.private(s.deleteBlock))
	mux.HandleFunc("GET /history/{chat_participant_id}", s.private(s.getHistory))
	mux.HandleFunc("GET /chat/{group_id}", s.private(s.getChat))
	mux.HandleFunc("GET /chats/{user_id}", s.private(s.getChatSettings))
	mux.HandleFunc("PUT /chats/{user_id}", s.private(s.putChatSettings))
	mux.HandleFunc(routeNewGroup, s.private(s.createGroup))
	mux.HandleFunc("GET /groups", s.private(s.listGroups))
	mux.HandleFunc("GET /groups/{group_id}", s.private(s.getGroup))
	mux.HandleFunc("GET /groups/{group_id}/receipts", s.private(s.groupReceipts))
	mux.HandleFunc("PATCH /groups/{group_id}", s.private(s.patchGroup))
	mux.HandleFunc("POST /groups/{group_id}/members", s.private(s.addMember))
	mux.HandleFunc("PATCH /groups/{group_id}/members/{user_id}", s.private(s.patchMember))
	mux.HandleFunc("DELETE /groups/{group_id}/members/{user_id}", s.private(s.removeMember))
	mux.HandleFunc("GET /healthz", s.open(s.healthz))
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.opts.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc(routeWS, s.serveWS)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.route(w, r, mux) })
}

// route refuses requests that no handler may see, and hands the others to their handler.
func (s *Server) route(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	if p := r.URL.EscapedPath(); path.Clean(p) != p { // which the mux would redirect
		s.fail(w, r, noSuchPath(r))
		return
	}
	// The mux answers in plain text; find out first whether it would.
	h, pattern := mux.Handler(r)
	if pattern == "" {
		s.noRoute(w, r, mux)
		return
	}
	if r.Method == http.MethodPost || r.ContentLength != 0 {
		// Before the handler: a form of a foreign page must not count as an attempt to log in.
		if e := schemas.CheckContentType(r.Header.Values("Content-Type")); e != nil {
			w.Header().Set("Accept", schemas.ContentType)
			s.fail(w, r, e)
			return
		}
	}
	limit := int64(maxBody)
	if pattern == routeNewGroup {
		limit = maxGroupBody
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	if pattern == routeWS {
		h.ServeHTTP(w, r) // it has no wildcards that only the mux would fill in
		return
	}
	mux.ServeHTTP(w, r)
}

// noRoute answers what the mux has no handler for, as every answer is: JSON.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	probe := &statusProbe{header: make(http.Header)}
	mux.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", probe.header.Get("Allow"))
		s.fail(w, r, schemas.Errorf(schemas.CodeMethodNotAllow, "%s allows %s.", r.URL.Path, probe.header.Get("Allow")))
		return
	}
	s.fail(w, r, noSuchPath(r))
}

func noSuchPath(r *http.Request) error {
	return schemas.Errorf(schemas.CodeNotFound, "There is nothing at %s %s.", r.Method, r.URL.Path)
}

// statusProbe is a ResponseWriter that keeps the status alone.
type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header         { return p.header }
func (p *statusProbe) WriteHeader(status int)      { p.status = status }
func (p *statusProbe) Write(b []byte) (int, error) { return len(b), nil }

func (s *Server) open(h open) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		status, data, err := h(r)
		s.answer(w, r, status, data, err)
	}
}

func (s *Server) private(h private) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, err := s.gate.Admit(r.Context(), auth.Bearer(r))
		if err != nil {
			s.fail(w, r, err)
			return
		}
		status, data, err := h(r, user)
		s.answer(w, r, status, data, err)
	}
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, status int, data any, err error) {
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answer := schemas.Answer{Status: schemas.StatusSuccess}
	if data != nil {
		answer.Data = schemas.Encode(data)
	}
	s.write(w, status, answer)
}

var httpStatus = map[schemas.Code]int{
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

// fail is the one place where an error becomes an HTTP answer: it maps the code,
// counts it, and logs what only the log shall see.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, ok := httpStatus[schemas.AsError(err).Code]
	if !ok {
		status = http.StatusInternalServerError
	}
	s.failWith(w, r, status, err)
}

// failWith is fail with a status that is not the usual one of the code.
func (s *Server) failWith(w http.ResponseWriter, r *http.Request, status int, err error) {
	e := schemas.AsError(err)
	switch {
	case clientGone(r, err):
		s.log.Debug("a client went away before the answer", "method", r.Method, "path", r.URL.Path, "error", err)
		s.metrics.abandoned.Inc()
	case status >= http.StatusInternalServerError && !errors.Is(err, auth.ErrBusy) && !errors.Is(err, auth.ErrProviderDown): // each is warned of elsewhere
		s.log.Error("a request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	s.metrics.errors.WithLabelValues(string(e.Code)).Inc()
	if e.RetryAfterMS > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt((e.RetryAfterMS+999)/1000, 10))
	}
	if e.Code == schemas.CodeUnauthenticated {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	s.write(w, status, schemas.Answer{Status: schemas.StatusFailed,
		Error: &schemas.AnswerError{Code: e.Code, Message: e.Message, RetryAfterMS: e.RetryAfterMS}})
}

// clientGone says whether a request failed because its client closed the connection, or
// took the request back. Another failure stays one, whether the client waits for it or not.
func clientGone(r *http.Request, err error) bool {
	return errors.Is(r.Context().Err(), context.Canceled) && errors.Is(err, context.Canceled)
}

func (s *Server) write(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", schemas.ContentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(answer) // the client went away
}
