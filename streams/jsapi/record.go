package jsapi

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
)

// Get reads the record at key, and the revision to change it with.
func Get[T any](ctx context.Context, kv jetstream.KeyValue, key string) (v T, revision uint64, ok bool, err error) {
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

// ErrUnchanged is what a change returns to leave the record as it is.
var ErrUnchanged = errors.New("unchanged")

// ErrContended means that others changed the record before each attempt.
var ErrContended = errors.New("too many others change this at the same time")

// Attempts bounds the attempts of a compare-and-set that others race with.
const Attempts = 16

// Update changes the record at key with compare-and-set. change may be called several
// times, each time with the newest record.
//
//  1. If change returns ErrUnchanged, Update returns the record as it is.
//  2. If change returns another error, nothing is written and Update returns that error.
//  3. If others were faster [Attempts] times, the error is ErrContended.
//  4. After any other error the record may have been written.
func Update[T any](ctx context.Context, kv jetstream.KeyValue, key string, change func(v T, exists bool) (T, error)) (T, error) {
	for range Attempts {
		old, revision, ok, err := Get[T](ctx, kv, key)
		if err != nil {
			return old, err
		}
		v, err := change(old, ok)
		if errors.Is(err, ErrUnchanged) {
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
		if !IsConflict(err) {
			return v, fmt.Errorf("failed to write %s/%s: %w", kv.Bucket(), key, err)
		}
	}
	var zero T
	return zero, fmt.Errorf("failed to write %s/%s: %w", kv.Bucket(), key, ErrContended)
}

// IsConflict reports whether another process wrote first.
func IsConflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) // of a replicated stream
}

// Watch calls changed with the entries of a bucket and then with each change of it, in a
// goroutine, until stop or Close. A nil entry separates the two. ctx bounds only the
// beginning. stop does not wait for the goroutine.
func (c *Client) Watch(ctx context.Context, kv jetstream.KeyValue, changed func(jetstream.KeyValueEntry), opts ...jetstream.WatchOpt) (stop func(), err error) {
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

// Follow calls each with the last entry of every key of a bucket, and then with every
// change, on the caller's goroutine, until ctx ends.
func Follow(ctx context.Context, kv jetstream.KeyValue, each func(jetstream.KeyValueEntry)) error {
	w, err := kv.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("failed to watch bucket %s: %w", kv.Bucket(), err)
	}
	for { // the watch ends with ctx; to stop it as well would wait for NATS
		select {
		case e, ok := <-w.Updates():
			if !ok {
				return nil
			}
			if e != nil {
				each(e)
			}
		case <-ctx.Done():
			return nil
		}
	}
}
