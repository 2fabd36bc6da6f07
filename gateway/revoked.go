package gateway

import (
	"context"

	"roost/schemas"
)

// Connections whose device was removed elsewhere, or whose account was deleted. The process that
// removes a device publishes a notice on its live subject, which is fast and may be lost. The
// change of the record in DEVICES cannot be lost, and every gateway gets it.

// hold notes the device of a connection, so that the gateway closes the connection when the
// device is revoked. It fails if the device is revoked already: an earlier change has removed
// the user from the directory's cache, and a later one finds the connection in the registry.
func (s *Server) hold(ctx context.Context, c *conn, u schemas.UserID, d schemas.Device) error {
	s.conns.hold(c, d, schemas.Now())
	user, err := s.directory.Registration(ctx, u)
	if err != nil {
		return schemas.Unavailable(err)
	}
	if user.RevokedSince(d) {
		return errRemoved()
	}
	return nil
}

func errRemoved() error {
	return schemas.Errorf(schemas.CodeDeviceRemoved, "device_id: was removed. Register the device anew with device_name.")
}

// closeRevoked closes the connections of devices that a changed record does not have any more.
func (s *Server) closeRevoked(u schemas.UserID, record schemas.Devices) {
	for _, c := range s.conns.revoked(u, record) {
		c.closeRemoved()
	}
}

func (c *conn) closeRemoved() { c.close(schemas.CloseDeviceRemoved, "the device was removed") }
