package directory

import (
	"context"
	"errors"
	"slices"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// ErrDeviceLimit means that the user has as many devices as are allowed.
var ErrDeviceLimit = errors.New("too many devices")

// AddDevice registers dev unless the user has limit devices already. The first device of
// a user is marked as the one that claims the messages that came before it. AddDevice
// may be repeated: a device that is registered, or was registered and removed, stays as
// it is.
func (d *Directory) AddDevice(ctx context.Context, u schemas.UserID, dev schemas.Device, limit int) (schemas.Device, error) {
	defer d.Forget(u)
	_, err := jsapi.Update(ctx, d.devices, subject.UserKey(u), func(all schemas.Devices, _ bool) (schemas.Devices, error) {
		if all.Deleted() {
			return all, ErrDeleted
		}
		for _, known := range all.Devices {
			if known.DeviceID == dev.DeviceID {
				dev = known
				return all, jsapi.ErrUnchanged
			}
		}
		if slices.Contains(all.Removed, dev.DeviceID) {
			dev.Unclaimed = false
			return all, jsapi.ErrUnchanged
		}
		if len(all.Devices) >= limit {
			return all, ErrDeviceLimit
		}
		dev.CreatedAt = max(dev.CreatedAt, all.TokensAfter+1) // so that it counts as a device of this account
		dev.Unclaimed = len(all.Devices) == 0
		all.Devices = append(all.Devices, dev)
		return all, nil
	})
	return dev, err
}

// ChangeDevice applies change to one device of a user. It returns false if the device is
// not registered.
func (d *Directory) ChangeDevice(ctx context.Context, a subject.Address, change func(*schemas.Device)) (bool, error) {
	defer d.Forget(a.User)
	found := false
	_, err := jsapi.Update(ctx, d.devices, subject.UserKey(a.User), func(all schemas.Devices, _ bool) (schemas.Devices, error) {
		found = false
		for i := range all.Devices {
			if all.Devices[i].DeviceID == a.Device {
				change(&all.Devices[i])
				found = true
			}
		}
		if !found {
			return all, jsapi.ErrUnchanged
		}
		return all, nil
	})
	return found, err
}

// Removal describes how a device is removed.
type Removal struct {
	// May checks with the newest record whether the removal is still allowed; nil allows
	// it.
	May func(schemas.Device) bool
	// Seen is when the device was last connected, by its session.
	Seen schemas.Timestamp
	// TakeBack is for a device that was never used and that no client knows. A record
	// without it is written unchanged, so that a registration in flight fails.
	TakeBack bool
}

// Remove removes a device of its user, as r says; false if the device is not there. If
// the device had still to claim messages, the oldest remaining device claims them.
func (d *Directory) Remove(ctx context.Context, a subject.Address, r Removal) (bool, error) {
	defer d.Forget(a.User)
	found := false
	_, err := jsapi.Update(ctx, d.devices, subject.UserKey(a.User), func(all schemas.Devices, exists bool) (schemas.Devices, error) {
		kept, gone := make([]schemas.Device, 0, len(all.Devices)), schemas.Device{}
		for _, dev := range all.Devices {
			if dev.DeviceID != a.Device || r.May != nil && !r.May(dev) {
				kept = append(kept, dev)
			} else {
				gone = dev
			}
		}
		if gone.Unclaimed && len(kept) > 0 {
			kept[0].Unclaimed = true
		}
		if found = len(kept) < len(all.Devices); !found {
			if r.TakeBack && exists && !all.Deleted() {
				return all, nil
			}
			return all, jsapi.ErrUnchanged
		}
		all.Devices = kept
		if !r.TakeBack {
			all.LastActive = max(all.LastActive, gone.LastActive, r.Seen)
		}
		return all.WithRemoved(a.Device), nil
	})
	return found, err
}

// Record reads the record of the devices of a user, and its revision. It does not use
// the cache.
func (d *Directory) Record(ctx context.Context, u schemas.UserID) (record schemas.Devices, revision uint64, ok bool, err error) {
	return jsapi.Get[schemas.Devices](ctx, d.devices, subject.UserKey(u))
}

// ChangeRecord changes the record of the devices of a user, as [jsapi.Update] does.
func (d *Directory) ChangeRecord(ctx context.Context, u schemas.UserID, change func(record schemas.Devices, exists bool) (schemas.Devices, error)) (schemas.Devices, error) {
	defer d.Forget(u)
	return jsapi.Update(ctx, d.devices, subject.UserKey(u), change)
}
