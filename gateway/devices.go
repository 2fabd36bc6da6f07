package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"roost/schemas"
	"roost/streams"
	"roost/streams/subject"
)

// device is the device that a hello is of: the registered one that it names, or
// a new one. One that is unclaimed has to claim what came before it.
func (s *Server) device(ctx context.Context, u schemas.UserID, hello *schemas.Hello) (schemas.Device, error) {
	if hello.DeviceID == "" {
		return s.register(ctx, u, hello.DeviceName, schemas.Request{})
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
		// Who deactivates devices looks at this record, and so do we: whoever writes
		// first is right.
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
func notYours(p *streams.Registration, id schemas.DeviceID) error {
	if p.Lost(id) {
		return errRemoved()
	}
	return schemas.Errorf(schemas.CodeForbidden, "device_id: is no device of yours. Register one with device_name.")
}

// register adds a device to a user, under the id of the request where that has one.
func (s *Server) register(ctx context.Context, u schemas.UserID, name string, q schemas.Request) (schemas.Device, error) {
	now := schemas.Now()
	add := schemas.Device{DeviceID: schemas.DeviceID(q.ID), Name: name, CreatedAt: q.ID.Time(), LastActive: now}
	if q.ID == "" {
		add.DeviceID, add.CreatedAt = schemas.DeviceID(s.streams.Clock().NextULID()), now
	}
	device, err := s.directory.AddDevice(ctx, u, add, s.opts.MaxDevices)
	if errors.Is(err, streams.ErrDeviceLimit) {
		return device, schemas.Errorf(schemas.CodeDeviceLimit, "You have %d devices already; remove one first.", s.opts.MaxDevices)
	}
	if err != nil {
		if q.ID == "" && !errors.Is(err, streams.ErrDeleted) { // without an answer it may be registered
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
			defer cancel()
			s.takeBack(ctx, subject.Address{User: u, Device: device.DeviceID})
		}
		return device, s.gate.Refused(err)
	}
	return device, nil
}

// takeBack removes a device that was registered and of which nobody was told. Who tries
// again registers another one, and may have a few only. What fails is tried again later.
func (s *Server) takeBack(ctx context.Context, a subject.Address) {
	remove := func(ctx context.Context) error { return s.streams.TakeBack(ctx, a) }
	if err := remove(ctx); err != nil {
		s.log.Warn("a device that nobody knows of was not removed; it is tried again", "error", err)
		s.later.add(remove)
	}
}

// createDevice is POST /devices.
func (s *Server) createDevice(r *http.Request, u schemas.UserID) (int, any, error) {
	var body schemas.NewDevice
	if e := schemas.DecodeBody(r.Body, &body); e != nil {
		return 0, nil, e
	}
	if e := schemas.ValidateName("name", body.Name, schemas.MaxDeviceNameByte); e != nil {
		return 0, nil, e
	}
	q, _, err := s.request(r, u, &body)
	if err != nil {
		return 0, nil, err
	}
	device, err := s.register(r.Context(), u, body.Name, q)
	if err != nil {
		return 0, nil, err
	}
	if device.Unclaimed {
		if err := s.streams.Claim(r.Context(), subject.Address{User: u, Device: device.DeviceID}); err != nil {
			// Refused, the device would be there all the same, and nobody know of it.
			level := slog.LevelWarn
			if clientGone(r, err) {
				level = slog.LevelDebug
			}
			s.log.Log(r.Context(), level, "a device has not claimed what came before it; its hello does", "error", err)
		}
	}
	info := device.Info()
	info.LastActive = 0
	return http.StatusCreated, info, nil
}

// listDevices is GET /devices.
func (s *Server) listDevices(r *http.Request, u schemas.UserID) (int, any, error) {
	person, err := s.directory.Fresh(r.Context(), u)
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	list := make([]schemas.DeviceInfo, 0, len(person.Devices))
	for _, d := range person.Devices {
		list = append(list, d.Info())
	}
	return http.StatusOK, list, nil
}

// deleteDevice is DELETE /devices/{device_id}.
func (s *Server) deleteDevice(r *http.Request, u schemas.UserID) (int, any, error) {
	id, err := schemas.ParseDeviceID(r.PathValue("device_id"))
	if err != nil {
		return 0, nil, schemas.InvalidField("device_id", "%v.", err)
	}
	found, err := s.streams.RemoveDevice(r.Context(), subject.Address{User: u, Device: id})
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	if !found {
		return 0, nil, schemas.Errorf(schemas.CodeNotFound, "device_id: you have no such device.")
	}
	return http.StatusOK, nil, nil
}
