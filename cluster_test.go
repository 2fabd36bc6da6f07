package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"roost/client"
	"roost/schemas"
	"roost/streams"
	"roost/streams/publisher"
	"roost/streams/streamstest"
	"roost/streams/subject"
	"roost/workers"
	"roost/workers/sqlite"
)

// natsCluster is NATS as nats.conf sets it up, in this process.
type natsCluster struct {
	t       *testing.T
	dir     string // the roles' seeds and the gateways' token.key
	options []*natsserver.Options
	servers []*natsserver.Server
}

// startCluster generates the keys and runs n nodes; one alone has no routes.
func startCluster(t *testing.T, n int) *natsCluster {
	t.Helper()
	c := &natsCluster{t: t, dir: t.TempDir()}
	for _, role := range []string{"sys", "admin", "gateway", "worker", "services"} {
		public, seed := newNKey(t)
		if err := os.WriteFile(c.seed(role), seed, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("ROOST_NKEY_"+strings.ToUpper(role), public)
	}
	var addresses, routes []string
	for range n {
		addresses = append(addresses, freeAddress(t))
		routes = append(routes, "nats://roost:0secret@"+addresses[len(addresses)-1])
	}
	t.Setenv("ROOST_NATS_ROUTES", "["+strings.Join(routes, ", ")+"]")
	t.Setenv("ROOST_NATS_ROUTE_PASSWORD", `"0secret"`)
	t.Setenv("ROOST_NATS_MAX_STORE", "10GB")
	for i, address := range addresses {
		name := fmt.Sprint("nats-", i)
		t.Setenv("ROOST_NATS_NAME", name)
		t.Setenv("ROOST_NATS_STORE", filepath.Join(c.dir, name))
		o, err := natsserver.ProcessConfigFile("nats.conf")
		if err != nil {
			t.Fatal(err)
		}
		o.Host, o.Port, o.HTTPPort, o.NoSigs = "127.0.0.1", natsserver.RANDOM_PORT, 0, true
		o.LogFile = filepath.Join(c.dir, name+".log")
		node := netip.MustParseAddrPort(address)
		o.Cluster.Host, o.Cluster.Port = node.Addr().String(), int(node.Port())
		if n == 1 {
			o.Cluster, o.Routes = natsserver.ClusterOpts{}, nil
		}
		c.options = append(c.options, o)
	}
	t.Cleanup(c.stop)
	c.start()
	return c
}

func (c *natsCluster) start() {
	c.t.Helper()
	c.servers = nil
	for _, o := range c.options {
		s, err := natsserver.NewServer(o)
		if err != nil {
			c.t.Fatal(err)
		}
		s.ConfigureLogger()
		go s.Start()
		c.servers = append(c.servers, s)
	}
	for i, s := range c.servers {
		if !s.ReadyForConnections(timeout) {
			c.t.Fatalf("NATS does not start:\n%s", c.log())
		}
		c.options[i].Port = s.Addr().(*net.TCPAddr).Port // if it starts again
		// What the health check in docker-compose.yml asks.
		eventually(c.t, "a healthy NATS", func() bool {
			return s.Healthz(&natsserver.HealthzOptions{JSMetaOnly: true}).StatusCode == http.StatusOK
		})
	}
}

func (c *natsCluster) stop() {
	for _, s := range c.servers {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

func (c *natsCluster) seed(role string) string { return filepath.Join(c.dir, role+".nk") }

// log is what the nodes have logged.
func (c *natsCluster) log() string {
	c.t.Helper()
	var all []byte
	for _, s := range c.servers {
		text, err := os.ReadFile(filepath.Join(c.dir, s.Name()+".log"))
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, text...)
	}
	return string(all)
}

func (c *natsCluster) urls() string {
	var urls []string
	for _, s := range c.servers {
		urls = append(urls, s.ClientURL())
	}
	return strings.Join(urls, ",")
}

// as runs a command of roost with a role's key.
func (c *natsCluster) as(role string, args ...string) (stdout, stderr string, code int) {
	c.t.Helper()
	return output(c.t, roost(c.t, append(args, "--nats", c.urls(), "--nkey", c.seed(role))...))
}

// gateway starts `roost gateway`.
func (c *natsCluster) gateway(args ...string) *server {
	c.t.Helper()
	return start(c.t, append([]string{"gateway", "--http", "127.0.0.1:0", "--limits", "off", "--events",
		"--auth-secret", filepath.Join(c.dir, "token.key"), "--nats", c.urls(), "--nkey", c.seed("gateway")}, args...)...)
}

// conn connects this process as a role of Roost.
func (c *natsCluster) conn(role string) *streams.Conn {
	c.t.Helper()
	conn, err := streams.Dial(streams.Options{URL: c.urls(), NKeySeedFile: c.seed(role), Name: "roost " + role, Log: streamstest.Log(c.t)})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(conn.Close)
	return conn
}

func (c *natsCluster) apply(topology streams.Topology) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if _, err := c.conn("admin").Apply(ctx, topology); err != nil {
		c.t.Fatal(err)
	}
}

// raw connects as a role with nothing of Roost in between.
func (c *natsCluster) raw(role string) *nats.Conn {
	c.t.Helper()
	key, err := nats.NkeyOptionFromSeed(c.seed(role))
	if err != nil {
		c.t.Fatal(err)
	}
	nc, err := nats.Connect(c.urls(), key, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(nc.Close)
	return nc
}

// TestClusterSetUp goes the way of an operator through `roost streams`.
func TestClusterSetUp(t *testing.T) {
	c := startCluster(t, 1)
	small := func(verb string, args ...string) []string {
		return append([]string{"streams", verb, "--replicas", "1", "--partitions", "2"}, args...)
	}
	for _, step := range []struct {
		name string
		role string
		args []string
		code int
		says []string // on stdout, or in the one line of stderr
	}{
		{"gateway before apply", "gateway", []string{"gateway", "--http", "127.0.0.1:0", "--auth-secret", filepath.Join(c.dir, "token.key")}, exitUsage, []string{"run `roost streams apply`"}},
		{"plan", "admin", small("plan"), exitOK, []string{"create  MESSAGES ", "create  SENT_1 ", "create  INBOX_0 ", "create  KV_ACCOUNTS ", "create  mirror "}},
		{"apply as gateway", "gateway", small("apply"), exitFault, []string{"denies that to the role"}},
		{"apply as worker", "worker", small("apply"), exitFault, []string{"denies that to the role"}},
		{"apply", "admin", small("apply"), exitOK, []string{"create  MESSAGES "}},
		{"plan after it", "admin", small("plan"), exitOK, []string{"nothing to do"}},
		{"change as gateway", "gateway", small("apply", "--inbox-max-age", "800h"), exitFault, []string{"denies that to the role"}},
		{"plan to lose", "admin", small("plan", "--inbox-max-age", "24h"), exitOK, []string{"refuse  INBOX_0 ", "refuse  SENT_1 ", "max age: 720h0m0s → 24h0m0s"}},
		{"shorter age", "admin", small("apply", "--inbox-max-age", "24h"), exitFault, []string{"lose data: SENT_0: max age: 720h0m0s → 24h0m0s"}},
		{"smaller inboxes", "admin", small("apply", "--inbox-max-messages", "10"), exitFault, []string{"lose data: INBOX_0: max messages per subject: 10000 → 10"}},
		{"more partitions", "admin", small("apply", "--partitions", "3"), exitFault, []string{"lose data: MESSAGES: partitions: 2 → 3"}},
		{"longer age", "admin", small("apply", "--inbox-max-age", "800h"), exitOK, []string{"update  INBOX_1 ", "max age: 720h0m0s → 800h0m0s"}},
		{"plan at the end", "admin", small("plan", "--inbox-max-age", "800h"), exitOK, []string{"nothing to do"}},
	} {
		stdout, stderr, code := c.as(step.role, step.args...)
		if code != step.code {
			t.Errorf("%s: exit code %d, want %d", step.name, code, step.code)
		}
		if code != exitOK {
			stdout = stderr
			if line := strings.TrimSpace(stderr); !strings.HasPrefix(line, "roost: ") || strings.Contains(line, "\n") {
				t.Errorf("%s: not one line:\n%s", step.name, stderr)
			}
		}
		for _, want := range step.says {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s: %q is missing:\n%s", step.name, want, stdout)
			}
		}
	}
}

// either is a load balancer of two gateways.
func either(t *testing.T, gateways ...*server) *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, gateways[0].address())
		if err != nil {
			conn, err = new(net.Dialer).DialContext(ctx, network, gateways[1].address())
		}
		return conn, err
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// device connects through a load balancer; with a store of earlier, it resumes.
func (c *natsCluster) device(u schemas.UserID, store client.Store, gateways ...*server) *client.Client {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	d, err := client.Connect(ctx, client.Options{URL: "http://roost.test", Token: token(c.t, c.dir, u), DeviceName: "test",
		Store: store, HTTPClient: either(c.t, gateways...), BackoffMin: 20 * time.Millisecond, BackoffMax: time.Second})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = d.Close() })
	return d
}

