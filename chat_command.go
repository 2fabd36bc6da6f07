package main

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"roost/client"
	"roost/schemas"
)

// errQuit is the outcome of /quit.
var errQuit = errors.New("quit")

const chatHelp = `A line goes to whom you write to; one that begins with // is sent with a single /.
  /to NAME               write to a user or group
  /history [NAME]        the newest messages of a chat, if your history is stored
  /devices               your devices
  /status NAME           whether somebody is online
  /settings [NAME VALUE] see or change: history_storage 0 or 90, last_seen everyone or nobody, read_receipts true or false
  /quit
✓ the server has it safely  ✓✓ a device of the other one has it  ✗ it was not sent`

// typed does what a line asks for.
func (c *chat) typed(ctx context.Context, line string) error {
	line = strings.TrimRight(line, "\r\n")
	words := strings.Fields(line)
	switch {
	case len(words) == 0:
		return nil
	case strings.HasPrefix(line, "//"):
		line = line[1:]
	case strings.HasPrefix(line, "/"):
		err := c.command(ctx, words[0], words[1:])
		if err != nil && err != errQuit {
			c.screen.line("%v", explain(err))
		}
		return err
	}
	if participant(c.peer) == "" {
		c.screen.line("Nobody to write to: /to NAME comes first.")
		return nil
	}
	c.outgoing <- outgoing{c.peer, line}
	c.unanswered++
	return nil
}

func (c *chat) command(ctx context.Context, name string, args []string) error {
	switch {
	case name == "/quit" && len(args) == 0:
		return errQuit
	case name == "/help":
		for _, line := range strings.Split(chatHelp, "\n") {
			c.screen.line("%s", line)
		}
		return nil
	case name == "/to" && len(args) == 1:
		peer, err := schemas.ParseParticipant(args[0])
		if err != nil {
			return err
		}
		c.peer = peer
		c.screen.line("You write to %s.", clean(participant(peer)))
		c.prompt()
		return nil
	case name == "/history" && len(args) <= 1:
		return c.history(ctx, args)
	case name == "/devices" && len(args) == 0:
		return c.devices(ctx)
	case name == "/status" && len(args) == 1:
		return c.status(ctx, args[0])
	case name == "/settings" && (len(args) == 0 || len(args) == 2):
		return c.settings(ctx, args)
	}
	return errors.New("there is no such command; /help lists them")
}

// prompt shows whom a line goes to, where there is a prompt.
func (c *chat) prompt() { c.screen.prompt(clean(participant(c.peer)) + "> ") }

func (c *chat) history(ctx context.Context, args []string) error {
	with := c.peer
	if len(args) == 1 {
		var err error
		if with, err = schemas.ParseParticipant(args[0]); err != nil {
			return err
		}
	}
	if participant(with) == "" {
		return errors.New("whose? /history NAME")
	}
	var page []schemas.HistoryMessage
	err := c.account.call(ctx, func(ctx context.Context, api *client.API) (err error) {
		page, err = api.History(ctx, with, 0)
		return err
	})
	if err != nil {
		return err
	}
	if len(page) == 0 {
		c.screen.line("No history with %s is stored. /settings history_storage 90 stores what comes from now on.", clean(participant(with)))
	}
	for _, m := range slices.Backward(page) { // the newest comes first
		c.screen.line("[%s] %s: %s", clock(m.Timestamp), clean(string(m.SenderID)), clean(m.Content))
	}
	return nil
}

func (c *chat) devices(ctx context.Context) error {
	var devices []schemas.DeviceInfo
	err := c.account.call(ctx, func(ctx context.Context, api *client.API) (err error) {
		devices, err = api.Devices(ctx)
		return err
	})
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

func (c *chat) status(ctx context.Context, name string) error {
	user, err := schemas.ParseUserID(name)
	if err != nil {
		return err
	}
	var status schemas.UserStatus
	err = c.account.call(ctx, func(ctx context.Context, api *client.API) (err error) {
		status, err = api.Status(ctx, user)
		return err
	})
	if err != nil {
		return err
	}
	seen := ""
	if status.LastActiveTime > 0 {
		seen = ", last active " + clock(status.LastActiveTime)
	}
	c.screen.line("%s is %s%s.", clean(name), clean(status.ConnectionState), seen)
	return nil
}

func (c *chat) settings(ctx context.Context, args []string) error {
	var change schemas.SettingsChange
	if len(args) == 2 {
		var err error
		if change, err = parseSetting(args[0], args[1]); err != nil {
			return err
		}
	}
	var settings schemas.UserSettings
	err := c.account.call(ctx, func(ctx context.Context, api *client.API) (err error) {
		if len(args) == 0 {
			settings, err = api.Settings(ctx)
		} else {
			settings, err = api.ChangeSettings(ctx, change)
		}
		return err
	})
	if err != nil {
		return err
	}
	c.screen.line("history_storage %d, last_seen %s, read_receipts %t",
		settings.HistoryStorage, clean(string(settings.LastSeen)), settings.ReadReceipts)
	return nil
}

func parseSetting(name, value string) (schemas.SettingsChange, error) {
	var change schemas.SettingsChange
	var err error
	switch name {
	case "history_storage":
		change.HistoryStorage = new(int)
		*change.HistoryStorage, err = strconv.Atoi(value)
	case "last_seen":
		seen := schemas.LastSeen(value)
		change.LastSeen = &seen
	case "read_receipts":
		change.ReadReceipts = new(bool)
		*change.ReadReceipts, err = strconv.ParseBool(value)
	default:
		return change, errors.New("there is no such setting; /help lists them")
	}
	if err != nil {
		return change, errors.New(name + ": that is no value for it; /help lists them")
	}
	if e := change.Validate(); e != nil {
		return change, e
	}
	return change, nil
}
