package streams

import (
	"context"
	"fmt"
	"slices"

	"roost/schemas"
	"roost/streams/directory"
	"roost/streams/publisher"
	"roost/streams/subject"
)

// Claim moves the messages that came while a user had no device to their first device.
// It may be repeated at any point: the copies keep their ids, and Claim removes the
// originals only after the copies are durable.
func (c *Conn) Claim(ctx context.Context, a subject.Address) error {
	p := c.partition(a.User)
	from := subject.Inbox(p, subject.Address{User: a.User, Device: subject.UnclaimedDevice})
	for {
		entries, more, err := c.api.Read(ctx, subject.InboxStream(p), from, 0, schemas.MaxInFlight)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			break
		}
		copies := make([]publisher.Entry, 0, len(entries))
		for _, e := range entries {
			id, expires := fmt.Sprintf("unclaimed-%d", e.Sequence), schemas.Timestamp(0) // for an entry that cannot be read: the device's consumer counts it
			if head, err := schemas.DecodeEntryHead(e.Data); err == nil {
				id, expires = string(head.MessageID), head.ExpiresAt
			}
			one := inboxEntry(p, a, id, e.Data)
			one.ExpiresAt = expires
			copies = append(copies, one)
		}
		if err := c.publisher.StoreAll(ctx, subject.InboxStream(p), copies); err != nil {
			return fmt.Errorf("failed to claim: %w", err)
		}
		if err := c.purge(ctx, subject.InboxStream(p), from, entries[len(entries)-1].Sequence); err != nil {
			return fmt.Errorf("failed to claim: %w", err)
		}
		if !more {
			break
		}
	}
	_, err := c.directory.ChangeDevice(ctx, a, func(d *schemas.Device) { d.Unclaimed = false })
	return err
}

// RemoveDevice removes a device of a user: it closes the connection, and deletes the
// inbox and the sends. It returns false if there is no such device. If the device was
// removed before, perhaps in a call that was cut short, RemoveDevice still deletes the
// rest.
func (c *Conn) RemoveDevice(ctx context.Context, a subject.Address) (bool, error) {
	_, last, err := c.presence.LastSeen(ctx, a)
	if err != nil {
		return false, err
	}
	return c.removeDevice(ctx, a, directory.Removal{Seen: last})
}

// TakeBack is RemoveDevice for a device whose registration may still be in flight: the
// registration has no effect afterwards.
func (c *Conn) TakeBack(ctx context.Context, a subject.Address) error {
	_, err := c.removeDevice(ctx, a, directory.Removal{TakeBack: true})
	return err
}

func (c *Conn) removeDevice(ctx context.Context, a subject.Address, r directory.Removal) (bool, error) {
	found, err := c.directory.Remove(ctx, a, r)
	if err != nil {
		return false, err
	}
	if !found {
		person, err := c.directory.Registration(ctx, a.User) // a fresh read: the cache evicted it
		if err != nil || !slices.Contains(person.Removed, a.Device) {
			return false, err
		}
	}
	c.Bus().PublishRemoved(a)
	p := c.partition(a.User)
	if err := c.purgeAll(ctx, subject.InboxStream(p), subject.Inbox(p, a)); err != nil {
		return found, fmt.Errorf("failed to delete the inbox: %w", err)
	}
	if err := c.purgeAll(ctx, subject.SentStream(p), subject.Sent(p, a)); err != nil {
		return found, fmt.Errorf("failed to delete the sends: %w", err)
	}
	if err := c.purgeAll(ctx, subject.Acks.Stream(), subject.Acks.Subject(subject.DeviceKey(a))); err != nil {
		return found, fmt.Errorf("failed to delete what the device acknowledged: %w", err)
	}
	return found, c.presence.Delete(ctx, a) // last, see FinishRemovals
}
