package directory

import (
	"slices"

	"roost/schemas"
)

// Blocks reports whether the user blocks u.
func (p *User) Blocks(u schemas.UserID) bool { return p.Blocked.Has(u) }

// User is the data of a user that a send needs. It is shared: do not change it.
type User struct {
	Registration
	Settings schemas.Settings
	Blocked  schemas.Blocks
}

// Registration is the data of a user that a connect needs: a User without settings and
// blocks. It is shared: do not change it.
type Registration struct {
	Exists  bool
	Devices []schemas.Device
	Deleted bool               // the account was deleted, and its erasure is not finished
	Taken   bool               // the name is that of a deleted account, and is not free yet
	Removed []schemas.DeviceID // the devices removed last
	// LastActive is when a device that was removed from Devices was last connected.
	LastActive schemas.Timestamp
	// TokensAfter is when an account of that name was last deleted: no earlier token is
	// valid.
	TokensAfter schemas.Timestamp
}

// Device finds one of the user's devices.
func (p *Registration) Device(id schemas.DeviceID) (schemas.Device, bool) {
	for _, d := range p.Devices {
		if d.DeviceID == id {
			return d, true
		}
	}
	return schemas.Device{}, false
}

// Revoked reports whether a device of the user was removed. A device that is not in
// Devices need not be revoked: it may be newer than the record that was read.
func (p *Registration) Revoked(id schemas.DeviceID) bool {
	return p.Deleted || slices.Contains(p.Removed, id)
}

// RevokedSince is Revoked for a device that was registered at a known time. The deletion
// of an earlier account of the same name does not concern it.
func (p *Registration) RevokedSince(d schemas.Device) bool {
	return p.TokensAfter > 0 && d.CreatedAt <= p.TokensAfter || slices.Contains(p.Removed, d.DeviceID)
}

// Had reports whether the account of this name already existed at the time of that id:
// the account was not deleted since, and it is not a later one.
func (p *Registration) Had(id schemas.MessageID) bool {
	return p.Exists && !p.PredatesAccount(id)
}

// PredatesAccount reports whether an id is older than this account: it belongs to a
// previous owner of the name. The user gets no receipts of such a message, and may not
// change it.
func (p *Registration) PredatesAccount(id schemas.MessageID) bool {
	return p.TokensAfter > 0 && id.Time() <= p.TokensAfter
}
