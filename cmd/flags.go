package cmd

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"roost/gateway"
	"roost/gateway/origin"
	"roost/schemas"
	"roost/streams"
)

// The settings of the commands. Each struct is one subject, with its defaults and help. A
// flag overrides the environment (ROOST_…), which overrides the file (--config), which
// overrides the default.

type logFlags struct {
	LogLevel  string `help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"info" env:"ROOST_LOG_LEVEL"`
	LogFormat string `help:"text or json." enum:"text,json" default:"text" env:"ROOST_LOG_FORMAT"`
}

type natsFlags struct {
	NATS string `name:"nats" help:"URLs of the NATS cluster, comma-separated." default:"nats://127.0.0.1:4222" env:"ROOST_NATS"`
	NKey string `name:"nkey" help:"File with the nkey seed of this role." env:"ROOST_NKEY" placeholder:"FILE"`
}

type historyFlags struct {
	Mongo string `help:"URI of a MongoDB for history." env:"ROOST_MONGO" placeholder:"URI"`
}

type deviceFlags struct {
	DeviceMaxIdle time.Duration `help:"Workers remove a device after so long without use, at least 48h; 0 keeps all." default:"720h" env:"ROOST_DEVICE_MAX_IDLE"`
}

// minDeviceIdle is two days because the last use of a device is recorded to the day.
const minDeviceIdle = 48 * time.Hour

func (f deviceFlags) validate() error {
	if f.DeviceMaxIdle != 0 && f.DeviceMaxIdle < minDeviceIdle {
		return fmt.Errorf("--device-max-idle: is at least %s, or 0 for never", minDeviceIdle)
	}
	return nil
}

type topologyFlags struct {
	Partitions       int           `help:"Partitions of the inboxes, fixed at the first start; 0 keeps the installed number, at first 1." default:"0" env:"ROOST_PARTITIONS"`
	InboxMaxAge      time.Duration `help:"How long an inbox keeps an entry for its device, at most 8760h." default:"720h" env:"ROOST_INBOX_MAX_AGE"`
	InboxMaxMessages int64         `help:"Entries of one inbox." default:"10000" env:"ROOST_INBOX_MAX_MESSAGES"`
}

type gatewayFlags struct {
	HTTP            string        `name:"http" help:"Address to listen on." default:"127.0.0.1:8080" env:"ROOST_HTTP"`
	TLSCert         string        `name:"tls-cert" help:"PEM file with the certificate chain; serves HTTPS in place of HTTP. The server reads it again after a change." env:"ROOST_TLS_CERT" placeholder:"FILE"`
	TLSKey          string        `name:"tls-key" help:"PEM file with the key of --tls-cert." env:"ROOST_TLS_KEY" placeholder:"FILE"`
	HSTS            time.Duration `name:"hsts" help:"With TLS: how long browsers use HTTPS only; 0 sends no such header." default:"8760h" env:"ROOST_HSTS"`
	AuthJWKS        string        `name:"auth-jwks" help:"File or URL with the public keys of an external issuer; without it, accounts are built in." env:"ROOST_AUTH_JWKS" placeholder:"FILE-OR-URL"`
	AuthIssuer      string        `help:"Issuer that tokens must have, with --auth-jwks." env:"ROOST_AUTH_ISSUER"`
	AuthAudience    string        `help:"Audience that tokens must have, with --auth-jwks." env:"ROOST_AUTH_AUDIENCE"`
	AuthCache       string        `help:"File that keeps the keys of the URL in --auth-jwks for the next start; by default, serve uses auth-keys.json in the data directory." env:"ROOST_AUTH_CACHE" placeholder:"FILE"`
	AllowedOrigins  []string      `help:"Origins of web pages that may use the server besides its own: https://chat.example.com, *.example.com, or * for all." env:"ROOST_ALLOWED_ORIGINS" placeholder:"ORIGIN"`
	TrustedProxies  []string      `help:"Addresses and networks of proxies whose X-Forwarded-For or Forwarded names the client." env:"ROOST_TRUSTED_PROXIES" placeholder:"CIDR"`
	ProxyProtocol   bool          `help:"Expect a PROXY header, version 1 or 2, on connections of --trusted-proxies." env:"ROOST_PROXY_PROTOCOL"`
	MaxConnections  int           `help:"Open TCP connections of the process; 0 allows as many as the limit of open files." default:"0" env:"ROOST_MAX_CONNECTIONS"`
	MaxDevices      int           `help:"Devices of a user." default:"3" env:"ROOST_MAX_DEVICES"`
	MaxGroupMembers int           `help:"Members of a group, at most 8192." default:"1024" env:"ROOST_MAX_GROUP_MEMBERS"`
	GroupPushLimit  int           `help:"A group with more members is a channel: members pull its messages. Times --max-devices at most 8192." default:"1024" env:"ROOST_GROUP_PUSH_LIMIT"`
	FullInboxIdle   time.Duration `help:"The next message for a full inbox removes its device after so long without use, at least 48h; 0 keeps the device and refuses the message." default:"48h" env:"ROOST_FULL_INBOX_IDLE"`
	ReserveNames    time.Duration `help:"How long the name of a deleted built-in account stays reserved; 0 frees it after the erasure." default:"8760h" env:"ROOST_RESERVE_NAMES"`
	Events          bool          `help:"Put every message into the stream MESSAGES, for other services." env:"ROOST_EVENTS"`
	Heartbeat       time.Duration `help:"How often a client sends at least one frame." default:"30s" env:"ROOST_HEARTBEAT"`
	AckTimeout      time.Duration `help:"How long a connected device may leave an entry unacknowledged." default:"30s" env:"ROOST_ACK_TIMEOUT"`
	DeviceConsumer  string        `help:"How the server reads the inbox of a connected device: direct, or jetstream, with a JetStream consumer for each device." enum:"direct,jetstream" default:"direct" env:"ROOST_DEVICE_CONSUMER"`

	Limits                string  `help:"off switches off every limit below, for load tests." enum:"on,off" default:"on" env:"ROOST_LIMITS"`
	ConnectionsPerUser    int     `help:"Open connections of a user." default:"12" env:"ROOST_CONNECTIONS_PER_USER"`
	ConnectionsPerAddress int     `help:"Open connections of an address, or of a /64 of IPv6." default:"1000" env:"ROOST_CONNECTIONS_PER_ADDRESS"`
	FramesPerSecond       float64 `help:"Frames of a connection; the server reads more later." default:"1000" env:"ROOST_FRAMES_PER_SECOND"`
	SendsPerSecond        float64 `help:"Sends of a connection; the server refuses more." default:"50" env:"ROOST_SENDS_PER_SECOND"`
	LoginsPerSecond       float64 `help:"Logins and new accounts from an address, or a /64 of IPv6." default:"5" env:"ROOST_LOGINS_PER_SECOND"`
}

