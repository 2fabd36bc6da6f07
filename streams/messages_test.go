package streams_test

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

func mirrorJobs(t *testing.T, c *streams.Conn) *streams.Jobs {
	t.Helper()
	jobs, err := c.MirrorJobs(timeout(t))
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

// fetch fetches until n jobs are there.
func fetch(t *testing.T, j *streams.Jobs, n int) (all []streams.Job) {
	t.Helper()
	ctx := timeout(t)
	for len(all) < n {
		got, err := j.Fetch(ctx, n-len(all), streamstest.Timeout)
		if err != nil || len(got) == 0 {
			t.Fatalf("%d of %d jobs came: %v", len(all), n, err)
		}
		all = append(all, got...)
	}
	return all
}

func logged(t *testing.T, c *streams.Conn, keep bool) *schemas.Message {
	t.Helper()
	m := copiesOf(c)
	m.Log, m.Keep = true, keep
	if got := commitCopies(t, c, m); got.err != nil {
		t.Fatal(got.err)
	}
	return m.Message
}

func TestJobs(t *testing.T) {
	c, other := pair(t)
	ctx, jobs, others := timeout(t), mirrorJobs(t, c), mirrorJobs(t, other)
	if got, err := jobs.Fetch(ctx, 10, 20*time.Millisecond); len(got) != 0 || err != nil {
		t.Errorf("nothing is there: %v, %v", got, err)
	}
	var want []string
	for i := range 5 {
		want = append(want, string(logged(t, c, i%2 == 0).Encode()))
	}
	got := fetch(t, jobs, 5)
	for i, j := range got {
		if string(j.Data) != want[i] || j.Keep != (i%2 == 0) || j.Sequence != uint64(i+1) || j.Delivered != 1 {
			t.Errorf("job %d: %s, keep %t, sequence %d, delivered %d", i, j.Data, j.Keep, j.Sequence, j.Delivered)
		}
	}
	if n := unacknowledged(t, c); n != 5 {
		t.Errorf("%d messages are not acknowledged, want 5", n)
	}
	for i, err := range []error{got[0].Ack(), got[1].Drop("poison"), got[2].Ack(), got[3].Later(time.Millisecond), got[4].Ack()} {
		if err != nil {
			t.Errorf("job %d: %v", i, err)
		}
	}
	again := fetch(t, others, 1) // by whoever asks
	if string(again[0].Data) != want[3] || again[0].Delivered != 2 {
		t.Errorf("came again: %s, delivered %d", again[0].Data, again[0].Delivered)
	}
	if err := again[0].Ack(); err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(streamstest.Timeout); ; { // what is done may leave the stream
		if err := others.RemoveDone(ctx); err != nil {
			t.Fatal(err)
		}
		s, err := c.JetStream().Stream(ctx, "MESSAGES")
		if err != nil {
			t.Fatal(err)
		}
		if s.CachedInfo().State.Msgs == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d messages stay in the stream", s.CachedInfo().State.Msgs)
		}
	}
	if n := unacknowledged(t, c); n != 0 {
		t.Errorf("%d messages are not acknowledged, want none", n)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if got, err := jobs.Fetch(gone, 1, streamstest.Timeout); len(got) != 0 || err != nil {
		t.Errorf("after the end of the context: %v, %v", got, err)
	}
}

func TestJobsBeforeApply(t *testing.T) {
	c := dial(t)
	if _, err := c.MirrorJobs(timeout(t)); err == nil {
		t.Error("the consumer is there before it was set up")
	}
}

// historian is a HistoryHandler made of functions.
type historian struct {
	chats func(context.Context, schemas.ChatsRequest) (schemas.ChatsReply, error)
	page  func(context.Context, schemas.HistoryRequest) (schemas.HistoryReply, error)
	ready func(context.Context) error
}

func (h historian) Chats(ctx context.Context, req schemas.ChatsRequest) (schemas.ChatsReply, error) {
	return h.chats(ctx, req)
}
func (h historian) Page(ctx context.Context, req schemas.HistoryRequest) (schemas.HistoryReply, error) {
	return h.page(ctx, req)
}
func (h historian) Ready(ctx context.Context) error { return h.ready(ctx) }

func code(err error) schemas.Code {
	var e *schemas.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestHistoryWithoutWorker(t *testing.T) {
	c, ctx := connect(t, onePartition()), timeout(t)
	if _, err := c.HistoryPage(ctx, schemas.HistoryRequest{UserID: "alice", Chat: "bob"}); code(err) != schemas.CodeUnavailable {
		t.Errorf("a page: %v", err)
	}
	if err := c.HistoryReady(ctx); code(err) != schemas.CodeUnavailable {
		t.Errorf("ready: %v", err)
	}
}

func TestHistory(t *testing.T) {
	c, worker := pair(t)
	ctx := timeout(t)
	reply := schemas.HistoryReply{Messages: []schemas.MessageState{{Message: *copiesOf(c).Message}}}
	req := schemas.HistoryRequest{UserID: "alice@example.org", Chat: "bob", UpTo: 17}
	var failing atomic.Pointer[error]
	fail := func(err error) { failing.Store(&err) }
	fail(nil)
	stop, err := worker.ServeHistory(historian{
		page: func(_ context.Context, got schemas.HistoryRequest) (schemas.HistoryReply, error) {
			if got != req {
				t.Errorf("asked for %+v, not %+v", got, req)
			}
			return reply, *failing.Load()
		},
		ready: func(context.Context) error { return *failing.Load() },
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.HistoryPage(ctx, req); err != nil || !reflect.DeepEqual(got.Messages, reply.Messages) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := c.HistoryReady(ctx); err != nil {
		t.Error(err)
	}
	fail(schemas.InvalidField("chat", "is none of yours."))
	if _, err := c.HistoryPage(ctx, req); code(err) != schemas.CodeInvalidArgument {
		t.Errorf("a refusal: %v", err)
	}
	secret := errors.New("the password of the database is 1234")
	fail(secret)
	if _, err := c.HistoryPage(ctx, req); code(err) != schemas.CodeInternal || errors.Is(err, secret) {
		t.Errorf("a fault: %v", err)
	}
	if err := c.HistoryReady(ctx); code(err) != schemas.CodeUnavailable {
		t.Errorf("a worker that cannot serve: %v", err)
	}
	m, err := c.LiveConn().Request("svc.history.page", []byte("no JSON"), streamstest.Timeout)
	if err != nil || m.Header.Get("Nats-Service-Error-Code") != string(schemas.CodeBadFrame) {
		t.Errorf("a bad request: %v, %v", m, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Errorf("a second stop: %v", err)
	}
	if _, err := c.HistoryPage(ctx, req); code(err) != schemas.CodeUnavailable {
		t.Errorf("after the worker stopped: %v", err)
	}
}

// A worker that stops answers what it began, and refuses what waits behind it.
func TestHistoryStops(t *testing.T) {
	c, worker := pair(t)
	ctx := timeout(t)
	const asked = 40 // more than a worker answers at a time
	begun, release := make(chan struct{}, asked), make(chan struct{})
	stop, err := worker.ServeHistory(historian{
		page: func(context.Context, schemas.HistoryRequest) (schemas.HistoryReply, error) {
			begun <- struct{}{}
			<-release
			return schemas.HistoryReply{}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan error, asked)
	for range asked {
		go func() {
			_, err := c.HistoryPage(ctx, schemas.HistoryRequest{UserID: "alice"})
			answers <- err
		}()
	}
	const atATime = 16
	for range atATime {
		streamstest.Receive(t, begun)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	select {
	case err := <-stopped:
		t.Errorf("stopped while requests were under way: %v", err)
	case answer := <-answers:
		t.Errorf("answered before it was ready: %v", answer)
	case <-begun:
		t.Error("more are under way than a worker answers at a time")
	default:
	}
	close(release)
	served := 0
	for range asked {
		switch err := streamstest.Receive(t, answers); {
		case err == nil:
			served++
		case code(err) != schemas.CodeUnavailable:
			t.Error(err)
		}
	}
	if err := streamstest.Receive(t, stopped); err != nil {
		t.Error(err)
	}
	if served < atATime {
		t.Errorf("%d requests were answered, %d had begun", served, atATime)
	}
}

// What other services may hear of.
func TestEvents(t *testing.T) {
	c := connect(t, onePartition())
	heard := make(chan *nats.Msg, 10)
	if _, err := c.LiveConn().ChanSubscribe("evt.>", heard); err != nil {
		t.Fatal(err)
	}
	c.Bus().PublishDelivered("bob@example.org", []byte(`{"type":"message_delivered"}`))
	if m := streamstest.Receive(t, heard); m.Subject != "evt.delivered.bob=40example=2Eorg" || string(m.Data) != `{"type":"message_delivered"}` {
		t.Errorf("heard %s on %s", m.Data, m.Subject)
	}
	e := schemas.SessionEvent{UserID: "bob", DeviceID: schemas.DeviceID(c.Clock().NextULID()), SessionID: "s", Online: true, Timestamp: 17}
	c.Bus().PublishSession(e)
	m := streamstest.Receive(t, heard)
	if got, err := schemas.Decode[schemas.SessionEvent](m.Data); err != nil || got != e || m.Subject != "evt.session.bob" {
		t.Errorf("heard %+v on %s: %v", got, m.Subject, err)
	}
	c.Close()
	c.Bus().PublishSession(e) // to nobody, and no harm
	if c.Ready() == nil {
		t.Error("a closed process is ready")
	}
}

// What all consumers of MESSAGES have leaves it, the oldest first; what one of them
// still needs stays.
func TestRemoveDone(t *testing.T) {
	c := connect(t, onePartition())
	ctx, jobs := timeout(t), mirrorJobs(t, c)
	stream, err := c.JetStream().Stream(ctx, "MESSAGES")
	if err != nil {
		t.Fatal(err)
	}
	service, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "service", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	for range 6 {
		logged(t, c, true)
	}
	remains := func(first, n uint64) {
		t.Helper()
		for end := time.Now().Add(streamstest.Timeout); ; {
			if err := jobs.RemoveDone(ctx); err != nil {
				t.Fatal(err)
			}
			info, err := stream.Info(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if info.State.Msgs < n {
				t.Fatalf("%d messages are left, not %d", info.State.Msgs, n)
			}
			if info.State.Msgs == n && info.State.FirstSeq == first {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%d messages from %d on are left, not %d from %d on", info.State.Msgs, info.State.FirstSeq, n, first)
			}
		}
	}
	for i, j := range fetch(t, jobs, 6) {
		if i == 3 {
			continue // under way
		}
		if err := j.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	remains(1, 6) // the service has none
	batch, err := service.Fetch(5, jetstream.FetchMaxWait(streamstest.Timeout))
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() {
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	remains(4, 3) // the fourth is under way
	if err := stream.DeleteConsumer(ctx, "service"); err != nil {
		t.Fatal(err)
	}
	remains(4, 3)
	if err := stream.DeleteConsumer(ctx, "mirror"); err != nil { // by mistake: apply makes it again
		t.Fatal(err)
	}
	remains(4, 3)
}

// unacknowledged returns how many messages the workers have not acknowledged.
func unacknowledged(t *testing.T, c *streams.Conn) int {
	t.Helper()
	consumer, err := c.JetStream().Consumer(timeout(t), "MESSAGES", subject.MirrorConsumer)
	if err != nil {
		t.Fatal(err)
	}
	info, err := consumer.Info(timeout(t))
	if err != nil {
		t.Fatal(err)
	}
	return int(info.NumPending) + info.NumAckPending
}
