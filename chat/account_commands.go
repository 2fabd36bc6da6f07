package chat

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"roost/client"
	"roost/schemas"
)

// Bounds of what takes longer than chatCallTime.
const (
	chatExportTime = 10 * time.Minute
	chatDeleteTime = time.Minute
)

func accountCommands() []chatCommand {
	return []chatCommand{
		{"/devices", "", "your devices", 0, 0, (*chat).devices},
		{"/device remove", "NAME", "end another one, and what waits for it", 1, -1, (*chat).deviceRemove},
		{"/set", "", "your settings", 0, 0, (*chat).settings},
		{"/set history", "on|off", "store 90 days of your chats; off deletes them", 1, 1, (*chat).setHistory},
		{"/set lastseen", "everyone|nobody", "who sees you online", 1, 1, (*chat).setLastSeen},
		{"/set receipts", "on|off", "say what you read, and see what others read", 1, 1, (*chat).setReceipts},
		{"/export", "FILE", "write all that is stored about you", 1, -1, (*chat).export},
		{"/delete-account", "[YOUR NAME]", "say what goes; with your name, do it", 0, -1, (*chat).deleteAccount},
	}
}

func (c *chat) loadDevices(ctx context.Context) (devices []schemas.DeviceInfo, err error) {
	err = c.account.call(ctx, func(ctx context.Context, api *client.API) (err error) {
		devices, err = api.Devices(ctx)
		return err
	})
	return devices, err
}

func (c *chat) devices(ctx context.Context, _ chatArgs) error {
	devices, err := c.loadDevices(ctx)
	if err != nil {
		return err
	}
	this := c.client.Welcome().DeviceID
	for _, d := range devices {
		note := ""
		if d.DeviceID == this {
			note = ", this one"
		}
		c.screen.line("%s  %s, since %s%s", d.DeviceID, clean(d.Name), d.CreatedAt.Time().Format("2006-01-02"), note)
	}
	return nil
}

func (c *chat) deviceRemove(ctx context.Context, args chatArgs) error {
	devices, err := c.loadDevices(ctx)
	if err != nil {
		return err
	}
	var found []schemas.DeviceInfo
	for _, d := range devices {
		if d.Name == args.text || string(d.DeviceID) == args.text {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 0:
		return fmt.Errorf("you have no device %s; /devices lists yours", clean(args.text))
	case len(found) > 1:
		return errors.New("several of your devices have that name; take the id that /devices shows")
	case found[0].DeviceID == c.client.Welcome().DeviceID:
		return errors.New("that is this device; remove it from another one")
	}
	err = c.account.call(ctx, func(ctx context.Context, api *client.API) error { return api.RemoveDevice(ctx, found[0].DeviceID) })
	if err != nil {
		return err
	}
	c.screen.line("The device %s is removed.", clean(found[0].Name))
	return nil
}

func (c *chat) settings(ctx context.Context, _ chatArgs) error {
	return c.change(ctx, (*client.API).Settings)
}

func (c *chat) setHistory(ctx context.Context, args chatArgs) error {
	days, err := parseHistory(args.words[0])
	if err != nil {
		return err
	}
	return c.set(ctx, schemas.SettingsChange{HistoryStorage: days})
}

func (c *chat) setLastSeen(ctx context.Context, args chatArgs) error {
	seen := schemas.LastSeen(args.words[0])
	return c.set(ctx, schemas.SettingsChange{LastSeen: &seen})
}

func (c *chat) setReceipts(ctx context.Context, args chatArgs) error {
	on, err := parseOn(args.words[0])
	if err != nil {
		return err
	}
	return c.set(ctx, schemas.SettingsChange{ReadReceipts: &on})
}

func (c *chat) set(ctx context.Context, change schemas.SettingsChange) error {
	return c.change(ctx, func(api *client.API, ctx context.Context) (schemas.UserSettings, error) {
		return api.ChangeSettings(ctx, change)
	})
}

// change shows the settings that a request answers.
func (c *chat) change(ctx context.Context, request func(*client.API, context.Context) (schemas.UserSettings, error)) error {
	var settings schemas.UserSettings
	err := c.account.call(ctx, func(ctx context.Context, api *client.API) (err error) {
		settings, err = request(api, ctx)
		return err
	})
	if err != nil {
		return err
	}
	c.screen.line("history %s, lastseen %s, receipts %s", onOff(settings.HistoryStorage > 0),
		clean(string(settings.LastSeen)), onOff(settings.ReadReceipts))
	return nil
}

// export begins to write a file; the chat goes on meanwhile.
func (c *chat) export(ctx context.Context, args chatArgs) error {
	if c.exporting {
		return errors.New("an export is under way; wait for its end")
	}
	file, err := os.OpenFile(args.text, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already; name another file", args.text)
	}
	if err != nil {
		return err
	}
	c.exporting = true
	c.wg.Go(func() {
		items, err := c.account.export(ctx, file)
		select {
		case c.exports <- exported{file.Name(), items, err}:
		case <-ctx.Done():
		}
	})
	return nil
}

// export fills a file and closes it. A file that is not complete does not stay.
func (a *account) export(ctx context.Context, file *os.File) (items int64, err error) {
	err = a.callFor(ctx, chatExportTime, func(ctx context.Context, api *client.API) (err error) {
		items, err = api.Export(ctx, file)
		return err
	})
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return items, err
}

// exported is how an export ended.
type exported struct {
	file  string
	items int64
	err   error
}

func (c *chat) exportEnded(e exported) {
	c.exporting = false
	if e.err != nil {
		c.screen.line("%s is not written: %v", clean(e.file), explain(e.err))
		return
	}
	c.screen.line("%s has all that is stored about you: %d items, a line each.", clean(e.file), e.items)
}

func (c *chat) deleteAccount(ctx context.Context, args chatArgs) error {
	me := c.client.Welcome().UserID
	if len(args.words) == 0 {
		c.screen.line("Your account, devices, settings, history and what waits for you would be deleted for good.")
		c.screen.line("/delete-account %s does it.", clean(string(me)))
		return nil
	}
	if args.text != string(me) {
		return fmt.Errorf("you are %s; nothing was deleted", clean(string(me)))
	}
	var deleted schemas.AccountDeleted
	err := c.account.callFor(ctx, chatDeleteTime, func(ctx context.Context, api *client.API) (err error) {
		deleted, err = api.DeleteAccount(ctx, c.account.opts.Password)
		return err
	})
	if err != nil {
		return err
	}
	c.deleted = true
	c.screen.line("The account %s is deleted.", clean(string(me)))
	for _, k := range deleted.Kept {
		c.screen.line("  %s", clean(k.What))
	}
	return errQuit
}

func parseOn(word string) (bool, error) {
	switch word {
	case "on":
		return true, nil
	case "off":
		return false, nil
	}
	return false, errors.New("it is on or off")
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// parseHistory is for how many days history is kept.
func parseHistory(word string) (days *int, err error) {
	on, err := parseOn(word)
	days = new(int)
	if on {
		*days = schemas.HistoryDays
	}
	return days, err
}
