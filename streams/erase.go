package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"roost/schemas"
	"roost/streams/directory"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// An account is deleted in steps. Any process may repeat each of them. The record in
// DEVICES says which steps are done:
//
//	DeletedAt   from here on the user and their devices do not exist; the users who wrote
//	            with them get a notice, and then all stored data of the user is deleted
//	            (DeleteAccount, EraseAccount)
//	Erased      the data is deleted, late arrivals included, and earlier tokens are
//	            refused (FinishErasure, by a worker); the name is free when ReservedUntil
//	            is past
//	no record   earlier tokens have expired (ForgetAccount, by a worker)

const (
	// EraseSettle is how long after the deletion other processes may still store data
	// for the user. They learn of the deletion within cacheTTL.
	EraseSettle = directory.CacheTTL + 30*time.Second
	// MinEraseMemory is the minimum time for which the record of a deleted account is
	// kept: as long as its tokens might be valid.
	MinEraseMemory = 31 * 24 * time.Hour
)

// DeleteAccount removes a user from all groups, deletes the account, closes the
// connections of their devices and deletes their stored data except history, which a
// worker deletes. The name stays reserved for the time given. DeleteAccount may be
// repeated. It returns the time at which the account was deleted, or zero if there is no
// such account.
func (c *Conn) DeleteAccount(ctx context.Context, u schemas.UserID, reserve time.Duration) (schemas.Timestamp, error) {
	defer c.directory.Forget(u)
	if before, _, ok, err := c.directory.Record(ctx, u); err != nil || !ok {
		return 0, err
	} else if !before.Deleted() {
		if err := c.groups.LeaveAll(ctx, u); err != nil {
			return 0, err
		}
	}
	var devices []schemas.Device
	record, err := c.directory.ChangeRecord(ctx, u, func(all schemas.Devices, exists bool) (schemas.Devices, error) {
		if !exists || all.Deleted() {
			return all, jsapi.ErrUnchanged
		}
		devices = all.Devices
		// No message of this user has a later id.
		at := max(schemas.Now(), c.clock.Next().Time(), all.TokensAfter+1)
		for _, d := range devices { // if a clock was ahead
			at = max(at, d.CreatedAt)
		}
		left := schemas.Devices{Devices: []schemas.Device{}, Removed: all.Removed, DeletedAt: at}
		if reserve > 0 {
			left.ReservedUntil = at + schemas.Timestamp(reserve.Milliseconds())
		}
		for _, d := range devices { // a device that reconnects gets the reason
			left = left.WithRemoved(d.DeviceID)
		}
		return left, nil
	})
	if err != nil || !record.Deleted() {
		return 0, err
	}
	for _, d := range devices { // the record has the same effect, a moment later
		c.Bus().PublishRemoved(subject.Address{User: u, Device: d.DeviceID})
	}
	if record.Erased {
		return record.DeletedAt, nil
	}
	return record.DeletedAt, c.EraseAccount(ctx, u)
}

// EraseAccount notifies the users who wrote with the user of a deleted account, and
// deletes the account's stored data except history. It may be repeated, and several
// processes may run it at once. After the erasure is finished, it deletes data that
// arrived late. A worker may not write to inboxes, so it calls [Conn.RequestErasure].
func (c *Conn) EraseAccount(ctx context.Context, u schemas.UserID) error {
	record, _, ok, err := c.directory.Record(ctx, u)
	if err != nil || !ok || !record.Deleted() {
		return err
	}
	all := c.erasable(u)
	if record.Erased {
		all = withoutAccount(all)
	}
	return c.erase(ctx, u, erasure{all: all, due: func(d schemas.Devices) bool { return d.Erased == record.Erased }, tells: true})
}

// erasure is the data that an erasure deletes, and the state that the account must have.
type erasure struct {
	all   []holding
	due   func(schemas.Devices) bool
	tells bool // notify the users who wrote with this user
}

// withoutAccount leaves out the record in ACCOUNTS. Once an erasure is finished, that
// record may belong to a new owner of the name: it is written before the new user
// exists.
func withoutAccount(all []holding) []holding {
	return slices.DeleteFunc(all, func(h holding) bool { return h.stream == subject.Accounts.Stream() })
}

// erasable returns the data that is deleted with the account.
func (c *Conn) erasable(u schemas.UserID) []holding {
	return slices.DeleteFunc(c.personal(u), func(h holding) bool { return h.stays })
}

