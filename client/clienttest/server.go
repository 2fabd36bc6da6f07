// Package clienttest is a Roost server in memory, for tests of clients. It has no disk, no
// groups, no history and no limits, and it can inject faults. It keeps the promises of the
// protocol that a client needs:
//
//   - It stores a send once under its number.
//   - It delivers an inbox in order, and redelivers entries until they are acknowledged.
//   - The newest connection of a device replaces the older one.
//   - Only the sender of a message may edit or delete it.
//
// New starts an HTTP server. Each connection has a goroutine that reads and one that writes.
// Close ends all of them and waits.
package clienttest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	"roost/schemas"
)

// Point is a point at which Server.Fault can break a connection.
type Point string

// The points, in the order of a message's way.
const (
	BeforeStore    Point = "before store"    // the server has read a send and loses it
	BeforeReceived Point = "before received" // the server has stored a send and loses the answer
	BeforeIncoming Point = "before incoming" // the server does not write an entry of the inbox
	BeforeRemoval  Point = "before removal"  // the server has read an acknowledgement and loses it
)

// Server is an HTTP handler. Its zero value is ready for use. New also listens.
type Server struct {
	URL string // of a server made by New

	// Fault returns whether the connection breaks at the point. Set it before the
	// first connection. The server calls it with locks held.
	Fault func(Point) bool

	listener *httptest.Server
	sockets  sync.WaitGroup

	mu    sync.Mutex
	users map[schemas.UserID]*user
	sent  map[schemas.MessageID]schemas.UserID // the sender of each message
	ids   int                                  // the number of ids so far
}

type user struct {
	id       schemas.UserID
	password string
	settings schemas.Settings
	devices  []*device
}

// device is a device and its inbox.
type device struct {
	user    *user
	info    schemas.DeviceInfo
	inbox   []entry // unacknowledged, in order
	entries int     // the number of entries so far
	last    schemas.ClientMessageID
	sent    map[schemas.ClientMessageID]sent
	session *session // the newest connection; nil: none
}

type entry struct {
	seq     int
	message schemas.Message
}

type sent struct {
	hash   schemas.ContentHash
	answer schemas.MessageReceived
}

// New starts a server on this machine.
func New() *Server {
	s := new(Server)
	s.listener = httptest.NewServer(s)
	s.URL = s.listener.URL
	return s
}

// Close breaks every connection and waits for all goroutines.
func (s *Server) Close() {
	s.Break()
	if s.listener != nil {
		s.listener.Close()
	}
	s.sockets.Wait()
}

// Break breaks every connection without a close frame.
func (s *Server) Break() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.users {
		for _, d := range u.devices {
			if d.session != nil {
				d.session.end()
			}
		}
	}
}

// Unacknowledged returns the number of entries in all inboxes.
func (s *Server) Unacknowledged() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, u := range s.users {
		for _, d := range u.devices {
			n += len(d.inbox)
		}
	}
	return n
}

// Account creates an account, if it does not exist, and returns a token for it.
func (s *Server) Account(id schemas.UserID, password string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account(id, password)
	return tokenOf(id)
}

func (s *Server) account(id schemas.UserID, password string) (created bool) {
	if s.users == nil {
		s.users = make(map[schemas.UserID]*user)
	}
	if s.users[id] != nil {
		return false
	}
	s.users[id] = &user{id: id, password: password, settings: schemas.DefaultSettings()}
	return true
}

// ServeHTTP serves the HTTP part of the protocol and /ws.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/ws" {
		s.socket(w, r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data, err := s.answer(r)
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(map[schemas.Code]int{
			schemas.CodeUnauthenticated: http.StatusUnauthorized,
			schemas.CodeNotFound:        http.StatusNotFound,
			schemas.CodeConflict:        http.StatusConflict,
			schemas.CodeDeviceLimit:     http.StatusConflict,
			schemas.CodeInvalidArgument: http.StatusBadRequest,
			schemas.CodeUnsupportedType: http.StatusUnsupportedMediaType,
		}[err.Code])
		write(w, schemas.Answer{Status: schemas.StatusFailed, Error: &schemas.AnswerError{Code: err.Code, Message: err.Message}})
		return
	}
	if r.Method == http.MethodPost && r.URL.Path != "/sessions" {
		w.WriteHeader(http.StatusCreated)
	}
	write(w, schemas.Answer{Status: schemas.StatusSuccess, Data: schemas.Encode(data)})
}

func write(w http.ResponseWriter, a schemas.Answer) { _ = json.NewEncoder(w).Encode(a) }