// say sends, and has the other one get and acknowledge it and the sender know.
func say(t *testing.T, from, to *client.Client, content string) {
	t.Helper()
	settled(t, from, to, send(t, from, to.Welcome().UserID, content), content)
}

func settled(t *testing.T, from, to *client.Client, accepted schemas.MessageReceived, content string) {
	t.Helper()
	if m := next[client.Message](t, to); m.MessageID != accepted.MessageID || m.Content != content || m.Ack() != nil {
		t.Errorf("%q arrived as %+v", content, m)
	}
	if r := next[client.Delivered](t, from); r.MessageID != accepted.MessageID {
		t.Errorf("the receipt of %q is %+v", content, r)
	}
}

const month = 30 * 24 * time.Hour

// work runs the workers in this process, with the worker's key, on SQLite.
func (c *natsCluster) work() {
	c.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	conn := c.conn("worker")
	if err := conn.Open(ctx); err != nil {
		c.t.Fatal(err)
	}
	store, err := sqlite.Open(filepath.Join(c.dir, "history.db"))
	if err != nil {
		c.t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() {
		stopped <- workers.Run(ctx, workers.Options{Streams: conn, Store: store, DeviceMaxIdle: month, Log: streamstest.Log(c.t)})
	}()
	c.t.Cleanup(func() {
		stop()
		if err := errors.Join(<-stopped, store.Close()); err != nil {
			c.t.Error(err)
		}
	})
}

// noViolations has the test fail where, by its end, a role was denied something.
func (c *natsCluster) noViolations() {
	c.t.Cleanup(func() {
		if !strings.Contains(c.log(), "Server is ready") {
			c.t.Error("NATS logs nothing")
		}
		for line := range strings.Lines(c.log()) {
			if strings.Contains(line, "Violation") {
				c.t.Errorf("nats.conf denies a role what it needs: %s", line)
			}
		}
	})
}

// TestCluster has users on two gateways and a worker, each with its role's key:
// they chat, move between the gateways, read history, and one gateway stops.
func TestCluster(t *testing.T) {
	c := startCluster(t, 1)
	c.noViolations()
	c.apply(streams.Topology{Partitions: 2})
	services := make(chan *nats.Msg, 1000)
	for _, subject := range []string{"msg.>", "evt.>"} {
		if _, err := c.raw("services").ChanSubscribe(subject, services); err != nil {
			t.Fatal(err)
		}
	}
	alices := token(t, c.dir, "alice") // which makes the secret of both gateways
	a, b := c.gateway(), c.gateway()
	c.work()
	keep := schemas.HistoryDays
	if _, err := (&client.API{URL: a.url, Token: alices}).ChangeSettings(t.Context(), schemas.SettingsChange{HistoryStorage: &keep}); err != nil {
		t.Fatal(err)
	}
	var bobs client.MemoryStore
	alice, bob := c.device("alice", &client.MemoryStore{}, a, b), c.device("bob", &bobs, b, a)
	for _, content := range []string{"one", "two"} { // which bob's inbox loses in one purge
		say(t, alice, bob, content)
	}
	say(t, bob, alice, "three")
	for _, want := range []string{"evt.session.", "msg." + schemas.UserID("alice").Token(), "evt.delivered." + schemas.UserID("alice").Token()} {
		for !strings.HasPrefix(streamstest.Receive(t, services).Subject, want) {
		}
	}
	history := client.API{URL: b.url, Token: alices}
	eventually(t, "history through the other gateway", func() bool {
		page, err := history.History(t.Context(), schemas.Participant{User: "bob"}, schemas.PageBounds{})
		return err == nil && len(page) == 3 && page[0].Content == "three" && page[2].Content == "one"
	})
	if status, r := b.ready(); status != http.StatusOK || len(r.Degraded) != 0 {
		t.Errorf("with a worker: %d %+v", status, r)
	}

	// A group: made at one gateway, changed at the other, with its own history.
	onA, onB := client.API{URL: a.url, Token: alices}, client.API{URL: b.url, Token: token(t, c.dir, "bob")}
	group, err := onA.CreateGroup(t.Context(), schemas.NewGroup{GroupName: "friends", Members: []schemas.UserID{"bob"}, HistoryStorage: keep})
	if err != nil {
		t.Fatal(err)
	}
	if u := next[client.GroupUpdate](t, bob); u.Change != schemas.GroupCreated || u.GroupID != group.GroupID || u.GroupName != "friends" {
		t.Errorf("bob was told %+v", u)
	}
	toAll, err := bob.Send(t.Context(), schemas.Participant{Group: group.GroupID}, "hello, all", nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := next[client.Message](t, alice); m.MessageID != toAll.MessageID || m.GroupID != group.GroupID || m.Ack() != nil {
		t.Errorf("alice got %+v", m)
	}
	eventually(t, "history of the group", func() bool {
		page, err := onB.GroupChat(t.Context(), group.GroupID, schemas.PageBounds{})
		own, ownErr := onA.History(t.Context(), schemas.Participant{Group: group.GroupID}, schemas.PageBounds{})
		return err == nil && ownErr == nil && len(page) == 1 && len(own) == 1 && page[0].Content == "hello, all" && own[0].GroupID == group.GroupID
	})
	if err := onA.RemoveMember(t.Context(), group.GroupID, "bob"); err != nil {
		t.Fatal(err)
	}
	if u := next[client.GroupUpdate](t, bob); u.Change != schemas.GroupRemoved || u.UserID != "bob" {
		t.Errorf("bob was told %+v", u)
	}
	if groups, err := onB.Groups(t.Context()); err != nil || len(groups) != 0 {
		t.Errorf("bob is a member of %+v, %v", groups, err)
	}
	for _, want := range []string{"msg.bob.", "evt.group." + string(group.GroupID)} {
		for {
			if m := streamstest.Receive(t, services); strings.HasPrefix(m.Subject, want) && strings.HasSuffix(m.Subject, string(group.GroupID)) {
				break
			}
		}
	}
	// Who is connected to one gateway is online to who looks from the other.
	if err := alice.SubscribePresence([]schemas.UserID{"dave"}); err != nil {
		t.Fatal(err)
	}
	if p := next[client.Presence](t, alice); p.Online {
		t.Errorf("got %+v", p)
	}
	c.device("dave", &client.MemoryStore{}, b, a)
	for !next[client.Presence](t, alice).Online { // first that dave has a device
	}
	if err := bob.MarkRead(t.Context(), "", "alice", schemas.MessageIDAt(schemas.Now())); err != nil {
		t.Fatal(err)
	}
	next[client.Read](t, alice)
	for !strings.HasPrefix(streamstest.Receive(t, services).Subject, "evt.read.bob") {
	}

	// A device resumes on the other gateway.
	closeAll([]*client.Client{bob})
	accepted := send(t, alice, "bob", "while away")
	bob = c.device("bob", &bobs, a, b)
	settled(t, alice, bob, accepted, "while away")

	// A device asks again on the other gateway: same number, same message.
	carol, dave := dialRaw(t, a, token(t, c.dir, "carol")), dialRaw(t, b, token(t, c.dir, "dave"))
	const one = `{"type":"send_message","receiver_id":"dave","content":"1","message_id_by_client":1,"timestamp":1}`
	carol.write(one)
	answer := carol.until(schemas.TypeMessageReceived).(*schemas.MessageReceived)
	_ = carol.ws.CloseNow()
	carol = redialRaw(t, b, token(t, c.dir, "carol"), carol.device, "")
	carol.write(one)
	if again := carol.until(schemas.TypeMessageReceived).(*schemas.MessageReceived); *again != *answer {
		t.Errorf("the second answer is %+v, the first %+v", again, answer)
	}
	carol.write(`{"type":"send_message","receiver_id":"dave","content":"2","message_id_by_client":2,"timestamp":1}`)
	for _, want := range []string{"1", "2"} {
		if m := dave.until(schemas.TypeIncomingMessage).(*schemas.Incoming); m.Content != want {
			t.Errorf("got %q, not %q", m.Content, want)
		}
	}

	// The role of a gateway may ask for the size of every stream.
	text := metricsOf(t, a)
	for _, want := range []string{`roost_stream_messages{stream="MESSAGES"} `, `roost_stream_bytes{stream="KV_ACCOUNTS"} `, "roost_stream_reads_failed_total 0\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %q", want)
		}
	}

	_, _ = carol.ws.CloseNow(), dave.ws.CloseNow()

	a.stop() // with alice and bob on it
	say(t, alice, bob, "four")
	say(t, bob, alice, "five")
	closeAll([]*client.Client{alice, bob})
	b.stop()
}

