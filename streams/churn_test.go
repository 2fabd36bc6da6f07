package streams_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"roost/schemas"
	"roost/streams"
	"roost/streams/inbox"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

const (
	churnDevices = 8
	churnWriters = 4
	churnEach    = 1000 // messages of each writer
	churnWindow  = 24   // of them under way, enough for atomic batches
)

// TestChurn: devices come, acknowledge some of what they get, and go, each time
// behind their newest cursor and before the connection of before has closed, while
// writers commit in batches and live messages come in any order. Nothing that was
// committed is missing in the end.
func TestChurn(t *testing.T) { eachKind(t, testChurn) }

func testChurn(t *testing.T, kind func(*streams.Options)) {
	server := streamstest.Server(t, t.TempDir())
	few := func(o *streams.Options) { o.Singles = 2 }
	var gateways [2]*churnGateway
	var chosen streams.Options
	kind(&chosen)
	for i := range gateways {
		if i > 0 && chosen.SingleProcess {
			gateways[i] = gateways[0] // there is no other
			break
		}
		c := streamstest.Connect(t, server, onePartition(), kind, few)
		inboxes, err := c.StartConsumers(timeout(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(inboxes.Close)
		gateways[i] = &churnGateway{c, inboxes}
	}
	var devices [churnDevices]*churner
	for i := range devices {
		devices[i] = &churner{t: t, gateways: gateways, addr: streamstest.NewAddress(gateways[0].Conn),
			random: rand.New(rand.NewPCG(1, uint64(i))), has: make(map[schemas.MessageID]bool)}
	}
	over := make(chan struct{})
	var coming sync.WaitGroup
	for _, d := range devices {
		coming.Go(func() { d.comeAndGo(over) })
	}
	committed := churnWrite(t, gateways, devices)
	close(over)
	coming.Wait()
	connections := 0
	for i, d := range devices {
		d.comeForGood()
		connections += d.connections
		for _, id := range committed[i] {
			if !d.has[id] {
				t.Errorf("%s of device %d is missing", id, i)
			}
		}
	}
	t.Logf("%d connections", connections)
	if connections < 2*churnDevices {
		t.Errorf("only %d connections", connections)
	}
}

type churnGateway struct {
	*streams.Conn
	inboxes *inbox.Consumers
}

// churnWrite commits to all devices, and returns what each has to have.
func churnWrite(t *testing.T, gateways [2]*churnGateway, devices [churnDevices]*churner) (committed [churnDevices][]schemas.MessageID) {
	var mu sync.Mutex // guards committed
	var writing sync.WaitGroup
	for w := range churnWriters {
		writing.Go(func() {
			c, random := gateways[w%2], rand.New(rand.NewPCG(2, uint64(w)))
			slots := make(chan struct{}, churnWindow) // full: the writer waits for an answer
			for n := range churnEach {
				slots <- struct{}{}
				i := random.IntN(churnDevices)
				to := devices[i].addr
				m := &schemas.Message{MessageID: c.Clock().Next(), SenderID: schemas.UserID(fmt.Sprint("writer", w)), ReceiverID: to.User,
					Content: fmt.Sprint(n), Timestamp: schemas.Now(), MessageIDByClient: schemas.ClientMessageID(n + 1)}
				entry := m.StoredMessage()
				c.CommitCopies(streams.Copies{Message: m, Entry: entry, To: []subject.Address{to}}, func(sequences []uint64, err error) {
					defer func() { <-slots }()
					if err != nil {
						t.Error(err)
						return
					}
					c.Bus().PublishEntry(to, sequences[0], entry)
					mu.Lock()
					defer mu.Unlock()
					committed[i] = append(committed[i], m.MessageID)
				})
			}
			for range churnWindow {
				slots <- struct{}{}
			}
		})
	}
	writing.Wait()
	return committed
}

// churner is a device over all its connections.
type churner struct {
	t           *testing.T
	gateways    [2]*churnGateway
	addr        subject.Address
	random      *rand.Rand
	closing     sync.WaitGroup
	connections int

	mu     sync.Mutex // guards the rest
	has    map[schemas.MessageID]bool
	cursor schemas.Cursor
	now    *churnSink // the others are cut off: nothing they are handed arrives
}

// churnSink is one connection.
type churnSink struct {
	d       *churner
	inbox   inbox.Consumer
	unacked []schemas.MessageID // guarded by churner.mu
	came    chan struct{}       // 1; full means that the device will look anyway
	drained chan struct{}       // closed by Drained
}

func (s *churnSink) Room() bool { return true }

func (s *churnSink) Deliver(entry []byte, c schemas.Cursor) {
	var in schemas.Incoming
	err := json.Unmarshal(schemas.AppendCursor(nil, entry, c), &in)
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if err != nil {
		s.d.t.Error(err)
	}
	if s.d.now != s {
		return
	}
	s.d.has[in.MessageID], s.d.cursor = true, c
	s.unacked = append(s.unacked, in.MessageID)
	select {
	case s.came <- struct{}{}:
	default:
	}
}
func (s *churnSink) Drained(schemas.Cursor) { close(s.drained) }
func (s *churnSink) Frame([]byte)           {}
func (s *churnSink) End(inbox.EndReason)    {}

func (d *churner) connect() *churnSink {
	s := &churnSink{d: d, came: make(chan struct{}, 1), drained: make(chan struct{})}
	d.mu.Lock()
	d.now = s
	resume := d.cursor
	d.mu.Unlock()
	d.connections++
	inbox, err := d.gateways[d.random.IntN(2)].inboxes.Open(context.Background(), d.addr, streamstest.NewSession(), resume, s)
	if err != nil {
		d.t.Error(err)
		return nil
	}
	s.inbox = inbox
	inbox.Start()
	return s
}

// comeAndGo connects again and again, and leaves the closing to others.
func (d *churner) comeAndGo(over <-chan struct{}) {
	for {
		s := d.connect()
		if s == nil {
			return
		}
		for range d.random.IntN(20) {
			select {
			case <-s.came:
				s.acknowledge(d.random.IntN(4) > 0)
			case <-over:
			}
		}
		d.closing.Go(func() { s.inbox.Close(context.Background()) })
		select {
		case <-over:
			return
		default:
		}
	}
}

// acknowledge says that the device has what came, or all of it but the oldest.
func (s *churnSink) acknowledge(all bool) {
	s.d.mu.Lock()
	ids, kept := s.unacked, 0
	if !all {
		kept = min(1, len(ids))
	}
	s.unacked = append([]schemas.MessageID(nil), ids[:kept]...)
	s.d.mu.Unlock()
	for _, id := range ids[kept:] {
		s.inbox.Acknowledge(id)
	}
}

// comeForGood fetches what is left. With more than a window of it, drained comes
// only after acknowledgements.
func (d *churner) comeForGood() {
	d.closing.Wait()
	s := d.connect()
	if s == nil {
		return
	}
	ctx := timeout(d.t)
	for done := false; !done; {
		select {
		case <-s.came:
			s.acknowledge(true)
		case <-s.drained:
			done = true
		case <-ctx.Done():
			d.t.Error("the inbox was never drained")
			done = true
		}
	}
	d.closing.Wait()
	s.inbox.Close(context.Background())
}
