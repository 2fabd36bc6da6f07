package cmd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"

	"github.com/oklog/run"

	"roost/edge"
	"roost/gateway"
	"roost/gateway/auth"
	"roost/streams"
	"roost/streams/inbox"
)

type Gateway struct {
	logFlags
	natsFlags
	gatewayFlags
	AuthSecret string `help:"File with the secret that signs tokens of built-in accounts, the same for all gateways." env:"ROOST_AUTH_SECRET" placeholder:"FILE"`
}

// Run implements `roost gateway`.
func (c Gateway) Run(ctx context.Context, p Process) (err error) {
	if err := c.validate(); err != nil {
		return cannotStart(err)
	}
	if c.AuthJWKS == "" && c.AuthSecret == "" {
		return cannotStart(errors.New("a gateway needs --auth-jwks, or --auth-secret with the same file for all gateways"))
	}
	log := newLog(c.logFlags, p.Stderr)
	files := raiseFileLimit(log)
	defer runtime.KeepAlive(setCollector())
	end := newShutdown(log, exitWithin)
	defer end.finish(&err)
	listener, err := listen(c.HTTP)
	if err != nil {
		return cannotStart(err)
	}
	defer listener.Close()
	conn, err := openStreams(ctx, streams.Options{URL: c.NATS, NKeySeedFile: c.NKey, Name: "roost gateway", AckTimeout: c.AckTimeout,
		DeviceConsumer: inbox.Kind(c.DeviceConsumer), Log: log}, streams.Topology{})
	if err != nil {
		return cannotStart(err)
	}
	end.push("the connections to NATS", conn.Shutdown)
	options := gateway.Options{Streams: conn, Registry: newRegistry(), Log: log}
	closeAuth, err := c.configure(&options, c.AuthSecret)
	if err != nil {
		return cannotStart(err)
	}
	defer closeAuth()
	secure, err := c.tls(log)
	if err != nil {
		return cannotStart(err)
	}
	front, err := c.front(listener, secure, files, filesOfProcess, &options)
	if err != nil {
		return cannotStart(err)
	}
	var group run.Group
	addGateway(&group, end, gateway.New(options), front)
	end.add(&group, "the wait for a signal", untilSignal(ctx, log))
	log.Info("roost gateway serves", "url", urlOf(listener, secure), "nats", maskedList(c.NATS), "version", p.version())
	return finished(end.wait(group.Run))
}

// configure sets the options of a gateway by the flags. The caller calls closeAuth after the
// gateway has ended.
func (f gatewayFlags) configure(o *gateway.Options, secretFile string) (closeAuth func(), err error) {
	o.MaxDevices, o.MaxGroupMembers, o.GroupPushLimit, o.Events = f.MaxDevices, f.MaxGroupMembers, f.GroupPushLimit, f.Events
	o.FullInboxIdle, o.ReserveNames = f.FullInboxIdle, f.ReserveNames
	o.Limits, o.Heartbeat = f.limits(), f.Heartbeat
	if o.TrustedProxies, err = f.trustedProxies(); err != nil {
		return nil, err
	}
	if o.AllowedOrigins, err = f.allowedOrigins(); err != nil {
		return nil, err
	}
	if f.AuthJWKS != "" {
		external, err := auth.NewExternal(auth.Issuer{JWKS: f.AuthJWKS, Issuer: f.AuthIssuer, Audience: f.AuthAudience,
			Cache: f.AuthCache, Registry: o.Registry, Log: o.Log})
		if err != nil {
			return nil, err
		}
		o.Auth = external
		return external.Close, nil
	}
	secret, err := auth.LoadSecret(secretFile)
	if err != nil {
		return nil, err
	}
	tokens, err := auth.NewTokens(secret)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", secretFile, err)
	}
	o.Auth, o.Accounts = tokens, auth.NewAccounts(tokens)
	return func() {}, nil
}

// tls returns the configuration for --tls-cert, or nil without it.
func (f gatewayFlags) tls(log *slog.Logger) (*tls.Config, error) {
	if f.TLSCert == "" {
		return nil, nil
	}
	config, err := edge.CertificateFiles(f.TLSCert, f.TLSKey, log)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	return config, nil
}

// urlOf returns the URL of a listener.
func urlOf(l net.Listener, secure *tls.Config) string {
	if secure != nil {
		return "https://" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

// front returns the HTTP server of a gateway on an open listener.
func (f gatewayFlags) front(listener net.Listener, secure *tls.Config, files, reserve int, o *gateway.Options) (*edge.Server, error) {
	bound, err := connectionBound(f.MaxConnections, files, reserve)
	if err != nil {
		return nil, err
	}
	perAddress := min(o.Limits.ConnectionsPerAddress, bound/2) // one address leaves room for others
	return edge.New(listener, edge.Options{MaxConnections: bound, MaxPerAddress: perAddress, TrustedProxies: o.TrustedProxies,
		ProxyProtocol: f.ProxyProtocol, TLS: secure, HSTS: f.HSTS, Registry: o.Registry, Log: o.Log}), nil
}
