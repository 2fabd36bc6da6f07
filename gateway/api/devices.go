package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"roost/gateway/auth"
	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
	"roost/streams/subject"
)

// Devices registers and removes the devices of users.
type Devices struct {
	streams   *streams.Conn
	directory *directory.Directory
	gate      *auth.Gate
	max       int                                   // devices a user
	retry     func(func(ctx context.Context) error) // repeats what failed
	log       *slog.Logger
}

// NewDevices returns Devices of at most max for each user. It hands what could not be undone
// to retry, which calls it until it succeeds.
func NewDevices(c *streams.Conn, g *auth.Gate, max int, retry func(func(ctx context.Context) error), log *slog.Logger) *Devices {
	return &Devices{streams: c, directory: c.Directory(), gate: g, max: max, retry: retry, log: log}
}

// undoTimeout bounds the removal of a device after a failure.
const undoTimeout = 5 * time.Second

// Register adds a device to a user, with the id of the request if that has one.
func (d *Devices) Register(ctx context.Context, u schemas.UserID, name string, q schemas.Request) (schemas.Device, error) {
	now := schemas.Now()
	add := schemas.Device{DeviceID: schemas.DeviceID(q.ID), Name: name, CreatedAt: q.ID.Time(), LastActive: now}
	if q.ID == "" {
		add.DeviceID, add.CreatedAt = schemas.DeviceID(d.streams.Clock().NextULID()), now
	}
	device, err := d.directory.AddDevice(ctx, u, add, d.max)
	if errors.Is(err, directory.ErrDeviceLimit) {
		return device, schemas.Errorf(schemas.CodeDeviceLimit, "You have %d devices already; remove one first.", d.max)
	}
	if err != nil {
		if q.ID == "" && !errors.Is(err, directory.ErrDeleted) { // without an answer it may be registered
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
			defer cancel()
			d.TakeBack(ctx, subject.Address{User: u, Device: device.DeviceID})
		}
		return device, d.gate.Refused(err)
	}
	return device, nil
}

// TakeBack removes a device that was registered and whose client does not know of it. The
// client will register another one, and a user may have only a few. TakeBack retries later if
// it fails.
func (d *Devices) TakeBack(ctx context.Context, a subject.Address) {
	remove := func(ctx context.Context) error { return d.streams.TakeBack(ctx, a) }
	if err := remove(ctx); err != nil {
		d.log.Warn("a device that no client knows of was not removed; this is retried", "error", err)
		d.retry(remove)
	}
}

// create is POST /devices.
func (d *Devices) create(r *http.Request, u schemas.UserID) (int, any, error) {
	var body schemas.NewDevice
	if e := schemas.DecodeBody(r.Body, &body); e != nil {
		return 0, nil, e
	}
	if e := schemas.ValidateName("name", body.Name, schemas.MaxDeviceNameByte); e != nil {
		return 0, nil, e
	}
	q, _, err := requestID(d.streams, r, u, &body)
	if err != nil {
		return 0, nil, err
	}
	device, err := d.Register(r.Context(), u, body.Name, q)
	if err != nil {
		return 0, nil, err
	}
	if device.Unclaimed {
		if err := d.streams.Claim(r.Context(), subject.Address{User: u, Device: device.DeviceID}); err != nil {
			// After an error the device would exist, and no client would know of it.
			level := slog.LevelWarn
			if clientGone(r, err) {
				level = slog.LevelDebug
			}
			d.log.Log(r.Context(), level, "a first device has not claimed the waiting entries; its hello will", "error", err)
		}
	}
	info := device.Info()
	info.LastActive = 0
	return http.StatusCreated, info, nil
}

// list is GET /devices.
func (d *Devices) list(r *http.Request, u schemas.UserID) (int, any, error) {
	person, err := d.directory.Fresh(r.Context(), u)
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	list := make([]schemas.DeviceInfo, 0, len(person.Devices))
	for _, device := range person.Devices {
		list = append(list, device.Info())
	}
	return http.StatusOK, list, nil
}

// delete is DELETE /devices/{device_id}.
func (d *Devices) delete(r *http.Request, u schemas.UserID) (int, any, error) {
	id, err := schemas.ParseDeviceID(r.PathValue("device_id"))
	if err != nil {
		return 0, nil, schemas.InvalidField("device_id", "%v.", err)
	}
	found, err := d.streams.RemoveDevice(r.Context(), subject.Address{User: u, Device: id})
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	if !found {
		return 0, nil, schemas.Errorf(schemas.CodeNotFound, "device_id: you have no such device.")
	}
	return http.StatusOK, nil, nil
}
