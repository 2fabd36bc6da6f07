package api

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"roost/gateway/auth"
	"roost/gateway/limit"
	"roost/gateway/origin"
	"roost/gateway/pages"
	"roost/schemas"
	"roost/streams"
)

// MaxBody bounds the body of an HTTP request.
const MaxBody = 16 << 10

// MaxGroupBody bounds the body of routeNewGroup, which may name all members.
const MaxGroupBody = 512 << 10

// routeWS opens a WebSocket, routeNewGroup creates a group.
const (
	routeWS       = "GET /ws"
	routeNewGroup = "POST /groups"
)

// open and private are handlers of requests without and with a token. They return the status
// and the data of the answer, or an error.
type (
	open    func(*http.Request) (int, any, error)
	private func(*http.Request, schemas.UserID) (int, any, error)
)

// Options of a Handler. Fields without a default are required.
type Options struct {
	Streams *streams.Conn
	Gate    *auth.Gate
	Origins *origin.Policy
	Answers *Answers
	Devices *Devices
	Pages   *pages.Cache
	// Accounts are the built-in ones; nil with an external issuer.
	Accounts Accounts
	// Socket serves GET /ws.
	Socket http.HandlerFunc
	// Gateway is the part of the process that has the connections.
	Gateway Gateway
	// MaxGroupMembers is how many members a group may have.
	MaxGroupMembers int
	// LoginsPerSecond bounds the passwords that an address may try; 0 is no limit.
	LoginsPerSecond float64
	// ReserveNames is how long the name of a deleted built-in account stays reserved. Default 0.
	ReserveNames time.Duration
	// ChannelPages counts pages of channels, by where they came from.
	ChannelPages *prometheus.CounterVec
	// Metrics serves GET /metrics.
	Metrics prometheus.Gatherer
	Log     *slog.Logger
}

// Gateway is what HTTP needs of the part of the process that has the connections.
type Gateway interface {
	// FlushReads makes durable what a user has read on connections of this gateway.
	FlushReads(ctx context.Context, u schemas.UserID) error
	// Pulled reports that a user has seen the newest messages of a channel.
	Pulled(u schemas.UserID, channel schemas.GroupID)
	// Missing returns why the gateway cannot serve now, by the missing part: its lease, disk
	// space, or that it drains. The map is empty if it can.
	Missing() map[string]string
}

