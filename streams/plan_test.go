package streams_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"roost/streams"
	"roost/streams/streamstest"
)

// dial connects to an empty server, before anything was applied.
func dial(t *testing.T) *streams.Conn {
	t.Helper()
	c, err := streams.Dial(streams.Options{InProcess: streamstest.Server(t, t.TempDir()), Log: streamstest.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// layout is the configuration of everything that a server has.
func layout(t *testing.T, c *streams.Conn) map[string]any {
	t.Helper()
	ctx, all := timeout(t), make(map[string]any)
	list := c.JetStream().ListStreams(ctx)
	for s := range list.Info() {
		all[s.Config.Name] = s.Config
		stream, err := c.JetStream().Stream(ctx, s.Config.Name)
		if err != nil {
			t.Fatal(err)
		}
		consumers := stream.ListConsumers(ctx)
		for cons := range consumers.Info() {
			if cons.Config.Durable != "" {
				all[s.Config.Name+" "+cons.Name] = cons.Config
			}
		}
	}
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// The answer to the first request is lost, as in a cluster whose leader steps down
// at that moment.
func TestApplyAsksAgain(t *testing.T) {
	port := streamstest.FreePort(t)
	streamstest.Server(t, t.TempDir(), streamstest.OnPort(port))
	network := streamstest.NewNetwork(t, port)
	c, err := streams.Dial(streams.Options{URL: "nats://" + network.Address, Log: streamstest.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	network.Mute()
	applied := make(chan error)
	go func() {
		_, err := c.Apply(timeout(t), onePartition())
		applied <- err
	}()
	for network.Lost() == 0 {
		time.Sleep(time.Millisecond)
	}
	network.Cut()
	network.Mend()
	if err := <-applied; err != nil {
		t.Fatal(err)
	}
	if steps, err := c.Plan(timeout(t), onePartition()); err != nil || len(steps) != 0 {
		t.Errorf("left to do: %v, %v", steps, err)
	}
}

func apply(t *testing.T, c *streams.Conn, topology streams.Topology) []streams.Step {
	t.Helper()
	steps, err := c.Apply(timeout(t), topology)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func TestApplyFromEmpty(t *testing.T) {
	c, ctx := dial(t), timeout(t)
	if err := c.Open(ctx); !errors.Is(err, streams.ErrNotInstalled) {
		t.Errorf("open before the first apply: %v", err)
	}
	plan, err := c.Plan(ctx, streams.Topology{})
	if err != nil {
		t.Fatal(err)
	}
	if len(layout(t, c)) != 0 {
		t.Fatal("a plan changed something")
	}
	steps := apply(t, c, streams.Topology{})
	if !reflect.DeepEqual(plan, steps) {
		t.Errorf("apply did %v, not as planned %v", steps, plan)
	}
	all := layout(t, c)
	const want = 2*streams.DefaultPartitions + 2 + 12 + 1 // SENT and INBOX, MESSAGES and CHANNELS, buckets, mirror
	if len(steps) != want || len(all) != want {
		t.Errorf("%d steps made %d things, not %d", len(steps), len(all), want)
	}
	for _, s := range steps {
		if s.Action != streams.ActionCreate || !strings.HasPrefix(s.String(), "create  "+s.Name) {
			t.Errorf("step %q does not create", s)
		}
	}
	inbox := all["INBOX_0"].(jetstream.StreamConfig)
	if inbox.Retention != jetstream.LimitsPolicy || inbox.Storage != jetstream.FileStorage || !inbox.AllowDirect || inbox.RePublish != nil ||
		inbox.Discard != jetstream.DiscardNew || !inbox.DiscardNewPerSubject || inbox.MaxAge != 30*24*time.Hour || inbox.MaxMsgsPerSubject != 10_000 {
		t.Errorf("an inbox is set up as %+v", inbox)
	}
	if again := apply(t, c, streams.Topology{}); len(again) != 0 {
		t.Errorf("a second apply did %v", again)
	}
	if !reflect.DeepEqual(all, layout(t, c)) {
		t.Error("a second apply changed something")
	}
	if err := c.Open(ctx); err != nil {
		t.Error(err)
	}
}

// Without a number of its own a topology keeps the one of the install.
func TestPartitionsAsInstalled(t *testing.T) {
	c := dial(t)
	apply(t, c, streams.Topology{Partitions: 3})
	if steps := apply(t, c, streams.Topology{}); len(steps) != 0 {
		t.Errorf("it did %v", steps)
	}
	if steps := apply(t, c, streams.Topology{InboxMaxMessages: 20_000}); len(steps) != 3 {
		t.Errorf("it did %v, not one change for each of three inboxes", steps)
	}
}

func TestApplyAllows(t *testing.T) {
	c := dial(t)
	old := streams.Topology{Partitions: 2, InboxMaxAge: 24 * time.Hour, InboxMaxMessages: 100}
	apply(t, c, old)
	wider := streams.Topology{Partitions: 2, InboxMaxAge: 48 * time.Hour, InboxMaxMessages: 200}
	steps := apply(t, c, wider)
	for _, want := range []streams.Step{
		{streams.ActionUpdate, "SENT_0", "max age: 24h0m0s → 48h0m0s"},
		{streams.ActionUpdate, "INBOX_1", "max age: 24h0m0s → 48h0m0s, max messages per subject: 100 → 200"},
	} {
		if !strings.Contains(fmt.Sprint(steps), want.String()) {
			t.Errorf("%v lacks %v", steps, want)
		}
	}
	if len(steps) != 6 {
		t.Errorf("%d steps, not one for each SENT and INBOX, for CHANNELS and for ACKS: %v", len(steps), steps)
	}
	if again := apply(t, c, wider); len(again) != 0 {
		t.Errorf("a second apply did %v", again)
	}
	ctx := timeout(t)
	// MESSAGES had interest retention once.
	messages, err := c.JetStream().Stream(ctx, "MESSAGES")
	if err != nil {
		t.Fatal(err)
	}
	once := messages.CachedInfo().Config
	once.Retention = jetstream.InterestPolicy
	if _, err := c.JetStream().UpdateStream(ctx, once); err != nil {
		t.Fatal(err)
	}
	if steps := apply(t, c, wider); len(steps) != 1 || steps[0].Detail != "retention: Interest → Limits" {
		t.Errorf("got %v, not one change of the retention", steps)
	}
	// What somebody deleted is made again.
	for _, err := range []error{
		c.JetStream().DeleteConsumer(ctx, "MESSAGES", "mirror"),
		c.JetStream().DeleteStream(ctx, "KV_SESSIONS"),
		c.JetStream().DeleteStream(ctx, "CHANNELS"), // as of a cluster that was installed before there were any
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if steps := apply(t, c, wider); len(steps) != 4 || steps[0].Name != "CHANNELS" || steps[1].Name != "KV_SESSIONS" ||
		steps[2].Name != "KV_GATEWAYS" || steps[2].Action != streams.ActionReplace || steps[3].Name != "mirror" {
		t.Errorf("got %v, not the three that were deleted, and the leases by which gateways notice", steps)
	}
	// Who is connected may be forgotten.
	sessions, err := c.JetStream().Stream(ctx, "KV_SESSIONS")
	if err != nil {
		t.Fatal(err)
	}
	memory := sessions.CachedInfo().Config
	memory.Storage, memory.PersistMode = jetstream.MemoryStorage, jetstream.DefaultPersistMode
	if err := c.JetStream().DeleteStream(ctx, "KV_SESSIONS"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.JetStream().CreateStream(ctx, memory); err != nil {
		t.Fatal(err)
	}
	replaced := streams.Step{Action: streams.ActionReplace, Name: "KV_SESSIONS", Detail: "storage: Memory → File, persist mode: Default → Async"}
	if steps := apply(t, c, wider); len(steps) != 2 || steps[0] != replaced || steps[1].Name != "KV_GATEWAYS" || steps[1].Action != streams.ActionReplace {
		t.Errorf("got %v, not %v and the leases", steps, replaced)
	}
	if again := apply(t, c, wider); len(again) != 0 {
		t.Errorf("a second apply did %v", again)
	}
	// More replicas are no loss; one server alone cannot have them.
	wider.Replicas = 3
	plan, err := c.Plan(ctx, wider)
	if err != nil || len(plan) != 18 || plan[0].Action != streams.ActionUpdate || plan[0].Detail != "replicas: 1 → 3" ||
		plan[17].Action != streams.ActionReplace || plan[17].Detail != "persist mode: Async → Default, replicas: 1 → 3" {
		t.Errorf("%v, %v", plan, err)
	}
}

func TestApplyRefuses(t *testing.T) {
	old := streams.Topology{Partitions: 2, InboxMaxAge: 48 * time.Hour, InboxMaxMessages: 100}
	change := func(name string, alter func(*jetstream.StreamConfig)) func(context.Context, *streams.Conn) error {
		return func(ctx context.Context, c *streams.Conn) error {
			s, err := c.JetStream().Stream(ctx, name)
			if err != nil {
				return err
			}
			cfg := s.CachedInfo().Config
			if err := c.JetStream().DeleteStream(ctx, name); err != nil {
				return err
			}
			alter(&cfg)
			_, err = c.JetStream().CreateStream(ctx, cfg)
			return err
		}
	}
	for name, test := range map[string]struct {
		before func(context.Context, *streams.Conn) error // what somebody did to the cluster
		want   func(*streams.Topology)
		naming []string
	}{
		"partitions": {want: func(w *streams.Topology) { w.Partitions = 4 }, naming: []string{"MESSAGES", "partitions: 2 → 4"}},
		"partitions without their record": {
			before: func(ctx context.Context, c *streams.Conn) error { return c.JetStream().DeleteStream(ctx, "MESSAGES") },
			want:   func(w *streams.Topology) { w.Partitions = 4 }, naming: []string{"partitions: 2 → 4"}},
		"age": {want: func(w *streams.Topology) { w.InboxMaxAge = 24 * time.Hour }, naming: []string{"SENT_0", "max age: 48h0m0s → 24h0m0s"}},
		"messages": {want: func(w *streams.Topology) { w.InboxMaxMessages, w.InboxMaxAge = 99, 72*time.Hour },
			naming: []string{"INBOX_0", "max messages per subject: 100 → 99"}},
		"storage": {before: change("INBOX_1", func(s *jetstream.StreamConfig) { s.Storage = jetstream.MemoryStorage }),
			naming: []string{"INBOX_1", "storage: Memory → File"}},
		"retention": {before: change("MESSAGES", func(s *jetstream.StreamConfig) { s.Retention = jetstream.WorkQueuePolicy }),
			naming: []string{"MESSAGES", "retention: WorkQueue → Limits"}},
		"subjects": {before: change("SENT_1", func(s *jetstream.StreamConfig) { s.Subjects = []string{"send.1.>"} }),
			naming: []string{"SENT_1", "subjects: send.1.> → sent.1.>"}},
		"discard": {before: change("MESSAGES", func(s *jetstream.StreamConfig) { s.Discard = jetstream.DiscardNew }),
			naming: []string{"MESSAGES", "discard: DiscardNew → DiscardOld"}},
		"no limit, then one": {before: change("INBOX_0", func(s *jetstream.StreamConfig) {
			s.MaxMsgsPerSubject, s.MaxAge, s.DiscardNewPerSubject = -1, 0, false
		}),
			naming: []string{"INBOX_0", "max age: 0s → 48h0m0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, ctx := dial(t), timeout(t)
			apply(t, c, old)
			if test.before != nil {
				if err := test.before(ctx, c); err != nil {
					t.Fatal(err)
				}
			}
			want := old
			if test.want != nil {
				test.want(&want)
			}
			before := layout(t, c)
			steps, err := c.Apply(ctx, want)
			if !errors.Is(err, streams.ErrRefused) {
				t.Fatalf("got %v, not refused: %v", steps, err)
			}
			for _, n := range test.naming {
				if !strings.Contains(err.Error(), n) {
					t.Errorf("%q does not name %q", err, n)
				}
			}
			if !reflect.DeepEqual(before, layout(t, c)) {
				t.Error("something was changed all the same")
			}
		})
	}
}

func TestTopologyBounds(t *testing.T) {
	c, ctx := dial(t), timeout(t)
	for naming, topology := range map[string]streams.Topology{
		"partitions":         {Partitions: -1},
		"replicas":           {Replicas: 2},
		"inbox-max-age":      {InboxMaxAge: streams.MaxInboxMaxAge + 1},
		"inbox-max-messages": {InboxMaxMessages: -1},
	} {
		if _, err := c.Apply(ctx, topology); err == nil || !strings.Contains(err.Error(), naming) {
			t.Errorf("%+v: %v", topology, err)
		}
	}
	for _, topology := range []streams.Topology{{Partitions: 1025}, {Replicas: 7}, {InboxMaxAge: time.Minute}} {
		if _, err := c.Plan(ctx, topology); err == nil {
			t.Errorf("%+v is allowed", topology)
		}
	}
	if len(layout(t, c)) != 0 {
		t.Error("something was made of them")
	}
}