func (s *Server) answer(r *http.Request) (any, *schemas.Error) {
	route := r.Method + " " + r.URL.Path
	if r.Method == http.MethodPost || r.ContentLength != 0 {
		if e := schemas.CheckContentType(r.Header.Values("Content-Type")); e != nil {
			return nil, e
		}
	}
	switch route {
	case "POST /accounts", "POST /sessions":
		return s.credentials(r)
	}
	u := s.users[userOf(r)]
	if u == nil {
		return nil, schemas.Errorf(schemas.CodeUnauthenticated, "The token is not valid.")
	}
	switch {
	case route == "GET /devices":
		return u.list(), nil
	case route == "POST /devices":
		var body schemas.NewDevice
		if e := schemas.DecodeBody(r.Body, &body); e != nil {
			return nil, e
		}
		d, e := s.register(u, body.Name)
		if e != nil {
			return nil, e
		}
		return d.info, nil
	case strings.HasPrefix(route, "DELETE /devices/"):
		return nil, u.remove(schemas.DeviceID(strings.TrimPrefix(r.URL.Path, "/devices/")))
	case route == "GET /user/settings":
		return u.settings.Public(), nil
	case route == "PUT /user/settings":
		var change schemas.SettingsChange
		if e := schemas.DecodeBody(r.Body, &change); e != nil {
			return nil, e
		}
		if e := change.Validate(); e != nil {
			return nil, e
		}
		u.settings = change.Apply(u.settings, schemas.Now())
		return u.settings.Public(), nil
	case strings.HasPrefix(route, "GET /history/"):
		return []schemas.HistoryMessage{}, nil
	case strings.HasPrefix(route, "GET /user/") && strings.HasSuffix(route, "/status"):
		return s.status(schemas.UserID(strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/user/"), "/status")))
	}
	return nil, schemas.Errorf(schemas.CodeNotFound, "This path does not exist.")
}

func (s *Server) credentials(r *http.Request) (any, *schemas.Error) {
	var c schemas.Credentials
	if e := schemas.DecodeBody(r.Body, &c); e != nil {
		return nil, e
	}
	if r.URL.Path == "/accounts" {
		if e := c.Validate(); e != nil {
			return nil, e
		}
		if !s.account(c.UserID, c.Password) {
			return nil, schemas.Errorf(schemas.CodeConflict, "The name is taken.")
		}
		return schemas.AccountCreated{UserID: c.UserID, CreatedAt: schemas.Now()}, nil
	}
	if u := s.users[c.UserID]; u == nil || u.password != c.Password {
		return nil, schemas.Errorf(schemas.CodeUnauthenticated, "The user id or the password is wrong.")
	}
	return schemas.Token{Token: tokenOf(c.UserID), ExpiresAt: schemas.Now() + 1e9}, nil
}

func tokenOf(id schemas.UserID) string { return "token of " + string(id) }

func userOf(r *http.Request) schemas.UserID {
	return schemas.UserID(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer token of "))
}

func (s *Server) status(id schemas.UserID) (any, *schemas.Error) {
	u := s.users[id]
	if u == nil {
		return nil, schemas.Errorf(schemas.CodeNotFound, "This user does not exist.")
	}
	state := schemas.UserStatus{ConnectionState: "offline"}
	for _, d := range u.devices {
		if d.session != nil {
			state = schemas.UserStatus{ConnectionState: "online", LastActiveTime: schemas.Now()}
		}
	}
	return state, nil
}

// register adds a device; the first three are free.
func (s *Server) register(u *user, name string) (*device, *schemas.Error) {
	if e := schemas.ValidateName("device_name", name, schemas.MaxDeviceNameByte); e != nil {
		return nil, e
	}
	if len(u.devices) == 3 {
		return nil, schemas.Errorf(schemas.CodeDeviceLimit, "Remove a device first.")
	}
	info := schemas.DeviceInfo{DeviceID: schemas.DeviceID(s.newID()), Name: name, CreatedAt: schemas.Now()}
	d := &device{user: u, info: info, sent: make(map[schemas.ClientMessageID]sent)}
	u.devices = append(u.devices, d)
	return d, nil
}

func (u *user) list() []schemas.DeviceInfo {
	list := make([]schemas.DeviceInfo, len(u.devices))
	for i, d := range u.devices {
		list[i] = d.info
	}
	return list
}

func (u *user) find(id schemas.DeviceID) *device {
	for _, d := range u.devices {
		if d.info.DeviceID == id {
			return d
		}
	}
	return nil
}

func (u *user) remove(id schemas.DeviceID) *schemas.Error {
	d := u.find(id)
	if d == nil {
		return schemas.Errorf(schemas.CodeNotFound, "This device does not exist.")
	}
	if d.session != nil {
		d.session.close(schemas.CloseDeviceRemoved)
	}
	u.devices = slices.DeleteFunc(u.devices, func(o *device) bool { return o == d })
	return nil
}

// newID returns the next id. The ids are the same in every run.
func (s *Server) newID() string {
	s.ids++
	return fmt.Sprintf("01JD0000000000000000%06d", s.ids)
}
