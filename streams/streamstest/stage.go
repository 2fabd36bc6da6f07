package streamstest

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"roost/schemas"
	"roost/streams"
	"roost/streams/embedded"
	"roost/streams/inbox"
	"roost/streams/msgid"
	"roost/streams/subject"
)

// Inboxes opens device consumers; a gateway has one. [inbox.Consumers] is one.
// What is published after Open returned is heard: where an implementation does
// not promise that, its suite wraps it.
type Inboxes interface {
	Open(ctx context.Context, a subject.Address, session schemas.SessionID, resume schemas.Cursor, sink inbox.Sink) (inbox.Consumer, error)
	Close()
}

// InboxSuite is an implementation of [inbox.Consumer] as [ExerciseInbox] needs it.
type InboxSuite struct {
	// Start makes the Inboxes of one gateway.
	Start func(context.Context, *streams.Conn) (Inboxes, error)
	// Options, where not nil, changes the connection that Start gets.
	Options func(*streams.Options)
	// InOrder: what is in the stream comes, whether a live message tells of it or
	// not, and always in the order of the stream. Otherwise a live message is a
	// shortcut: its entry may come before others, and one without may come late.
	InOrder bool
	// Forgets: what a device waits for may be found by Sweep alone, within a few calls.
	Forgets bool
	// Disturb makes an inbox believe that it lost live messages. Nil where the
	// implementation has no live messages.
	Disturb func(inbox.Consumer)
	// Sweep does what Inboxes do from time to time, as if some seconds, less than
	// a tenth of the time for acknowledgements, had passed. Nil where they do
	// nothing.
	Sweep func(Inboxes)
}

func (s InboxSuite) connect(t testing.TB, server *embedded.Server, topology streams.Topology) *streams.Conn {
	t.Helper()
	if s.Options == nil {
		return Connect(t, server, topology)
	}
	return Connect(t, server, topology, s.Options)
}

func (s InboxSuite) disturb(in inbox.Consumer) {
	if s.Disturb != nil {
		s.Disturb(in)
	}
}

func (s InboxSuite) sweep(all Inboxes) {
	if s.Sweep != nil {
		s.Sweep(all)
	}
}

// stage is one server with two gateways.
type stage struct {
	suite    InboxSuite
	server   *embedded.Server
	gateways [2]gateway
}

type gateway struct {
	*streams.Conn
	inboxes Inboxes
}

