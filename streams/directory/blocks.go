package directory

import (
	"context"
	"errors"
	"slices"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// Blocks in 1:1 chats: bucket BLOCKS has one key for each user, with all users whom they
// block. It is cached with the user.

// HidesPresence reports whether viewer may see neither when the user was last online nor
// whether they are online now.
func (p *User) HidesPresence(viewer schemas.UserID) bool {
	return p.Settings.LastSeen == schemas.LastSeenNobody || p.Blocks(viewer)
}

// ErrBlockLimit means that the user blocks as many users as are allowed.
var ErrBlockLimit = errors.New("too many blocks")

// Blocks returns the users whom a user blocks. It does not use the cache.
func (d *Directory) Blocks(ctx context.Context, u schemas.UserID) (schemas.Blocks, error) {
	b, _, _, err := jsapi.Get[schemas.Blocks](ctx, d.blocks, subject.UserKey(u))
	return b, err
}

// Block adds other to the users whom u blocks; it may be there already. It fails with
// [ErrBlockLimit] if the list is full.
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

// Unblock removes other from that list. It is no error if other is not on it.
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
