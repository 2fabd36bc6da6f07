package streams

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
)

// get reads the record at key, and the revision to change it with.
func get[T any](ctx context.Context, kv jetstream.KeyValue, key string) (v T, revision uint64, ok bool, err error) {
	e, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return v, 0, false, nil
	}
	if err != nil {
		return v, 0, false, fmt.Errorf("failed to read %s/%s: %w", kv.Bucket(), key, err)
	}
	if v, err = schemas.Decode[T](e.Value()); err != nil {
		return v, 0, false, fmt.Errorf("failed to read %s/%s: %w", kv.Bucket(), key, err)
	}
	return v, e.Revision(), true, nil
}

// watch calls changed with the entries of a bucket and then with each change of
// it, in a goroutine, until the Conn is closed; a nil entry says that what follows
// is new. ctx bounds only the beginning: the watch itself ends with stop, without waiting.
func (c *Conn) watch(ctx context.Context, kv jetstream.KeyValue, changed func(jetstream.KeyValueEntry), opts ...jetstream.WatchOpt) (stop func(), err error) {
	watching, cancel := context.WithCancel(c.ctx)
	began := context.AfterFunc(ctx, cancel)
	w, err := kv.WatchAll(watching, opts...)
	if !began() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("failed to watch bucket %s: %w", kv.Bucket(), err)
	}
	c.watches.Go(func() {
		defer cancel()
		for e := range w.Updates() {
			changed(e)
		}
	})
	return cancel, nil
}

// errUnchanged is what a change returns to leave the record as it is.
var errUnchanged = errors.New("unchanged")

// errContended: others changed the record each time in between.
var errContended = errors.New("too many others change this at the same time")

// update changes the record at key with compare-and-set. change may be called
// several times, each time with the newest record.
func update[T any](ctx context.Context, kv jetstream.KeyValue, key string, change func(v T, exists bool) (T, error)) (T, error) {
	for range casAttempts {
		old, revision, ok, err := get[T](ctx, kv, key)
		if err != nil {
			return old, err
		}
		v, err := change(old, ok)
		if errors.Is(err, errUnchanged) {
			return old, nil
		}
		if err != nil {
			return old, err
		}
		if ok {
			_, err = kv.Update(ctx, key, schemas.Encode(v), revision)
		} else {
			_, err = kv.Create(ctx, key, schemas.Encode(v))
		}
		if err == nil {
			return v, nil
		}
		if !isConflict(err) {
			return v, fmt.Errorf("failed to write %s/%s: %w", kv.Bucket(), key, err)
		}
	}
	var zero T
	return zero, fmt.Errorf("failed to write %s/%s: %w", kv.Bucket(), key, errContended)
}

// isConflict says whether somebody else wrote first.
func isConflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) // of a replicated stream
}
