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

// An account is deleted in steps, each of which may be repeated by anybody. The
// record in DEVICES says how far it has come:
//
//	DeletedAt   from here on there is no such person and no such device; the users who
//	            wrote with them are told, and then everything that is stored about them
//	            is deleted (DeleteAccount, EraseAccount)
//	Erased      it is deleted, what came late included, and tokens from before are
//	            refused (FinishErasure, by a worker); the name is free once ReservedUntil
//	            is past
//	no record   tokens from before have expired (ForgetAccount, by a worker)

const (
	// EraseSettle is how long after the deletion everything has arrived that others
	// still stored for the person, not knowing of it: they know within cacheTTL.
	EraseSettle = directory.CacheTTL + 30*time.Second
	// MinEraseMemory is how long a deleted account is remembered at least: as long as its
	// tokens might be good.
	MinEraseMemory = 31 * 24 * time.Hour
)

// DeleteAccount has a person leave all groups, makes them not exist any more, ends
// the connections of their devices and deletes what is stored about them, but
// history, which is a worker's to delete. The name stays reserved for that time. It
// may be repeated. It returns when the account was deleted; zero where there is none.
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
		// No message of theirs has a later id.
		at := max(schemas.Now(), c.clock.Next().Time(), all.TokensAfter+1)
		for _, d := range devices { // by a clock that is ahead
			at = max(at, d.CreatedAt)
		}
		left := schemas.Devices{Devices: []schemas.Device{}, Removed: all.Removed, DeletedAt: at}
		if reserve > 0 {
			left.ReservedUntil = at + schemas.Timestamp(reserve.Milliseconds())
		}
		for _, d := range devices { // one that comes back is told
			left = left.WithRemoved(d.DeviceID)
		}
		return left, nil
	})
	if err != nil || !record.Deleted() {
		return 0, err
	}
	for _, d := range devices { // the record tells as well, a moment later
		c.Bus().PublishRemoved(subject.Address{User: u, Device: d.DeviceID})
	}
	if record.Erased {
		return record.DeletedAt, nil
	}
	return record.DeletedAt, c.EraseAccount(ctx, u)
}

// EraseAccount tells the users who wrote with somebody whose account was deleted, and
// deletes what is stored about the account, history excepted. It may be repeated, by
// several at once: also after the erasure is finished, for what came late. A worker
// may not write to inboxes, so it calls [Conn.RequestErasure].
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

// erasure is what an erasure deletes, and in which state of the account.
type erasure struct {
	all   []holding
	due   func(schemas.Devices) bool
	tells bool // the users who wrote with the person
}

// withoutAccount leaves out the record in ACCOUNTS. Once an erasure is finished, that is
// of whoever is taking the name: it is made before the person is.
func withoutAccount(all []holding) []holding {
	return slices.DeleteFunc(all, func(h holding) bool { return h.stream == subject.Accounts.Stream() })
}

// erasable is what goes with the account.
func (c *Conn) erasable(u schemas.UserID) []holding {
	return slices.DeleteFunc(c.personal(u), func(h holding) bool { return h.stays })
}

// erase deletes all that is stored about somebody in whose stead is a record that is
// due. The ends of the streams are read before the record is confirmed, so
// nothing that a later person of that name stores is deleted, whenever the rest is
// done.
func (c *Conn) erase(ctx context.Context, u schemas.UserID, e erasure) error {
	if err := c.allOnRecord(ctx); err != nil { // what is written later stays
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
		return err // or somebody was faster
	}
	if err := c.groups.RemoveDeleted(ctx, u, ends[subject.Memberships.Stream()]); err != nil { // found by what is deleted now
		return err
	}
	if e.tells { // of what proves with whom they wrote, and is deleted then
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
// still due. It writes the record also as it is, which a read from a replica does not
// replace: whatever was stored before the call is of the deleted account.
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

// endOf is the sequence that a stream gave last.
func (c *Conn) endOf(ctx context.Context, stream string) (uint64, error) {
	info, err := c.api.Stream(ctx, stream)
	if err != nil {
		return 0, err
	}
	return info.State.LastSeq, nil
}

// FinishErasure says that everything of a deleted account is deleted: its name may
// be taken again, unless it is reserved. Call it after [EraseSettle], with its history deleted, behind
// one more [Conn.EraseAccount]. It is first where nobody has said so before.
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

// EraseMemory is how long a deleted account is remembered: [MinEraseMemory], and as long as
// messages of it wait for others, whose receipts name it.
func (c *Conn) EraseMemory(ctx context.Context) (time.Duration, error) {
	info, err := c.api.Stream(ctx, subject.InboxStream(0))
	if err != nil {
		return 0, err
	}
	return max(MinEraseMemory, info.Config.MaxAge+24*time.Hour), nil
}

// ForgetAccount forgets that an account was deleted, once its tokens are of no use
// any more and its name is not reserved, and what others still stored of it meanwhile:
// receipts for its messages. Where the name was taken again nothing is done.
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
	// What was written since then is newer, and stays.
	if err := c.purge(ctx, subject.Devices.Stream(), subject.Devices.Subject(subject.UserKey(u)), revision); err != nil {
		return fmt.Errorf("failed to forget a deleted account: %w", err)
	}
	return nil
}
