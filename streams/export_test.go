package streams

import (
	"context"
	"reflect"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams/backpressure"
	"roost/streams/bus"
	"roost/streams/inbox"
	"roost/streams/publisher"
	"roost/streams/receipts"
	"roost/streams/sendlog"
	"roost/streams/subject"
)

// Reach into the package for the tests beside it.

// Committer commits sets of entries to one stream.
type Committer struct {
	c      *Conn
	stream string
}

func (c *Conn) Committer(stream string) Committer { return Committer{c, stream} }

func (w Committer) Commit(set []publisher.Entry, done func([]publisher.Outcome)) error {
	return w.c.publisher.Commit(w.stream, set, done)
}

func (c *Conn) LiveConn() *nats.Conn { return c.lives }

func (c *Conn) JetStream() jetstream.JetStream { return c.api.JS }

// Back is called before NATS goes away; the returned function waits, within ctx,
// until all connections are there again.
func (c *Conn) Back() (wait func(context.Context) error) {
	var all []chan nats.Status
	for _, nc := range []*nats.Conn{c.control, c.commits, c.lives, c.reads} {
		all = append(all, nc.StatusChanged(nats.CONNECTED))
	}
	return func(ctx context.Context) error {
		for _, connected := range all {
			select {
			case <-connected:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
}

// StartConsumersAt is StartConsumers by another clock.
func (c *Conn) StartConsumersAt(ctx context.Context, now func() time.Time) (*inbox.Consumers, error) {
	return c.startConsumers(ctx, now)
}

// Gap has a consumer look for live or pulled messages that it lost.
func Gap(i inbox.Consumer) {
	if b, ok := i.(interface{ Lost() }); ok {
		b.Lost()
		return
	}
	i.(bus.Listener).Gap()
}

const (
	AckTimeout   = inbox.DefaultAckTimeout
	RemoveDelay  = inbox.RemoveDelay
	RemoveBatch  = inbox.RemoveBatch
	CompareFirst = inbox.CompareFirst
	MaxQueued    = publisher.MaxQueued
	Singles      = publisher.DefaultSingles
	MaxBatch     = publisher.MaxBatch
	MaxInflight  = publisher.DefaultSingles + publisher.MaxBatch
	LiveQueue    = bus.DeviceQueue
	MaxBehind    = sendlog.MaxQueued
	MaxUnremoved = backpressure.MaxUnremoved
	CatchUp      = backpressure.CatchUp
)

// AddUnremoved counts entries that devices acknowledged, or with n < 0 that were removed.
func (c *Conn) AddUnremoved(n int64) { c.admission.Add(n) }

// PutDevices writes records of devices, many at a time.
func (c *Conn) PutDevices(ctx context.Context, records map[schemas.UserID]schemas.Devices) error {
	var set []publisher.Entry
	for u, record := range records {
		set = append(set, publisher.Entry{Subject: subject.Devices.Subject(subject.UserKey(u)), Data: schemas.Encode(record)})
	}
	return c.publisher.StoreAll(ctx, subject.Devices.Stream(), set)
}

// DeleteMessage deletes one entry of an inbox.
func (c *Conn) DeleteMessage(ctx context.Context, a subject.Address, seq uint64) error {
	stream := subject.InboxStream(c.partition(a.User))
	if err := c.sendLog.BeforeRemoval(ctx, stream, seq); err != nil {
		return err
	}
	return c.api.Delete(ctx, stream, seq)
}

// HoldReaders has reads wait, until the returned function is called: as many reads as
// may be in progress get no answer, for at most the time limit of a read.
func (c *Conn) HoldReaders(t testing.TB) (release func()) {
	t.Helper()
	const reads = 32
	asked := make(chan struct{}, reads)
	sub, err := c.lives.Subscribe("$JS.API.DIRECT.GET.HELD", func(*nats.Msg) { asked <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	if err := c.lives.Flush(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var held sync.WaitGroup
	for range reads {
		held.Go(func() { _, _, _ = c.api.Read(ctx, "HELD", "held", 0, 1) }) // it fails
	}
	for range reads {
		<-asked
	}
	return func() {
		cancel()
		held.Wait()
		_ = sub.Unsubscribe()
	}
}

// blocker keeps the dispatcher of live messages in its first frame.
type blocker struct{ entered, release chan struct{} }

func (b *blocker) Frame([]byte) {
	select {
	case b.entered <- struct{}{}:
		<-b.release
	default:
	}
}
func (*blocker) Entry(uint64, []byte)       {}
func (*blocker) Replaced(schemas.SessionID) {}
func (*blocker) Removed()                   {}
func (*blocker) Gap()                       {}

// BlockLive stops the dispatcher of c until the returned function is called. Live
// messages for a go to waste meanwhile, and fill the queue.
func (c *Conn) BlockLive(a subject.Address) (release func(), err error) {
	b := &blocker{make(chan struct{}), make(chan struct{})}
	leave, err := c.bus.Subscribe(a, b)
	if err != nil {
		return nil, err
	}
	c.Bus().PublishFrame(a, []byte("{}"))
	<-b.entered
	return func() {
		leave()
		close(b.release)
	}, nil
}

// Read reads up to n entries of a subject by Direct Get, and returns their
// sequences.
func (c *Conn) Read(ctx context.Context, stream, subject string, n int) (sequences []uint64, more bool, err error) {
	all, more, err := c.api.Read(ctx, stream, subject, 1, n)
	for _, e := range all {
		sequences = append(sequences, e.Sequence)
	}
	return sequences, more, err
}

// HoldCommits keeps a stream's writer from publishing, until the returned function is
// called or its Conn is closed. It takes the place of the goroutine that publishes, in a
// writer that package publisher does not show.
func (c *Conn) HoldCommits(t testing.TB, stream string) (release func()) {
	t.Helper()
	started := make(chan struct{})
	if err := c.publisher.Commit(stream, []publisher.Entry{{Subject: "nobody.listens"}}, func([]publisher.Outcome) { close(started) }); err != nil {
		t.Fatal(err)
	}
	<-started
	w := reflect.ValueOf(c.publisher).Elem().FieldByName("writers").MapIndex(reflect.ValueOf(stream)).Elem()
	field := func(name string) unsafe.Pointer { return unsafe.Pointer(w.FieldByName(name).UnsafeAddr()) }
	mu, publishing, wake := (*sync.Mutex)(field("mu")), (*bool)(field("publishing")), *(*chan struct{})(field("wake"))
	for held := false; !held; {
		mu.Lock()
		held = !*publishing
		*publishing = true
		mu.Unlock()
	}
	return func() {
		mu.Lock()
		*publishing = false
		mu.Unlock()
		select {
		case wake <- struct{}{}:
		default: // full
		}
	}
}

// Erase deletes what is stored about a person where due says so of the record.
func (c *Conn) Erase(ctx context.Context, u schemas.UserID, due func(schemas.Devices) bool) error {
	return c.erase(ctx, u, erasure{all: c.erasable(u), due: due, tells: true})
}

// MembershipsEnd is the newest sequence of MEMBERSHIPS.
func (c *Conn) MembershipsEnd(t testing.TB) uint64 {
	t.Helper()
	end, err := c.endOf(t.Context(), subject.Memberships.Stream())
	if err != nil {
		t.Fatal(err)
	}
	return end
}

// LeaveRest takes somebody out of the groups of before.
func (c *Conn) LeaveRest(ctx context.Context, u schemas.UserID, upTo uint64) error {
	return c.groups.RemoveDeleted(ctx, u, upTo)
}

// Stored is how many messages there are about a person, by stream and subject.
func (c *Conn) Stored(ctx context.Context, u schemas.UserID) (map[string]int, error) {
	found := make(map[string]int)
	for _, h := range c.personal(u) {
		all, _, err := c.api.Read(ctx, h.stream, h.subject, 0, 1000)
		if err != nil {
			return nil, err
		}
		if len(all) > 0 {
			found[h.stream+" "+h.subject] = len(all)
		}
	}
	return found, nil
}

// AdvanceReceipts moves the watermarks of readers in the messages of one sender, as a
// removal does.
func (c *Conn) AdvanceReceipts(ctx context.Context, sender schemas.UserID, marks map[schemas.UserID]schemas.Watermark) error {
	all := make(receipts.Marks, len(marks))
	for reader, w := range marks {
		all.Add(subject.ReceiptKey(sender, reader), w)
	}
	return c.receipts.AdvanceAll(ctx, all)
}
