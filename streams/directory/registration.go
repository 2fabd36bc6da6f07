package directory

import (
	"slices"

	"roost/schemas"
)

// Blocks says whether the person does not want to hear of u.
func (p *User) Blocks(u schemas.UserID) bool { return p.Blocked.Has(u) }

// User is what a send needs to know of a user. It is shared: do not change it.
type User struct {
	Registration
	Settings schemas.Settings
	Blocked  schemas.Blocks
}

// Registration is what a connect needs to know of a user: a User without what
// they chose. It is shared: do not change it.
type Registration struct {
	Exists  bool
	Devices []schemas.Device
	Deleted bool               // the account was deleted, and not everything of it yet
	Taken   bool               // the name is that of a deleted account, and nobody may have it yet
	Removed []schemas.DeviceID // the devices removed last
	// LastActive is when a device that is among Devices no more was connected last.
	LastActive schemas.Timestamp
	// TokensAfter is when an account of that name was deleted last: no token from
	// before is good any more.
	TokensAfter schemas.Timestamp
}

// Device finds one of the person's devices.
func (p *Registration) Device(id schemas.DeviceID) (schemas.Device, bool) {
	for _, d := range p.Devices {
		if d.DeviceID == id {
			return d, true
		}
	}
	return schemas.Device{}, false
}

// Revoked says whether a device of the user was removed. That a device is not among
// Devices does not say so: it may be newer than what was read.
func (p *Registration) Revoked(id schemas.DeviceID) bool {
	return p.Deleted || slices.Contains(p.Removed, id)
}

// RevokedSince is Revoked for a device that was registered at a known time. The deletion
// of an earlier account of the same name does not concern it.
func (p *Registration) RevokedSince(d schemas.Device) bool {
	return p.TokensAfter > 0 && d.CreatedAt <= p.TokensAfter || slices.Contains(p.Removed, d.DeviceID)
}

// Had says whether the account of this name existed at the time of that id already: the
// account was not deleted since, and it is not a later one.
func (p *Registration) Had(id schemas.MessageID) bool {
	return p.Exists && !p.PredatesAccount(id)
}

// PredatesAccount says whether an id is older than this account: it belongs to a previous
// owner of the name. The user is not told of receipts of such a message, and may not
// change it.
func (p *Registration) PredatesAccount(id schemas.MessageID) bool {
	return p.TokensAfter > 0 && id.Time() <= p.TokensAfter
}