// erase deletes all stored data of a user if the record of their deleted account says
// that the erasure is due. It reads the ends of the streams before it confirms the
// record. So it deletes nothing that a later owner of the name stores, however late the
// rest is done.
func (c *Conn) erase(ctx context.Context, u schemas.UserID, e erasure) error {
	if err := c.allOnRecord(ctx); err != nil { // records written later stay
		return err
	}
	ends := make(map[string]uint64, len(e.all))
	for _, h := range e.all {
		if _, ok := ends[h.stream]; ok {
			continue
		}
		end, err := c.endOf(ctx, h.stream)
		if err != nil {
			return err
		}
		ends[h.stream] = end
	}
	record, due, err := c.confirmErasure(ctx, u, e)
	if err != nil || !due {
		return err // or another process was faster
	}
	if err := c.groups.RemoveDeleted(ctx, u, ends[subject.Memberships.Stream()]); err != nil { // it finds the groups by the records deleted below
		return err
	}
	if e.tells { // by records that prove with whom they wrote, and that are deleted below
		if due, err := c.tellPeers(ctx, u, e, record.Notice, ends); err != nil || !due {
			return err
		}
	}
	for _, h := range e.all {
		if err := c.purge(ctx, h.stream, h.subject, ends[h.stream]); err != nil {
			return fmt.Errorf("failed to delete what is stored of a person: %w", err)
		}
	}
	return nil
}

// confirmErasure returns the record of a deleted account, and whether the erasure is
// still due. It also writes the record unchanged, which a read from a replica does not
// replace: all data stored before the call belongs to the deleted account.
func (c *Conn) confirmErasure(ctx context.Context, u schemas.UserID, e erasure) (record schemas.Devices, due bool, err error) {
	record, err = c.directory.ChangeRecord(ctx, u, func(d schemas.Devices, _ bool) (schemas.Devices, error) {
		if !d.Deleted() || !e.due(d) {
			return d, directory.ErrDeleted
		}
		if d.Notice == "" {
			d.Notice = c.clock.Next()
		}
		return d, nil
	})
	if errors.Is(err, directory.ErrDeleted) {
		return record, false, nil
	}
	return record, err == nil, err
}

// endOf returns the last sequence of a stream.
func (c *Conn) endOf(ctx context.Context, stream string) (uint64, error) {
	info, err := c.api.Stream(ctx, stream)
	if err != nil {
		return 0, err
	}
	return info.State.LastSeq, nil
}

// FinishErasure records that all data of a deleted account is deleted: its name may be
// taken again, unless it is reserved. Call it [EraseSettle] after the deletion, when the
// history is deleted, and after one more [Conn.EraseAccount]. first is true if no
// earlier call recorded it.
func (c *Conn) FinishErasure(ctx context.Context, u schemas.UserID) (first bool, err error) {
	defer c.directory.Forget(u)
	_, err = c.directory.ChangeRecord(ctx, u, func(d schemas.Devices, _ bool) (schemas.Devices, error) {
		if first = d.Deleted() && !d.Erased; !first {
			return d, jsapi.ErrUnchanged
		}
		d.Erased = true
		return d, nil
	})
	return first && err == nil, err
}

// EraseMemory returns how long the record of a deleted account is kept:
// [MinEraseMemory], and as long as inboxes of others hold its messages, whose receipts
// name it.
func (c *Conn) EraseMemory(ctx context.Context) (time.Duration, error) {
	info, err := c.api.Stream(ctx, subject.InboxStream(0))
	if err != nil {
		return 0, err
	}
	return max(MinEraseMemory, info.Config.MaxAge+24*time.Hour), nil
}

// ForgetAccount deletes the record of a deleted account after its tokens have expired
// and its name is not reserved. It also deletes the receipts for its messages that
// others stored meanwhile. If the name was taken again it does nothing.
func (c *Conn) ForgetAccount(ctx context.Context, u schemas.UserID) error {
	late := erasure{all: withoutAccount(c.erasable(u)), due: func(d schemas.Devices) bool { return d.Erased }}
	if err := c.erase(ctx, u, late); err != nil {
		return err
	}
	defer c.directory.Forget(u)
	record, revision, ok, err := c.directory.Record(ctx, u)
	if err != nil || !ok || !record.Erased {
		return err
	}
	// Records written since then are newer, and stay.
	if err := c.purge(ctx, subject.Devices.Stream(), subject.Devices.Subject(subject.UserKey(u)), revision); err != nil {
		return fmt.Errorf("failed to forget a deleted account: %w", err)
	}
	return nil
}