// metricsOf is what a server answers to GET /metrics.
func metricsOf(t *testing.T, s *server) string {
	t.Helper()
	resp, err := http.Get(s.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestClusterOfThree loses one node of three.
func TestClusterOfThree(t *testing.T) {
	c := startCluster(t, 3)
	c.noViolations()
	c.apply(streams.Topology{Partitions: 1, Replicas: 3})
	conn := c.conn("gateway")
	if err := conn.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	from := subject.Address{User: "alice", Device: schemas.DeviceID(conn.Clock().NextULID())}
	n := schemas.ClientMessageID(0)
	record := func() error {
		n++
		done := make(chan error, 1)
		rec := schemas.SendRecord{MessageIDByClient: n, MessageID: conn.Clock().Next(), ContentHash: "x"}
		if err := conn.SendLog().Record(from, rec, func(o publisher.Outcome) { done <- o.Err }); err != nil {
			return err
		}
		return streamstest.Receive(t, done)
	}
	if err := record(); err != nil {
		t.Fatal(err)
	}
	c.servers[0].Shutdown()
	eventually(t, "a commit without one node", func() bool { return record() == nil })
	last, found, err := conn.SendLog().Last(t.Context(), from)
	if err != nil || !found || last.MessageIDByClient != n {
		t.Errorf("the last record is %+v, %v, %v", last, found, err)
	}
}

// TestMoreReplicas has a gateway go on while a cluster gets three replicas of all.
func TestMoreReplicas(t *testing.T) {
	c := startCluster(t, 3)
	c.noViolations()
	c.apply(streams.Topology{Partitions: 1})
	token(t, c.dir, "alice") // which makes the gateway's secret
	a := c.gateway()
	alice, bob := c.device("alice", &client.MemoryStore{}, a, a), c.device("bob", &client.MemoryStore{}, a, a)
	dave := dialRaw(t, a, token(t, c.dir, "dave"))
	say(t, alice, bob, "of one replica")
	three := streams.Topology{Partitions: 1, Replicas: 3}
	c.apply(three)
	if steps, err := c.conn("admin").Plan(t.Context(), three); err != nil || len(steps) != 0 {
		t.Errorf("left to do: %v, %v", steps, err)
	}
	say(t, alice, bob, "of three") // what is refused meanwhile the client sends again
	dave.until(schemas.TypeReconnect)
	_ = dave.ws.CloseNow()
	online(t, a, token(t, c.dir, "dave"), "alice", "bob")
	if status, r := a.ready(); status != http.StatusOK {
		t.Errorf("it is not ready: %+v", r)
	}
	closeAll([]*client.Client{alice, bob})
	a.stop()
}

// online waits until a gateway says that people are.
func online(t *testing.T, at *server, token string, users ...schemas.UserID) {
	t.Helper()
	for _, u := range users {
		eventually(t, string(u)+" is online", func() bool {
			status, err := (&client.API{URL: at.url, Token: token}).Status(t.Context(), u)
			return err == nil && status.ConnectionState == "online"
		})
	}
}

// TestNATSStartsAgain stops all nodes at once and starts them again. Gateways and their
// connections stay, and who is connected is online, without a word of an operator.
func TestNATSStartsAgain(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprint(nodes, " nodes"), func(t *testing.T) {
			c := startCluster(t, nodes)
			c.noViolations()
			c.apply(streams.Topology{Partitions: 1, Replicas: nodes})
			alices := token(t, c.dir, "alice") // which makes the secret of both gateways
			a, b := c.gateway(), c.gateway()
			alice, bob := c.device("alice", &client.MemoryStore{}, a, b), c.device("bob", &client.MemoryStore{}, b, a)
			say(t, alice, bob, "before")
			sessions := []schemas.SessionID{alice.Welcome().SessionID, bob.Welcome().SessionID}
			c.stop()
			c.start()
			for _, g := range []*server{a, b} {
				eventually(t, "a gateway that is ready", func() bool {
					status, _ := g.ready()
					return status == http.StatusOK
				})
			}
			say(t, alice, bob, "behind it")
			online(t, a, alices, "alice", "bob")
			online(t, b, alices, "alice", "bob")
			carol := c.device("carol", &client.MemoryStore{}, a, b)
			say(t, carol, bob, "and who is new can connect")
			if now := []schemas.SessionID{alice.Welcome().SessionID, bob.Welcome().SessionID}; !slices.Equal(now, sessions) {
				t.Errorf("the connections did not stay: sessions %v, now %v", sessions, now)
			}
			closeAll([]*client.Client{alice, bob, carol})
			a.stop()
			b.stop()
		})
	}
}