func newStage(t testing.TB, suite InboxSuite) *stage {
	t.Helper()
	server := Server(t, t.TempDir())
	s := &stage{suite: suite, server: server}
	for i := range s.gateways {
		conn := suite.connect(t, server, streams.Topology{Partitions: 2})
		inboxes, err := suite.Start(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(inboxes.Close)
		s.gateways[i] = gateway{conn, inboxes}
	}
	return s
}

var devices atomic.Int64

// NewAddress is a device that no test had before.
func NewAddress(c *streams.Conn) subject.Address {
	return subject.Address{
		User:   schemas.UserID(fmt.Sprintf("user%d@example.org", devices.Add(1))),
		Device: schemas.DeviceID(c.Clock().NextULID()),
	}
}

var sessions = msgid.NewClock(nil)

// NewSession is newer than all before it.
func NewSession() schemas.SessionID { return schemas.SessionID(sessions.NextULID()) }

// Sender writes to the inbox of one device.
type Sender struct {
	T    testing.TB
	Conn *streams.Conn
	From schemas.UserID
	To   subject.Address
	n    int
}

// Sent is one entry in an inbox.
type Sent struct {
	ID       schemas.MessageID
	Sequence uint64
	Entry    []byte
}

// Commit puts one message into the inbox, and tells no live subject of it.
func (s *Sender) Commit(content string) Sent {
	s.T.Helper()
	s.n++
	m := &schemas.Message{MessageID: s.Conn.Clock().Next(), SenderID: s.From, ReceiverID: s.To.User, Content: content,
		Timestamp: schemas.Now(), MessageIDByClient: schemas.ClientMessageID(s.n)}
	return s.CommitEntry(m, m.StoredMessage())
}

// CommitEntry puts any bytes into the inbox.
func (s *Sender) CommitEntry(m *schemas.Message, entry []byte) Sent {
	s.T.Helper()
	type result struct {
		sequences []uint64
		err       error
	}
	done := make(chan result, 1)
	s.Conn.CommitCopies(streams.Copies{Message: m, Entry: entry, To: []subject.Address{s.To}},
		func(sequences []uint64, err error) { done <- result{sequences, err} })
	r := Receive(s.T, done)
	if r.err != nil {
		s.T.Fatalf("a message was not committed: %v", r.err)
	}
	return Sent{m.MessageID, r.sequences[0], entry}
}

// CommitPoison puts something into the inbox that nobody can read.
func (s *Sender) CommitPoison() Sent {
	s.T.Helper()
	return s.CommitEntry(&schemas.Message{MessageID: s.Conn.Clock().Next(), SenderID: s.From}, []byte("not JSON"))
}

// Tell publishes a committed entry on the device's live subject.
func (s *Sender) Tell(e Sent) { s.Conn.Bus().PublishEntry(s.To, e.Sequence, e.Entry) }

// Send is Commit and Tell.
func (s *Sender) Send(content string) Sent {
	s.T.Helper()
	e := s.Commit(content)
	s.Tell(e)
	return e
}

// CommitMany puts n messages into the inbox, faster than one by one.
func (s *Sender) CommitMany(n int) []Sent {
	s.T.Helper()
	all, err := s.commitMany(n)
	if err != nil {
		s.T.Fatalf("a message was not committed: %v", err)
	}
	return all
}

func (s *Sender) commitMany(n int) ([]Sent, error) {
	all, done := make([]Sent, n), make(chan error, n)
	for i := range all {
		m := &schemas.Message{MessageID: s.Conn.Clock().Next(), SenderID: s.From, ReceiverID: s.To.User,
			Content: fmt.Sprint("m", i), Timestamp: schemas.Now()}
		all[i] = Sent{ID: m.MessageID, Entry: m.StoredMessage()}
		s.Conn.CommitCopies(streams.Copies{Message: m, Entry: all[i].Entry, To: []subject.Address{s.To}},
			func(sequences []uint64, err error) {
				all[i].Sequence = sequences[0]
				done <- err
			})
	}
	for range all {
		if err := <-done; err != nil { // comes within the commit timeout
			return nil, err
		}
	}
	return all, nil
}

// Held says whether the device's inbox still has a message.
func (s *Sender) Held(id schemas.MessageID) bool {
	s.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	held, err := s.Conn.Holds(ctx, s.To, id)
	if err != nil {
		s.T.Fatal(err)
	}
	return held
}

// AwaitRecorded waits until the device's acknowledgements were recorded n times.
func (s *Sender) AwaitRecorded(server *embedded.Server, n uint64) {
	s.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	kv, err := JetStream(s.T, server).KeyValue(ctx, "ACKS")
	if err != nil {
		s.T.Fatal(err)
	}
	w, err := kv.Watch(ctx, s.To.User.Token()+"."+string(s.To.Device))
	if err != nil {
		s.T.Fatal(err)
	}
	defer func() { _ = w.Stop() }()
	for seen := uint64(0); seen < n; {
		select {
		case e := <-w.Updates():
			if e != nil {
				seen++
			}
		case <-ctx.Done():
			s.T.Fatal("the acknowledgements are not on record")
		}
	}
}

// AwaitGone asks until a message has left the inbox.
func (s *Sender) AwaitGone(id schemas.MessageID) {
	s.T.Helper()
	for end := time.Now().Add(Timeout); s.Held(id); {
		if time.Now().After(end) {
			s.T.Fatalf("%s is still in the inbox", id)
		}
	}
}

// connect opens a connection of the device at a gateway, and lets it go.
func (s *stage) connect(t testing.TB, g gateway, a subject.Address, resume schemas.Cursor) *Device {
	t.Helper()
	d := Start(t, g.inboxes, a, resume)
	if s.suite.Forgets {
		d.help = func() { s.suite.sweep(g.inboxes) }
	}
	return d
}

// Start opens a connection of a device, and lets it go.
func Start(t testing.TB, at Inboxes, a subject.Address, resume schemas.Cursor) *Device {
	t.Helper()
	d, err := Open(at, a, resume)
	if err != nil {
		t.Fatal(err)
	}
	d.Inbox.Start()
	return d
}

// Open opens a connection of a device.
func Open(at Inboxes, a subject.Address, resume schemas.Cursor) (*Device, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	d := NewDevice()
	d.Session = NewSession()
	in, err := at.Open(ctx, a, d.Session, resume, d)
	d.Inbox = in
	return d, err
}

// Close ends the connection in order, and reports what broke the contract.
func (d *Device) Close(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	d.Inbox.Close(ctx)
	for _, f := range d.Faults() {
		t.Error(f)
	}
}

// expect compares what came with what was sent.
func expect(t testing.TB, got []Delivery, want ...Sent) {
	t.Helper()
	ids := make([]schemas.MessageID, len(want))
	for i, w := range want {
		ids[i] = w.ID
	}
	if !slices.Equal(IDs(got), ids) {
		t.Fatalf("%d messages came, not the %d expected, in order: %s", len(got), len(want), Contents(got))
	}
}

// Receive takes one value off a channel, within Timeout.
func Receive[T any](t testing.TB, from <-chan T) (v T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	select {
	case v = <-from:
	case <-ctx.Done():
		t.Fatal("nothing came in time")
	}
	return v
}
