package directory

import (
	"context"
	"errors"
	"slices"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// Blocks in 1:1 chats: one key a person in bucket BLOCKS with all whom they block,
// cached with the person.

// HidesPresence reports whether viewer may see neither when the user was online last nor
// whether they are now.
func (p *User) HidesPresence(viewer schemas.UserID) bool {
	return p.Settings.LastSeen == schemas.LastSeenNobody || p.Blocks(viewer)
}

// ErrBlockLimit: the person blocks as many as may be.
var ErrBlockLimit = errors.New("too many blocks")

// Blocks are all whom a user blocks, past the cache.
func (d *Directory) Blocks(ctx context.Context, u schemas.UserID) (schemas.Blocks, error) {
	b, _, _, err := jsapi.Get[schemas.Blocks](ctx, d.blocks, subject.UserKey(u))
	return b, err
}

// Block adds other to those whom u blocks; it may be there already. It fails with
// [ErrBlockLimit] where no more fit.
func (d *Directory) Block(ctx context.Context, u, other schemas.UserID) error {
	defer d.Forget(u)
	_, err := jsapi.Update(ctx, d.blocks, subject.UserKey(u), func(b schemas.Blocks, _ bool) (schemas.Blocks, error) {
		at, there := slices.BinarySearch(b.UserIDs, other)
		if there {
			return b, jsapi.ErrUnchanged
		}
		b.UserIDs = slices.Insert(b.UserIDs, at, other)
		if len(b.UserIDs) > schemas.MaxBlocks || len(schemas.Encode(b)) > schemas.MaxBlocksBytes {
			return b, ErrBlockLimit
		}
		return b, nil
	})
	return err
}

// Unblock takes other out again; that they are not there is no error.
func (d *Directory) Unblock(ctx context.Context, u, other schemas.UserID) error {
	defer d.Forget(u)
	_, err := jsapi.Update(ctx, d.blocks, subject.UserKey(u), func(b schemas.Blocks, _ bool) (schemas.Blocks, error) {
		at, there := slices.BinarySearch(b.UserIDs, other)
		if !there {
			return b, jsapi.ErrUnchanged
		}
		b.UserIDs = slices.Delete(b.UserIDs, at, at+1)
		return b, nil
	})
	return err
}
