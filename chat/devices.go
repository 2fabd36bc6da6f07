package chat

import (
	"context"
	"errors"
	"fmt"

	"roost/client"
	"roost/schemas"
)

// devices has the commands about the user's devices.
type devices struct {
	account *account
	screen  *screen
	this    schemas.DeviceID
}

func (d *devices) commands() []command {
	return []command{
		{"/devices", "", "your devices", 0, 0, d.list},
		{"/device remove", "NAME", "remove another device and its inbox", 1, -1, d.remove},
	}
}

func (d *devices) load(ctx context.Context) (devices []schemas.DeviceInfo, err error) {
	err = d.account.call(ctx, func(ctx context.Context, api *client.API) (err error) {
		devices, err = api.Devices(ctx)
		return err
	})
	return devices, err
}

func (d *devices) list(ctx context.Context, _ args) error {
	devices, err := d.load(ctx)
	if err != nil {
		return err
	}
	for _, device := range devices {
		note := ""
		if device.DeviceID == d.this {
			note = ", this one"
		}
		d.screen.line("%s  %s, since %s%s", device.DeviceID, clean(device.Name), day(device.CreatedAt), note)
	}
	return nil
}

func (d *devices) remove(ctx context.Context, args args) error {
	devices, err := d.load(ctx)
	if err != nil {
		return err
	}
	var found []schemas.DeviceInfo
	for _, device := range devices {
		if device.Name == args.text || string(device.DeviceID) == args.text {
			found = append(found, device)
		}
	}
	switch {
	case len(found) == 0:
		return fmt.Errorf("you have no device %s; /devices lists yours", clean(args.text))
	case len(found) > 1:
		return errors.New("several of your devices have that name; use the id that /devices shows")
	case found[0].DeviceID == d.this:
		return errors.New("that is this device; remove it from another one")
	}
	err = d.account.call(ctx, func(ctx context.Context, api *client.API) error { return api.RemoveDevice(ctx, found[0].DeviceID) })
	if err != nil {
		return err
	}
	d.screen.line("The device %s is removed.", clean(found[0].Name))
	return nil
}
