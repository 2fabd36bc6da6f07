package streams

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// Request reserves the id of the object that a user's request makes, before the request
// makes it, and returns the request with its id. A retry, at any gateway, gets the id
// that the first request reserved; then known is true. An object is made only once under
// its id, see [group.Groups.Create] and [directory.Directory.AddDevice]. So it makes no
// difference if a gateway dies in between. A request that differs from the first under
// its key fails with [schemas.ErrOtherRequest].
func (c *Conn) Request(ctx context.Context, u schemas.UserID, q schemas.Request) (reserved schemas.Request, known bool, err error) {
	_, err = jsapi.Update(ctx, c.requests, subject.UserKey(u), func(all schemas.Requests, _ bool) (schemas.Requests, error) {
		now := schemas.Now()
		if reserved, known = all.Find(q, now); known {
			return all, jsapi.ErrUnchanged
		}
		reserved = q
		reserved.ID = c.clock.Next()
		return all.With(reserved, now), nil
	})
	if err != nil {
		return reserved, false, fmt.Errorf("failed to note a request: %w", err)
	}
	if known && reserved.RequestHash != q.RequestHash {
		return reserved, true, schemas.ErrOtherRequest()
	}
	c.clock.Observe(reserved.ID) // later ids of this process are newer
	return reserved, known, nil
}

func openRequests(ctx context.Context, c *Conn) (jetstream.KeyValue, error) {
	kv, err := c.api.JS.KeyValue(ctx, string(subject.Requests))
	if errors.Is(err, jetstream.ErrBucketNotFound) { // the cluster was installed before this bucket existed
		return nil, fmt.Errorf("failed to open bucket %s; `roost streams apply` makes it: %w", subject.Requests, err)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to open bucket %s: %w", subject.Requests, err)
	}
	return kv, nil
}
