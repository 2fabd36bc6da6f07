package jsapi

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams/embedded"
)

// newBucket makes a bucket, on a server of its own.
func newBucket(t *testing.T) jetstream.KeyValue {
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
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "TEST"})
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func TestUpdate(t *testing.T) {
	kv, ctx := newBucket(t), t.Context()
	add := func(id schemas.MessageID) (schemas.Watermark, error) {
		return Update(ctx, kv, "key", func(w schemas.Watermark, exists bool) (schemas.Watermark, error) {
			if exists != (w != schemas.Watermark{}) {
				t.Errorf("exists %t: %+v", exists, w)
			}
			return w.Merge(schemas.Watermark{ReadUpTo: id}), nil
		})
	}
	for _, id := range []schemas.MessageID{"a", "b"} {
		if w, err := add(id); err != nil || w.ReadUpTo != id {
			t.Errorf("%+v, %v", w, err)
		}
	}
	// Unchanged, or refused, nothing is written.
	refused := errors.New("refused")
	for _, cause := range []error{ErrUnchanged, refused} {
		w, err := Update(ctx, kv, "key", func(w schemas.Watermark, _ bool) (schemas.Watermark, error) {
			return schemas.Watermark{ReadUpTo: "z"}, cause
		})
		if w.ReadUpTo != "b" || (err != nil) != (cause == refused) || err != nil && !errors.Is(err, refused) {
			t.Errorf("%v: %+v, %v", cause, w, err)
		}
	}
	e, err := kv.Get(ctx, "key")
	if err != nil || e.Revision() != 2 {
		t.Fatalf("revision %d, %v", e.Revision(), err)
	}
	// A key that was deleted is made again.
	if err := kv.Delete(ctx, "key"); err != nil {
		t.Fatal(err)
	}
	if _, _, ok, err := Get[schemas.Watermark](ctx, kv, "key"); ok || err != nil {
		t.Errorf("deleted: %t, %v", ok, err)
	}
	if w, err := add("c"); err != nil || w.ReadUpTo != "c" {
		t.Errorf("%+v, %v", w, err)
	}
}

// Another process writes between each read and write.
func TestUpdateContended(t *testing.T) {
	kv, ctx := newBucket(t), t.Context()
	tries, losses := 0, 0
	contend := func(w schemas.Watermark, _ bool) (schemas.Watermark, error) {
		if tries++; tries <= losses {
			if _, err := kv.Put(ctx, "key", schemas.Encode(schemas.Watermark{ReadUpTo: schemas.MessageID(fmt.Sprint(tries))})); err != nil {
				t.Fatal(err)
			}
		}
		return schemas.Watermark{ReadUpTo: "mine"}, nil
	}
	losses = Attempts - 1
	if w, err := Update(ctx, kv, "key", contend); err != nil || w.ReadUpTo != "mine" || tries != Attempts {
		t.Errorf("after %d tries: %+v, %v", tries, w, err)
	}
	tries, losses = 0, Attempts
	if w, err := Update(ctx, kv, "key", contend); !errors.Is(err, ErrContended) || w != (schemas.Watermark{}) || tries != Attempts {
		t.Errorf("after %d tries: %+v, %v", tries, w, err)
	}
}

func TestKVErrors(t *testing.T) {
	kv, ctx := newBucket(t), t.Context()
	if _, err := kv.PutString(ctx, "garbage", "no JSON"); err != nil {
		t.Fatal(err)
	}
	if _, _, ok, err := Get[schemas.Watermark](ctx, kv, "garbage"); ok || err == nil {
		t.Errorf("garbage: %t, %v", ok, err)
	}
	called := false
	if _, err := Update(ctx, kv, "garbage", func(w schemas.Watermark, _ bool) (schemas.Watermark, error) {
		called = true
		return w, nil
	}); err == nil || called {
		t.Errorf("garbage was taken for a record: %v", err)
	}
	if _, _, ok, err := Get[schemas.Watermark](ctx, kv, "no key, this"); ok || err == nil {
		t.Errorf("an impossible key: %t, %v", ok, err)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, ok, err := Get[schemas.Watermark](over, kv, "key"); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %t, %v", ok, err)
	}
}

// One server reports in one way that another process wrote first, a cluster also in another.
func TestIsConflict(t *testing.T) {
	for code, want := range map[jetstream.ErrorCode]bool{10071: true, 10164: true, 10077: false} {
		err := fmt.Errorf("failed: %w", &jetstream.APIError{ErrorCode: code, Description: "wrong last sequence"})
		if IsConflict(err) != want {
			t.Errorf("%v is a conflict: %t", err, !want)
		}
	}
	if IsConflict(nil) || IsConflict(errors.New("else")) || !IsConflict(jetstream.ErrKeyExists) {
		t.Error("something else is a conflict, or an existing key is none")
	}
}
