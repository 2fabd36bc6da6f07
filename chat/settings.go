package chat

import (
	"context"

	"roost/client"
	"roost/schemas"
)

// settings has the commands about the user's settings.
type settings struct {
	account *account
	screen  *screen
}

func (s *settings) commands() []command {
	return []command{
		{"/set", "", "your settings", 0, 0, s.show},
		{"/set history", "on|off", "store 90 days of your chats; off deletes them", 1, 1, s.setHistory},
		{"/set lastseen", "everyone|nobody", "which users see whether you are online", 1, 1, s.setLastSeen},
		{"/set receipts", "on|off", "send read receipts, and see those of others", 1, 1, s.setReceipts},
	}
}

func (s *settings) show(ctx context.Context, _ args) error {
	return s.change(ctx, (*client.API).Settings)
}

func (s *settings) setHistory(ctx context.Context, args args) error {
	days, err := parseHistory(args.words[0])
	if err != nil {
		return err
	}
	return s.set(ctx, schemas.SettingsChange{HistoryStorage: days})
}

func (s *settings) setLastSeen(ctx context.Context, args args) error {
	seen := schemas.LastSeen(args.words[0])
	return s.set(ctx, schemas.SettingsChange{LastSeen: &seen})
}

func (s *settings) setReceipts(ctx context.Context, args args) error {
	on, err := parseOn(args.words[0])
	if err != nil {
		return err
	}
	return s.set(ctx, schemas.SettingsChange{ReadReceipts: &on})
}

func (s *settings) set(ctx context.Context, change schemas.SettingsChange) error {
	return s.change(ctx, func(api *client.API, ctx context.Context) (schemas.UserSettings, error) {
		return api.ChangeSettings(ctx, change)
	})
}

// change makes a request and shows the settings that the server returns.
func (s *settings) change(ctx context.Context, request func(*client.API, context.Context) (schemas.UserSettings, error)) error {
	var now schemas.UserSettings
	err := s.account.call(ctx, func(ctx context.Context, api *client.API) (err error) {
		now, err = request(api, ctx)
		return err
	})
	if err != nil {
		return err
	}
	s.screen.line("history %s, lastseen %s, receipts %s", onOff(now.HistoryStorage > 0),
		clean(string(now.LastSeen)), onOff(now.ReadReceipts))
	return nil
}
