package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roost/streams/streamstest/files"
)

// TestRecover writes while the process can open no file, so that the stream stops, and
// opens it again.
func TestRecover(t *testing.T) {
	s, err := Start(Options{StoreDir: t.TempDir(), SyncInterval: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "TEST"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.StageIn(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	staged := s.stage
	put := func(n int) (uint64, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // a stream that stopped does not answer
		defer cancel()
		return kv.Put(ctx, fmt.Sprint("key", n), make([]byte, 900_000)) // some of them fill a block
	}

	restore := files.None(t)
	stored := 0
	for ; ; stored++ {
		if _, err := put(stored); err != nil {
			break
		}
	}
	if err := s.Recover(); !errors.Is(err, ErrNotYet) {
		t.Errorf("without files: %v", err)
	}
	restore()
	if err := s.Frozen(); err == nil {
		t.Fatal("the stream did not stop")
	}
	if _, err := put(stored); err == nil {
		t.Error("a stream that stopped took a write")
	}
	if err := s.Recover(); err != nil {
		t.Fatal(err)
	}
	if err := s.Frozen(); err != nil {
		t.Errorf("it is still stopped: %v", err)
	}
	// The server closes all streams by itself where it may not write, say.
	if err := s.ShutdownJetStream(); err != nil || s.Frozen() == nil {
		t.Errorf("closed: %v, %v", err, s.Frozen())
	}
	if err := s.Recover(); err != nil || s.Frozen() != nil {
		t.Fatalf("opened again: %v, %v", err, s.Frozen())
	}
	if at, err := put(stored); err != nil || at != uint64(stored+1) {
		t.Errorf("stored at %d, %v, behind %d", at, err, stored)
	}
	for n := range stored + 1 {
		if e, err := kv.Get(t.Context(), fmt.Sprint("key", n)); err != nil || e.Revision() != uint64(n+1) {
			t.Errorf("key %d: %v", n, err)
		}
	}
	if link, err := os.Readlink(filepath.Join(s.StoreDir(), "$G", "streams", "KV_TEST", "batches")); err != nil || filepath.Dir(link) != s.stage || s.stage == staged {
		t.Errorf("batches are staged in %s, %v, not in %s", link, err, s.stage)
	}
	if _, err := os.Stat(staged); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old folder of batches: %v", err)
	}
}
