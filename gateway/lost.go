package gateway

import (
	"context"

	"roost/schemas"
	"roost/streams/subject"
)

// Connections whose device was removed elsewhere, or whose account was deleted.
// Who does so tells the device's live subject, which is fast and may be lost; the
// change of the record in DEVICES is not lost, and every gateway hears of it.

// hold notes which device a connection is of, so that it hears of changes, and
// says if the device is no more. A change before this moment has taken the person
// out of the directory's cache, one after it finds the connection here.
func (s *Server) hold(ctx context.Context, c *conn, a subject.Address, d schemas.Device) error {
	now := schemas.Now()
	s.mu.Lock()
	if c.device, c.registered, c.noted = a.Device, d.CreatedAt, d.LastActive; stale(c.noted, now) {
		c.noted = now // the hello has just written it
	}
	s.mu.Unlock()
	person, err := s.directory.Registration(ctx, a.User)
	if err != nil {
		return schemas.Unavailable(err)
	}
	if person.RevokedSince(d) {
		return errRemoved()
	}
	return nil
}

func errRemoved() error {
	return schemas.Errorf(schemas.CodeDeviceRemoved, "device_id: was removed. Register the device anew with device_name.")
}

// devicesChanged hears of every change of anybody's devices and closes the
// connections of those that are no more.
func (s *Server) devicesChanged(u schemas.UserID, record schemas.Devices) {
	s.mu.Lock()
	var lost []*conn
	for _, c := range s.byUser[u] {
		if c.device != "" && record.Revoked(c.registeredDevice()) {
			lost = append(lost, c)
		}
	}
	s.mu.Unlock()
	for _, c := range lost {
		c.closeRemoved()
	}
}

// registeredDevice is the part of the device's record that tells whether it is removed.
// The caller holds server.mu, or runs after hold.
func (c *conn) registeredDevice() schemas.Device {
	return schemas.Device{DeviceID: c.device, CreatedAt: c.registered}
}

func (c *conn) closeRemoved() { c.close(schemas.CloseDeviceRemoved, "the device was removed") }
