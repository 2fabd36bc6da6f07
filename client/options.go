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

// Options say how a [Client] connects. Zero values of all but the first
// three are useful.
type Options struct {
	// URL of the server, http(s):// or ws(s)://, without the /ws at its end.
	// Required. Over http and ws the token travels in the clear.
	URL string

	// Token proves who the user is. Required, unless TokenSource is set. When
	// it expires the client ends with 4001.
	Token string

	// TokenSource gives a token when Token is empty and when the server refused
	// the last one. Two refusals in a row end the client; any error of
	// the source itself but a [*schemas.Error] is tried again.
	TokenSource func(context.Context) (string, error)

	// DeviceID names the registered device that this client is. Default: the
	// one in Store. Two clients with one device replace each other: the older
	// ends with 4409.
	DeviceID schemas.DeviceID

	// DeviceName registers a new device where neither DeviceID nor Store names
	// one. Without a Store that remembers the answer, every start registers
	// another device, until the user's limit refuses them.
	DeviceName string

	// Store keeps what must survive the process. Default: none, see the package
	// comment for what is lost then. One store belongs to one device and one
	// client at a time.
	Store Store

	// HTTPClient makes the connection; its transport is where a proxy, TLS or
	// another dialer goes. Default: [http.DefaultClient].
	HTTPClient *http.Client

	// HandshakeTimeout ends an attempt without welcome. Default:
	// DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration

	// BackoffMin and BackoffMax bound the pause before another attempt: a random
	// part of BackoffMin, doubled at each failure up to BackoffMax. Defaults:
	// DefaultBackoffMin, DefaultBackoffMax. Shorter ones turn a server's restart
	// into a storm.
	BackoffMin, BackoffMax time.Duration

	// Queue is the number of events that wait for Receive; when it is full the
	// socket is not read. Default: DefaultQueue. Less than the server's
	// max_in_flight slows the backlog down.
	Queue int

	// Logger hears of lost connections and frames that make no sense. Contents
	// and tokens are never logged. Default: nobody.
	Logger *slog.Logger

	// Jitter picks the pause from 0 to ceiling. Default: at random. It is the
	// one source of chance in a client: set it, and run under testing/synctest,
	// for a test that is exact to the nanosecond. Anything but a random pause in
	// production makes all clients come back at once.
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

// endpoint is base, with http for ws, plus path.
func endpoint(base, path string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", fmt.Errorf("client: the server's URL is not one: %w", err)
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
