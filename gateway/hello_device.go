package gateway

import (
	"context"

	"roost/schemas"
	"roost/streams/directory"
	"roost/streams/subject"
)

// device returns the device of a hello: the registered one that it names, or a new one. A
// device that is unclaimed has to claim the entries that wait for a first device.
func (s *Server) device(ctx context.Context, u schemas.UserID, hello *schemas.Hello) (schemas.Device, error) {
	if hello.DeviceID == "" {
		return s.devices.Register(ctx, u, hello.DeviceName, schemas.Request{})
	}
	person, err := s.directory.Registration(ctx, u)
	if err != nil {
		return schemas.Device{}, schemas.Unavailable(err)
	}
	device, ok := person.Device(hello.DeviceID)
	if !ok { // registered a moment ago on another gateway, removed, or never theirs
		fresh, err := s.directory.Fresh(ctx, u)
		if err != nil {
			return device, schemas.Unavailable(err)
		}
		person = &fresh.Registration
		if device, ok = person.Device(hello.DeviceID); !ok {
			return device, notYours(person, hello.DeviceID)
		}
	}
	if now := schemas.Now(); stale(device.LastActive, now) {
		// The deactivation of idle devices compares and sets the same record: the first
		// write wins.
		addr := subject.Address{User: u, Device: hello.DeviceID}
		found, err := s.directory.ChangeDevice(ctx, addr, func(d *schemas.Device) { d.LastActive = now })
		if err != nil {
			return device, schemas.Unavailable(err)
		}
		if !found {
			fresh, err := s.directory.Fresh(ctx, u)
			if err != nil {
				return device, schemas.Unavailable(err)
			}
			return device, notYours(&fresh.Registration, hello.DeviceID)
		}
	}
	return device, nil
}

// notYours tells a removed device from one of another user.
func notYours(p *directory.Registration, id schemas.DeviceID) error {
	if p.Revoked(id) {
		return errRemoved()
	}
	return schemas.Errorf(schemas.CodeForbidden, "device_id: is no device of yours. Register one with device_name.")
}
