package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"roost/schemas"
)

// Defaults of [Options].
const (
	DefaultQueue            = 2 * schemas.MaxInFlight
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultBackoffMin       = 500 * time.Millisecond
	DefaultBackoffMax       = 30 * time.Second
)

// Options of a [Client]. URL and a token are required; so is DeviceName, unless DeviceID or
// Store names a device. All other zero values are useful.
type Options struct {
	// URL of the server, http(s):// or ws(s)://, without the /ws at its end.
	// Required. Over http and ws the token is not encrypted.
	URL string

	// Token authenticates the user. Required, unless TokenSource is set. After the
	// token expires, the client ends with 4001.
	Token string

	// TokenSource returns a token if Token is empty, and after the server refused the
	// last one. Two refusals in a row end the client. The client retries after an
	// error of the source, unless it is a [*schemas.Error].
	TokenSource func(context.Context) (string, error)

	// DeviceID is the id of this client's registered device. Default: the one in
	// Store. Of two clients with the same device, the older one ends with 4409.
	DeviceID schemas.DeviceID

	// DeviceName registers a new device if neither DeviceID nor Store names one.
	// Without a Store, every start registers another device, until the user has too
	// many.
	DeviceName string

	// Store keeps the state that must survive the process. The package comment says
	// what is lost without one. A Store belongs to one device, and to one client at
	// a time. Default: none.
	Store Store

	// HTTPClient opens the connection. Its transport can set a proxy, TLS or another
	// dialer. Default: [http.DefaultClient].
	HTTPClient *http.Client

	// HandshakeTimeout bounds the time from the dial to the welcome. Default:
	// DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration

	// BackoffMin and BackoffMax bound the pause before the next attempt: a random part
	// of BackoffMin, which doubles after each failure up to BackoffMax. With shorter
	// pauses, all clients overload a server after its restart. Defaults:
	// DefaultBackoffMin, DefaultBackoffMax.
	BackoffMin, BackoffMax time.Duration

	// Queue is the number of events that wait for Receive. While the queue is full,
	// the client does not read the socket. A queue smaller than the server's
	// max_in_flight slows down the backlog. Default: DefaultQueue.
	Queue int

	// Logger receives lost connections and malformed frames. The client never logs
	// contents or tokens. Default: no log.
	Logger *slog.Logger

	// Jitter picks the pause between 0 and ceiling. It is the only random choice of a
	// client: set it, and use testing/synctest, for a deterministic test. In
	// production, any other choice than a random one makes all clients reconnect at
	// the same time. Default: random.
	Jitter func(ceiling time.Duration) time.Duration
}

func (o Options) withDefaults() (Options, error) {
	switch {
	case o.Token == "" && o.TokenSource == nil:
		return o, errors.New("client: Options has neither Token nor TokenSource")
	case o.Queue < 0:
		return o, fmt.Errorf("client: Options.Queue is %d", o.Queue)
	}
	if o.HTTPClient == nil {
		o.HTTPClient = http.DefaultClient
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Jitter == nil {
		o.Jitter = func(ceiling time.Duration) time.Duration { return rand.N(ceiling + 1) }
	}
	if o.Queue == 0 {
		o.Queue = DefaultQueue
	}
	if o.HandshakeTimeout <= 0 {
		o.HandshakeTimeout = DefaultHandshakeTimeout
	}
	if o.BackoffMin <= 0 {
		o.BackoffMin = DefaultBackoffMin
	}
	if o.BackoffMax <= 0 {
		o.BackoffMax = DefaultBackoffMax
	}
	o.BackoffMax = max(o.BackoffMax, o.BackoffMin)
	return o, nil
}

// endpoint appends path to base, and replaces the scheme ws by http.
func endpoint(base, path string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", fmt.Errorf("client: the server's URL is malformed: %w", err)
	}
	switch u.Scheme {
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	case "http", "https":
	default:
		return "", fmt.Errorf("client: the server's URL %q does not start with http://, https://, ws:// or wss://", base)
	}
	if u.Host == "" {
		return "", fmt.Errorf("client: the server's URL %q names no host", base)
	}
	u.RawQuery, u.Fragment = "", ""
	return strings.TrimRight(u.String(), "/") + path, nil
}