// Handler returns the handler of all paths of docs/protocol.md.
func Handler(o Options) http.Handler {
	directory := o.Streams.Directory()
	logins := &logins{passwords: o.Accounts, directory: directory, attempts: limit.NewAddresses(o.LoginsPerSecond), proxies: o.Origins.Proxies}
	accounts := &accounts{logins: logins, streams: o.Streams, directory: directory, gate: o.Gate, reserve: o.ReserveNames}
	devices := o.Devices
	users := &users{directory: directory, streams: o.Streams}
	groups := &groups{streams: o.Streams, directory: directory, maxMembers: o.MaxGroupMembers}
	chats := &chats{streams: o.Streams, directory: directory, groups: groups, pages: o.Pages, gateway: o.Gateway, served: o.ChannelPages}
	exports := &exports{streams: o.Streams, gate: o.Gate, answers: o.Answers, running: make(map[schemas.UserID]struct{})}
	health := &health{streams: o.Streams, gate: o.Gate, gateway: o.Gateway, answers: o.Answers}

	h := &router{mux: http.NewServeMux(), answers: o.Answers, gate: o.Gate}
	if o.Accounts != nil {
		h.open("POST /accounts", accounts.create)
		h.open("POST /sessions", accounts.login)
	}
	h.open("DELETE /account", accounts.delete)
	h.mux.HandleFunc("GET /export", exports.get)
	h.private("POST /devices", devices.create)
	h.private("GET /devices", devices.list)
	h.private("DELETE /devices/{device_id}", devices.delete)
	h.private("GET /user/settings", users.settings)
	h.private("PUT /user/settings", users.changeSettings)
	h.private("GET /user/{user_id}/status", users.status)
	h.private("GET /reads", chats.reads)
	h.private("GET /blocks", users.blocks)
	h.private("PUT /blocks/{user_id}", users.block)
	h.private("DELETE /blocks/{user_id}", users.unblock)
	h.private("GET /history/{chat_participant_id}", chats.history)
	h.private("GET /chat/{group_id}", chats.group)
	h.private("GET /chats/{user_id}", chats.settings)
	h.private("PUT /chats/{user_id}", chats.changeSettings)
	h.private(routeNewGroup, groups.create)
	h.private("GET /groups", groups.list)
	h.private("GET /groups/{group_id}", groups.get)
	h.private("GET /groups/{group_id}/receipts", groups.receipts)
	h.private("PATCH /groups/{group_id}", groups.patch)
	h.private("POST /groups/{group_id}/members", groups.addMember)
	h.private("PATCH /groups/{group_id}/members/{user_id}", groups.patchMember)
	h.private("DELETE /groups/{group_id}/members/{user_id}", groups.removeMember)
	h.open("GET /healthz", health.alive)
	h.mux.HandleFunc("GET /readyz", health.ready)
	h.mux.Handle("GET /metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{}))
	h.mux.HandleFunc(routeWS, o.Socket)
	return o.Origins.CORS(h)
}

// router hands each request to its handler, and answers all others.
type router struct {
	mux     *http.ServeMux
	answers *Answers
	gate    *auth.Gate
}

// ServeHTTP implements [http.Handler]. It refuses requests that no handler may see.
func (h *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p := r.URL.EscapedPath(); path.Clean(p) != p { // which the mux would redirect
		h.answers.Fail(w, r, noSuchPath(r))
		return
	}
	// The mux answers in plain text; find out first whether it would.
	handler, pattern := h.mux.Handler(r)
	if pattern == "" {
		h.noRoute(w, r)
		return
	}
	if r.Method == http.MethodPost || r.ContentLength != 0 {
		// Before the handler: a form of a foreign page must not count as an attempt to log in.
		if e := schemas.CheckContentType(r.Header.Values("Content-Type")); e != nil {
			w.Header().Set("Accept", schemas.ContentType)
			h.answers.Fail(w, r, e)
			return
		}
	}
	limit := int64(MaxBody)
	if pattern == routeNewGroup {
		limit = MaxGroupBody
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	if pattern == routeWS {
		handler.ServeHTTP(w, r) // it has no wildcards that only the mux would fill in
		return
	}
	h.mux.ServeHTTP(w, r)
}

// noRoute answers in JSON a request for which the mux has no handler.
func (h *router) noRoute(w http.ResponseWriter, r *http.Request) {
	probe := &statusProbe{header: make(http.Header)}
	h.mux.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", probe.header.Get("Allow"))
		h.answers.Fail(w, r, schemas.Errorf(schemas.CodeMethodNotAllow, "%s allows %s.", r.URL.Path, probe.header.Get("Allow")))
		return
	}
	h.answers.Fail(w, r, noSuchPath(r))
}

func noSuchPath(r *http.Request) error {
	return schemas.Errorf(schemas.CodeNotFound, "There is nothing at %s %s.", r.Method, r.URL.Path)
}

// statusProbe is a ResponseWriter that records the status and the headers.
type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header         { return p.header }
func (p *statusProbe) WriteHeader(status int)      { p.status = status }
func (p *statusProbe) Write(b []byte) (int, error) { return len(b), nil }

// open serves a path without a token.
func (h *router) open(pattern string, do open) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		status, data, err := do(r)
		h.answers.answer(w, r, status, data, err)
	})
}

// private serves a path for the user of a token.
func (h *router) private(pattern string, do private) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		user, err := h.gate.Admit(r.Context(), auth.Bearer(r))
		if err != nil {
			h.answers.Fail(w, r, err)
			return
		}
		status, data, err := do(r, user)
		h.answers.answer(w, r, status, data, err)
	})
}
