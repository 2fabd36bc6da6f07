package streams

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"roost/streams/msgid"
	"roost/streams/subject"
)

// signerKey is the key in bucket KEYS that holds the secret for message ids.
const signerKey = "message_ids"

// Signer reads the cluster's key of message ids, which the first gateway creates.
func (c *Conn) Signer(ctx context.Context) (*msgid.Signer, error) {
	kv, err := c.api.Bucket(ctx, subject.Keys)
	if err != nil {
		return nil, err
	}
	// Get comes first: the server treats a key that it cannot read as absent, and Create
	// would replace it.
	e, err := kv.Get(ctx, signerKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		key := msgid.NewKey()
		if _, err = kv.Create(ctx, signerKey, key); err == nil {
			return msgid.NewSigner(c.clock, key)
		}
		if !errors.Is(err, jetstream.ErrKeyExists) {
			return nil, fmt.Errorf("failed to write %s/%s: %w", subject.Keys, signerKey, err)
		}
		e, err = kv.Get(ctx, signerKey)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to read %s/%s: %w", subject.Keys, signerKey, err)
	}
	signer, err := msgid.NewSigner(c.clock, e.Value())
	if err != nil {
		return nil, fmt.Errorf("failed to read %s/%s: %w", subject.Keys, signerKey, err)
	}
	return signer, nil
}
