package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/gobwas/ws"

	"roost/gateway/auth"
	"roost/schemas"
)

// Server is a deployment under load. If it runs on another machine, PIDs is empty and the
// figures of CPU and memory are missing.
type Server struct {
	// URLs of its gateways, http://host:port, at least one. Users are spread over them.
	URLs []string
	// PIDs of all its processes.
	PIDs []int
	// Tokens of its built-in accounts.
	Tokens *auth.Tokens
	// Restart starts it again on the same data. nil: it cannot be restarted.
	Restart func(context.Context) error
	// Kill ends all its processes with SIGKILL and starts it again on the same data. nil:
	// it cannot be killed.
	Kill func(context.Context) error
}

// Env is a server and the users registered there. It is not for concurrent use.
type Env struct {
	server *Server
	shown  Progress
	prefix string // of user ids, different in each run
	// patience bounds the wait for messages in flight when a scenario ends.
	patience time.Duration
	users    []*user
}

// Progress shows progress: done of total. It is called from one
// goroutine at a time.
type Progress func(what string, done, total int)

// NewEnv returns an Env without users. A nil progress shows nothing.
func NewEnv(s *Server, progress Progress) *Env {
	if progress == nil {
		progress = func(string, int, int) {}
	}
	return &Env{server: s, shown: progress, prefix: "bench-" + rand.Text()[:6], patience: stragglers}
}

func (e *Env) progress(what string, done, total int) { e.shown(what, done, total) }

const (
	// registering is how many users register at once.
	registering = 128
	// portsPerSource is how many links leave from one source address; the kernel
	// has about 28,000 ports for each.
	portsPerSource = 10_000
)

// endpoint returns the endpoint of the user with that index.
func (e *Env) endpoint(index int) endpoint {
	u, err := url.Parse(e.server.URLs[index%len(e.server.URLs)])
	if err != nil {
		return endpoint{url: &url.URL{Scheme: "ws", Host: "invalid"}} // ParseServer has checked it
	}
	at := endpoint{url: &url.URL{Scheme: "ws", Host: u.Host, Path: "/ws"}}
	if ip := net.ParseIP(u.Hostname()); ip != nil && ip.IsLoopback() && ip.To4() != nil {
		at.source = net.IPv4(127, 0, 0, byte(2+index/portsPerSource%200))
	}
	return at
}

// need registers users until there are n, and returns the first n. No measurement includes
// that.
func (e *Env) need(ctx context.Context, n int) ([]*user, error) {
	if err := e.name(n); err != nil {
		return nil, err
	}
	var added []*user
	for _, p := range e.users[:n] {
		if p.device == "" {
			added = append(added, p)
		}
	}
	const batch = 1000
	for done := 0; done < len(added); done += batch {
		e.progress("registering devices", done, len(added))
		c := newCrowd(ctx, e, newTraffic(e.users))
		c.retries = connectRetries
		err := c.connect(added[done:min(done+batch, len(added))], registering)
		if closed := c.close(); err == nil {
			err = closed
		}
		if err != nil {
			return nil, fmt.Errorf("failed to register devices: %w", err)
		}
	}
	return e.users[:n], nil
}

// name creates users until there are n, without devices.
func (e *Env) name(n int) error {
	for len(e.users) < n {
		p := &user{index: len(e.users)}
		p.id = schemas.UserID(fmt.Sprint(e.prefix, "-", p.index))
		token, err := e.server.Tokens.Issue(p.id)
		if err != nil {
			return err
		}
		p.token = token.Token
		e.users = append(e.users, p)
	}
	return nil
}

// hello appends the first frame of a connection.
func (p *user) hello(b []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return appendFrame(b, ws.OpText, func(b []byte) []byte {
		b = append(b, `{"type":"hello","token":"`...)
		b = append(b, p.token...)
		if p.device == "" {
			b = append(b, `","device_name":"bench`...)
		} else {
			b = append(b, `","device_id":"`...)
			b = append(b, p.device...)
		}
		if len(p.cursor) > 0 {
			b = append(b, `","resume_after":"`...)
			b = append(b, p.cursor...)
		}
		return append(b, `"}`...)
	})
}

func deviceOf(frame []byte) schemas.DeviceID {
	return schemas.DeviceID(textField(frame, fieldDevice))
}
