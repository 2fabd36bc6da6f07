package bus_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"roost/schemas"
	"roost/streams/bus"
	"roost/streams/embedded"
	"roost/streams/subject"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect makes a connection to a server of its own.
func connect(t *testing.T) *nats.Conn {
	t.Helper()
	s, err := embedded.Start(embedded.Options{StoreDir: t.TempDir(), SyncInterval: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	t.Cleanup(func() { nc.Close(); <-closed })
	return nc
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// heard notes what a listener of any kind hears.
type heard struct{ calls chan string }

func (h heard) Entry(seq uint64, entry []byte) {
	h.calls <- "entry " + string(rune('0'+seq)) + " " + string(entry)
}
func (h heard) Frame(frame []byte)             { h.calls <- "frame " + string(frame) }
func (h heard) Replaced(by schemas.SessionID)  { h.calls <- "replaced " + string(by) }
func (h heard) Removed()                       { h.calls <- "removed" }
func (h heard) Gap()                           { h.calls <- "gap" }
func (h heard) Session(e schemas.SessionEvent) { h.calls <- "session " + string(e.UserID) }
func (h heard) News(n bus.ChannelNews)         { h.calls <- "news " + string(n.Group) }

func (h heard) next(t *testing.T, wanted string) {
	t.Helper()
	select {
	case got := <-h.calls:
		if got != wanted {
			t.Errorf("heard %q, not %q", got, wanted)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("did not hear %q", wanted)
	}
}

func listener() heard { return heard{make(chan string, 16)} }

// Both implementations keep the same contract.
func TestBus(t *testing.T) {
	for name, start := range map[string]func(*testing.T) (b bus.Bus, settle, reconnected func()){
		"nats": func(t *testing.T) (bus.Bus, func(), func()) {
			nc := connect(t)
			b := bus.NewNATS(nc, 2, slog.New(slog.DiscardHandler))
			return b, func() {
				if err := nc.Flush(); err != nil {
					t.Error(err)
				}
			}, b.Reconnected
		},
		"local": func(*testing.T) (bus.Bus, func(), func()) {
			b := bus.NewLocal(2)
			return b, func() {}, b.Reconnected
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, settle, reconnected := start(t)
			t.Cleanup(b.Close)
			phone := subject.Address{User: "alice", Device: "01K73S8AC0DEV1CEDEV1CEDEV1"}
			first, second := listener(), listener()
			leave, err := b.Subscribe(phone, first)
			if err != nil {
				t.Fatal(err)
			}
			leaveSecond, err := b.Subscribe(phone, second)
			if err != nil {
				t.Fatal(err)
			}
			defer leaveSecond()
			settle()
			b.PublishEntry(phone, 7, []byte("hello"))
			b.PublishFrame(phone, []byte("{}"))
			b.PublishReplaced(phone, "S")
			b.PublishRemoved(phone)
			for _, h := range []heard{first, second} {
				for _, wanted := range []string{"entry 7 hello", "frame {}", "replaced S", "removed"} {
					h.next(t, wanted)
				}
			}
			leave()
			settle()
			b.PublishFrame(phone, []byte("later"))
			second.next(t, "frame later")
			if len(first.calls) != 0 {
				t.Errorf("heard %q after leave", <-first.calls)
			}
			b.PublishFrame(subject.Address{User: "bob", Device: phone.Device}, []byte("{}")) // no device receives it
			reconnected()
			second.next(t, "gap")

			sessions := listener()
			w := b.WatchSessions(sessions)
			if err := w.Add("alice"); err != nil {
				t.Fatal(err)
			}
			if err := w.Settle(deadline(t)); err != nil {
				t.Fatal(err)
			}
			b.PublishSession(schemas.SessionEvent{UserID: "bob"})
			b.PublishSession(schemas.SessionEvent{UserID: "alice"})
			sessions.next(t, "session alice")
			w.Remove("alice")
			if err := w.Settle(deadline(t)); err != nil {
				t.Fatal(err)
			}
			b.PublishSession(schemas.SessionEvent{UserID: "alice"})
			w.Close()
			if len(sessions.calls) != 0 {
				t.Errorf("heard %q of a user who is not watched", <-sessions.calls)
			}

			channels := listener()
			stop, err := b.WatchChannels(channels)
			if err != nil {
				t.Fatal(err)
			}
			settle()
			b.PublishChannelNews(bus.ChannelNews{Group: "g-01K73S8AC0GR0VPGR0VPGR0VPG", MessageID: "01K73S8AC0DEV1CEDEV1CEDEV1", Sequence: 1})
			channels.next(t, "news g-01K73S8AC0GR0VPGR0VPGR0VPG")
			stop()
			b.PublishDelivered("alice", []byte("{}"))
			b.PublishRead("alice", []byte("{}"))
			b.PublishGroupChange("g-01K73S8AC0GR0VPGR0VPGR0VPG", []byte("{}"))
		})
	}
}

// The frontier passes an entry after its listeners were called, also if there are none.
func TestLocalFrontier(t *testing.T) {
	b, h, alice := bus.NewLocal(1), listener(), subject.Address{User: "alice"}
	leave, err := b.Subscribe(alice, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{3, 4} {
		b.PublishEntry(alice, seq, []byte("x"))
		if upTo, ok := b.Frontier(0).After(2); !ok || upTo != seq {
			t.Errorf("delivered up to %d, %v, not %d", upTo, ok, seq)
		}
		leave()
	}
	h.next(t, "entry 3 x")
}

// Close waits for the handler, and may be called again.
func TestDispatcherClose(t *testing.T) {
	nc := connect(t)
	entered, release := make(chan struct{}), make(chan struct{})
	d := bus.NewDispatcher(nc, 4, func(*nats.Msg) { close(entered); <-release })
	if _, err := d.Subscribe("s"); err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("s", nil); err != nil {
		t.Fatal(err)
	}
	<-entered
	var closed sync.WaitGroup
	over := make(chan struct{})
	closed.Go(func() { d.Close(); close(over) })
	select {
	case <-over:
		t.Error("Close did not wait for the handler")
	default:
	}
	close(release)
	closed.Wait()
	d.Close()
}
