package streams_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"roost/schemas"
	"roost/streams/directory"
)

const maxUserID = 128 // bytes

// As many as may be: by number, and by the size of what NATS has to take.
func TestBlockLimit(t *testing.T) {
	c := connect(t, onePartition())
	ctx, d := timeout(t), c.Directory()
	kv, err := c.JetStream().KeyValue(ctx, "BLOCKS")
	if err != nil {
		t.Fatal(err)
	}
	many := schemas.Blocks{UserIDs: make([]schemas.UserID, schemas.MaxBlocks-1)}
	for i := range many.UserIDs {
		many.UserIDs[i] = schemas.UserID(fmt.Sprintf("user%05d", i))
	}
	long := schemas.Blocks{}
	for i := 0; len(schemas.Encode(long)) < schemas.MaxBlocksBytes-maxUserID; i++ {
		long.UserIDs = append(long.UserIDs, schemas.UserID(fmt.Sprintf("%05d", i)+strings.Repeat("x", 100)))
	}
	for user, full := range map[string]schemas.Blocks{"many": many, "long": long} {
		if _, err := kv.Put(ctx, user, schemas.Encode(full)); err != nil {
			t.Fatal(err)
		}
		u := schemas.UserID(user)
		if err := d.Block(ctx, u, "z"); err != nil {
			t.Errorf("%s: the last that fits: %v", user, err)
		}
		if err := d.Block(ctx, u, "z"); err != nil {
			t.Errorf("%s: the same again: %v", user, err)
		}
		over := schemas.UserID("z" + strings.Repeat("y", maxUserID-1))
		if err := d.Block(ctx, u, over); !errors.Is(err, directory.ErrBlockLimit) {
			t.Errorf("%s: one more: %v", user, err)
		}
		b, err := d.Blocks(ctx, u)
		if err != nil || len(b.UserIDs) != len(full.UserIDs)+1 || !b.Has("z") || b.Has(over) {
			t.Errorf("%s: %d are blocked (%v)", user, len(b.UserIDs), err)
		}
		if err := d.Unblock(ctx, u, "z"); err != nil {
			t.Error(err)
		}
		if err := d.Block(ctx, u, "zz"); err != nil {
			t.Errorf("%s: in the place of another: %v", user, err)
		}
	}
}
