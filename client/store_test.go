package client

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"roost/schemas"
)

// TestStores tests every Store.
func TestStores(t *testing.T) {
	for name, store := range map[string]Store{
		"memory": new(MemoryStore),
		"file":   FileStore(filepath.Join(t.TempDir(), "a", "b", "state.json")),
	} {
		t.Run(name, func(t *testing.T) {
			if state, err := store.Load(); err != nil || !reflect.DeepEqual(state, State{}) {
				t.Errorf("at first: %+v, %v", state, err)
			}
			full := State{
				DeviceID: phone, Cursor: cursor(3), LastSend: 7,
				Outstanding: []Outgoing{{ReceiverID: bob, Content: "<ü>\n", MessageIDByClient: 7, Timestamp: 1, ReplyTo: messageID(1)},
					{ReceiverID: bob, MessageIDByClient: 8, Timestamp: 1, Change: schemas.ChangeDelete, TargetMessageID: messageID(1)}},
				Seen: []Seen{{messageID(1), bobsOwn, 4}, {MessageID: messageID(2)}},
			}
			for _, state := range []State{full, {LastSend: 8}, full} {
				if err := store.Save(state); err != nil {
					t.Fatal(err)
				}
				if got, err := store.Load(); err != nil || !reflect.DeepEqual(got, state) {
					t.Errorf("saved %+v, loaded %+v, %v", state, got, err)
				}
			}
		})
	}
}

func TestFileStore(t *testing.T) {
	dir := t.TempDir()
	store := FileStore(filepath.Join(dir, "state.json"))
	if err := store.Save(State{LastSend: 1}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(string(store)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("%d files are left", len(files))
	}

	if err := os.WriteFile(string(store), []byte(`{"last_send":1`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Load(); err == nil {
		t.Error("a damaged file was loaded")
	}
	if _, err := FileStore(dir).Load(); err == nil {
		t.Error("a directory was loaded")
	}
	if err := FileStore(filepath.Join(string(store), "x")).Save(State{}); err == nil {
		t.Error("Save created a file inside a file")
	}
	if err := FileStore(dir).Save(State{}); err == nil {
		t.Error("Save replaced a directory")
	}
	if files, _ := os.ReadDir(filepath.Dir(dir)); len(files) != 1 {
		t.Errorf("a failed Save left %d files", len(files))
	}
	if _, err := Connect(t.Context(), Options{URL: "http://roost.test", Token: "x", DeviceName: "x", Store: store}); err == nil {
		t.Error("Connect accepted a damaged store")
	}
}

// TestJournal: concurrent saves share one Save, and each returns only after a Save of its version.
func TestJournal(t *testing.T) {
	var mu sync.Mutex
	version, saves := uint64(0), 0
	store := &funcStore{save: func(State) error {
		mu.Lock()
		defer mu.Unlock()
		saves++
		return nil
	}}
	j := journal{store: store}
	snapshot := func() (State, uint64) {
		mu.Lock()
		defer mu.Unlock()
		return State{LastSend: schemas.ClientMessageID(version)}, version
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			mu.Lock()
			version++
			mine := version
			mu.Unlock()
			if err := j.save(mine, snapshot); err != nil {
				t.Error(err)
			}
			if store.last() < schemas.ClientMessageID(mine) {
				t.Errorf("version %d was acknowledged, and %d saved", mine, store.last())
			}
		})
	}
	wg.Wait()
	before := saves
	if err := j.save(version, snapshot); err != nil || saves != before {
		t.Error("it saved the same version again")
	}
	version++
	store.save = func(State) error { return errors.New("disk full") }
	if err := j.save(version, snapshot); err == nil {
		t.Error("a failed save was acknowledged")
	}
	store.save = func(State) error { return nil }
	if err := j.save(version, snapshot); err != nil {
		t.Errorf("after a failed save: %v", err)
	}
	version++
	j.seal()
	if err := j.save(version, snapshot); !errors.Is(err, ErrClosed) {
		t.Errorf("after the last save: %v", err)
	}
}

type funcStore struct {
	MemoryStore
	save func(State) error
}

func (s *funcStore) Save(state State) error {
	if err := s.save(state); err != nil {
		return err
	}
	return s.MemoryStore.Save(state)
}

func (s *funcStore) last() schemas.ClientMessageID {
	state, _ := s.Load()
	return state.LastSend
}

func TestAckFailsWithTheStore(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		store := &funcStore{save: func(State) error { return nil }}
		opts := srv.options()
		opts.Store = store
		c, p := srv.connect(opts)
		event[Connected](t, c)
		p.message(1)
		p.message(2)
		one, two := event[Message](t, c), event[Message](t, c)
		store.save = func(State) error { return errors.New("disk full") }
		if err := one.Ack(); err == nil {
			t.Error("Ack returned no error although the store failed")
		}
		if err := one.Ack(); err == nil {
			t.Error("the second Ack returned no error")
		}
		store.save = func(State) error { return nil }
		if err := one.Ack(); err != nil {
			t.Errorf("the third Ack: %v", err)
		}
		if state, _ := store.Load(); state.Cursor != cursor(1) {
			t.Errorf("stored: %+v", state)
		}
		closeClient(t, c)
		if err := two.Ack(); !errors.Is(err, ErrClosed) {
			t.Errorf("Ack after Close: %v", err)
		}
		if err := (Message{}).Ack(); err != nil {
			t.Errorf("Ack of a message that no client received: %v", err)
		}
	})
}