func (f gatewayFlags) limits() gateway.Limits {
	if f.Limits == "off" {
		return gateway.Limits{}
	}
	return gateway.Limits{
		ConnectionsPerUser: f.ConnectionsPerUser, ConnectionsPerAddress: f.ConnectionsPerAddress,
		FramesPerSecond: f.FramesPerSecond, SendsPerSecond: f.SendsPerSecond, LoginsPerSecond: f.LoginsPerSecond,
	}
}

func (f gatewayFlags) validate() error {
	switch {
	case f.MaxDevices < 1:
		return errors.New("--max-devices: is at least 1")
	case f.MaxGroupMembers < 1 || f.MaxGroupMembers > schemas.MaxGroupMembers:
		return fmt.Errorf("--max-group-members: is 1 to %d", schemas.MaxGroupMembers)
	case f.GroupPushLimit < 1:
		return errors.New("--group-push-limit: is at least 1")
	case f.GroupPushLimit*f.MaxDevices > streams.MaxCopies:
		return fmt.Errorf("--group-push-limit: times --max-devices, it is at most %d, the copies of one message", streams.MaxCopies)
	case f.FullInboxIdle != 0 && f.FullInboxIdle < minDeviceIdle:
		return fmt.Errorf("--full-inbox-idle: is at least %s, or 0 for never", minDeviceIdle)
	case f.ReserveNames < 0:
		return errors.New("--reserve-names: is at least 0")
	case f.Heartbeat < time.Second || f.AckTimeout < time.Second:
		return errors.New("--heartbeat and --ack-timeout: are at least 1s")
	case (f.TLSCert == "") != (f.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key: each needs the other")
	case f.HSTS < 0:
		return errors.New("--hsts: is 0 or more")
	case f.MaxConnections < 0:
		return errors.New("--max-connections: is 0 or more")
	case f.ProxyProtocol && len(f.TrustedProxies) == 0:
		return errors.New("--proxy-protocol needs --trusted-proxies, the addresses that may name the client")
	case f.AuthJWKS == "" && (f.AuthIssuer != "" || f.AuthAudience != "" || f.AuthCache != ""):
		return errors.New("--auth-issuer, --auth-audience and --auth-cache need --auth-jwks")
	case f.ConnectionsPerUser < 0 || f.ConnectionsPerAddress < 0 || f.FramesPerSecond < 0 || f.SendsPerSecond < 0 || f.LoginsPerSecond < 0:
		return errors.New("a limit is 0 (none) or more")
	}
	_, errProxies := f.trustedProxies()
	_, errOrigins := f.allowedOrigins()
	return errors.Join(errProxies, errOrigins)
}

func (f gatewayFlags) trustedProxies() ([]netip.Prefix, error) {
	proxies, err := origin.ParseProxies(f.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("--trusted-proxies: takes addresses and networks as 10.0.0.0/8: %w", err)
	}
	return proxies, nil
}

func (f gatewayFlags) allowedOrigins() (origin.Allowed, error) {
	origins, err := origin.ParseAllowed(f.AllowedOrigins)
	if err != nil {
		return origins, fmt.Errorf("--allowed-origins: %w", err)
	}
	return origins, nil
}

func (t topologyFlags) topology(replicas int) streams.Topology {
	return streams.Topology{Partitions: t.Partitions, Replicas: replicas,
		InboxMaxAge: t.InboxMaxAge, InboxMaxMessages: t.InboxMaxMessages}
}
