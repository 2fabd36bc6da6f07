package streams

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"roost/streams/jsapi"
)

// dial opens one of the connections of a Conn.
func (c *Conn) dial(purpose string) (*nats.Conn, error) {
	address, o := c.opts.URL, []nats.Option{
		nats.Name(c.opts.Name + " " + purpose),
		nats.CustomInboxPrefix("_INBOX." + strings.ReplaceAll(c.opts.Name, " ", "-")),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.RetryOnFailedConnect(false),
		nats.Timeout(5 * time.Second),
		// A publish while disconnected must fail at once, not wait in a buffer:
		// its outcome is a client's answer.
		nats.ReconnectBufSize(-1),
		nats.SyncQueueLen(jsapi.MaxAnswers),
		nats.ErrorHandler(c.onAsyncError),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if err != nil {
				c.log.Warn("lost a NATS connection", "connection", purpose, "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			c.log.Info("reconnected to NATS", "connection", purpose, "server", nc.ConnectedUrlRedacted())
			c.losses.reconnect(purpose)
		}),
	}
	if c.opts.InProcess != nil {
		o = append(o, nats.InProcessServer(c.opts.InProcess))
		address = ""
	}
	if c.opts.NKeySeedFile != "" {
		nkey, err := nats.NkeyOptionFromSeed(c.opts.NKeySeedFile)
		if err != nil {
			return nil, fmt.Errorf("failed to read the nkey seed: %w", err)
		}
		o = append(o, nkey)
	}
	nc, err := nats.Connect(address, o...)
	if err != nil {
		return nil, fmt.Errorf("failed to connect to NATS at %s: %w", c.opts.where(), err)
	}
	return nc, nil
}

// where names the server, without passwords.
func (o Options) where() string {
	if o.InProcess != nil {
		return "the embedded server"
	}
	urls := strings.Split(o.URL, ",")
	for i := range urls {
		if u, err := url.Parse(strings.TrimSpace(urls[i])); err == nil {
			urls[i] = u.Redacted()
		}
	}
	return strings.Join(urls, ",")
}

// onAsyncError hears of slow consumers, whose subscription lost messages, and of denied
// permissions.
func (c *Conn) onAsyncError(_ *nats.Conn, sub *nats.Subscription, err error) {
	switch {
	case errors.Is(err, nats.ErrSlowConsumer) && sub != nil && c.losses.slowConsumer(sub):
	case errors.Is(err, nats.ErrPermissionViolation) && c.deny(err):
	default:
		c.log.Warn("NATS reported an error", "error", err)
	}
}

// closeConns closes all connections, and waits up to 5 s for each.
func (c *Conn) closeConns() {
	for _, nc := range []*nats.Conn{c.control, c.commits, c.lives, c.reads} {
		if nc == nil {
			continue
		}
		done := make(chan struct{})
		nc.SetClosedHandler(func(*nats.Conn) { close(done) })
		if nc.IsClosed() {
			continue
		}
		nc.Close()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			c.log.Warn("a NATS connection did not close in 5 s")
		}
	}
}