// TestConnectFailsWithTheStore: the client ends if the store cannot save a newly registered device.
func TestConnectFailsWithTheStore(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		opts := srv.options()
		opts.DeviceID, opts.DeviceName = "", "laptop"
		opts.Store = &funcStore{save: func(State) error { return errors.New("disk full") }}
		done := make(chan error)
		go func() {
			_, err := Connect(t.Context(), opts)
			done <- err
		}()
		srv.next().welcome(schemas.Welcome{})
		began := time.Now()
		if err := <-done; !errors.Is(err, errStore) || time.Since(began) > time.Second {
			t.Errorf("Connect: %v after %v", err, time.Since(began))
		}
	})
}

// TestSendSurvivesTheProcess: the next client with the same store retries an outstanding send.
func TestSendSurvivesTheProcess(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		opts := srv.options()
		opts.Store = FileStore(t.TempDir() + "/state.json")
		c, p := srv.connect(opts)
		one, two := sendLater(c, t.Context(), "one"), make(chan outcome)
		f := want[*schemas.SendMessage](p)
		closeClient(t, c)
		if o := <-one; !errors.Is(o.err, ErrClosed) {
			t.Errorf("Send: %v", o.err)
		} else if _, unknown := isUnknown(o.err); !unknown {
			t.Errorf("Send: %v", o.err)
		}

		c, p = srv.connect(opts)
		go func() {
			r, err := c.Resend(t.Context(), 1)
			two <- outcome{r, err}
		}()
		again := want[*schemas.SendMessage](p)
		if *again != *f {
			t.Errorf("again: %+v, at first: %+v", again, f)
		}
		p.received(again)
		if o := <-two; o.err != nil || o.received.MessageID != messageID(1001) {
			t.Errorf("Resend: %+v", o)
		}
		if restored := c.Restored(); len(restored) != 1 || *restored[0].frame().(*schemas.SendMessage) != *f || len(c.Outstanding()) != 0 {
			t.Errorf("Restored: %+v, Outstanding: %+v", restored, c.Outstanding())
		}
		closeClient(t, c)
		if state, err := opts.Store.Load(); err != nil || len(state.Outstanding) != 0 || state.LastSend != 1 {
			t.Errorf("stored: %+v, %v", state, err)
		}
	})
}

// TestSendIsStoredFirst: the client saves a send before it writes it.
func TestSendIsStoredFirst(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		store := &faultyStore{gate: make(chan error)}
		opts := srv.options()
		opts.Store = store
		c, p := srv.connect(opts)
		done := sendLater(c, t.Context(), "x")
		p.quiet()
		store.gate <- errors.New("disk full")
		if o := <-done; o.err == nil || !strings.Contains(o.err.Error(), "disk full") {
			t.Errorf("Send: %v", o.err)
		}
		done = sendLater(c, t.Context(), "y")
		p.quiet()
		store.gate <- nil
		f := want[*schemas.SendMessage](p)
		if f.Content != "y" || f.MessageIDByClient != 2 {
			t.Errorf("send_message: %+v", f)
		}
		p.received(f)
		<-done
		go func() { store.gate <- errors.New("disk full") }()
		if err := c.Close(); err == nil || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("Close: %v", err)
		}
	})
}

// faultyStore makes each Save wait for its result.
type faultyStore struct {
	MemoryStore
	gate chan error
}

func (s *faultyStore) Save(state State) error {
	if err := <-s.gate; err != nil {
		return err
	}
	return s.MemoryStore.Save(state)
}
