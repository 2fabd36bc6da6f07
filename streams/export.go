package streams

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"roost/schemas"
	"roost/streams/channel"
	"roost/streams/directory"
	"roost/streams/group"
	"roost/streams/jsapi"
	"roost/streams/receipts"
	"roost/streams/subject"
)

// Export calls line with all stored data of a user, until a call fails. Their messages
// to channels, and then history, come last. It leaves out data that belongs to others,
// above all the users who block this user. It holds a read of a stream or a page of
// history in memory, not more.
func (c *Conn) Export(ctx context.Context, u schemas.UserID, line func(schemas.ExportLine) error) error {
	if err := c.allOnRecord(ctx); err != nil {
		return err
	}
	me, err := c.directory.Registration(ctx, u)
	if err != nil {
		return err
	}
	settings, err := c.directory.Settings(ctx, u)
	if err != nil {
		return err
	}
	own := func(l schemas.ExportLine) error {
		if r := l.Receipt; r != nil && r.ReaderID != u && !settings.ReadReceipts {
			r.ReadUpTo = "" // a user who hides read receipts sees none of others
		}
		// Other users may still get messages of an earlier owner of the name.
		if r := l.Receipt; r != nil && r.SenderID == u && me.PredatesAccount(max(r.DeliveredUpTo, r.ReadUpTo)) {
			return nil
		}
		if l.Kind == schemas.ExportMembership {
			g, err := c.groups.Peek(ctx, schemas.GroupID(l.Chat))
			if err != nil && !errors.Is(err, group.ErrNotFound) {
				return err
			}
			if g != nil {
				member, _ := g.Member(u)
				l.Role = member.Role
			}
		}
		return line(l)
	}
	for _, h := range c.personal(u) {
		if err := c.exportHolding(ctx, h, own); err != nil {
			return err
		}
	}
	if err := c.exportPosted(ctx, u, me, line); err != nil {
		return err
	}
	return c.exportHistory(ctx, u, line)
}

// maxExported is how many messages of a stream an export reads at a time.
const maxExported = 256

func (c *Conn) exportHolding(ctx context.Context, h holding, line func(schemas.ExportLine) error) error {
	for m, err := range c.api.Messages(ctx, h.stream, h.subject, 0, maxExported) {
		if err != nil {
			return err
		}
		if len(m.Data) == 0 {
			continue // the bucket's marker of a deleted key
		}
		lines, err := h.lines(m)
		if err != nil {
			return schemas.Internal(fmt.Errorf("failed to export %s: %w", m.Subject, err)) // a retry reads the same
		}
		for _, l := range lines {
			if err := line(l); err != nil {
				return err
			}
		}
	}
	return nil
}

// exportPosted exports the user's messages to the channels of groups that they are or
// were a member of. These messages are stored under the group.
func (c *Conn) exportPosted(ctx context.Context, u schemas.UserID, me *directory.Registration, line func(schemas.ExportLine) error) error {
	if some, err := c.Channels().Any(ctx, 0); err != nil || !some {
		return err
	}
	groups, err := c.groups.Seen(ctx, u)
	if err != nil {
		return err
	}
	for _, id := range groups {
		var failed error
		err := c.channels.Each(ctx, id, func(e channel.Entry) bool {
			if e.SenderID == u && !me.PredatesAccount(e.MessageID) {
				failed = line(schemas.ExportLine{Kind: schemas.ExportPosted, Chat: string(id), Posted: &e.Message})
			}
			return failed == nil
		})
		if err = errors.Join(failed, err); err != nil {
			return err
		}
	}
	return nil
}

// exportHistory asks the workers for the pages of each chat, one after the other.
func (c *Conn) exportHistory(ctx context.Context, u schemas.UserID, line func(schemas.ExportLine) error) error {
	for after := ""; ; {
		reply, err := c.HistoryChats(ctx, schemas.ChatsRequest{UserID: u, After: after})
		if err != nil {
			return err
		}
		for _, chat := range reply.Chats {
			after = chat
			if err := c.exportChat(ctx, u, chat, line); err != nil {
				return err
			}
		}
		if len(reply.Chats) < schemas.MaxChats {
			return nil
		}
	}
}

func (c *Conn) exportChat(ctx context.Context, u schemas.UserID, chat string, line func(schemas.ExportLine) error) error {
	for before := schemas.MessageID(""); ; {
		page, err := c.HistoryPage(ctx, schemas.HistoryRequest{UserID: u, Chat: chat, Before: before})
		if err != nil {
			return err
		}
		for i := range page.Messages {
			m := page.Messages[i].For(u)
			before = m.MessageID
			if err := line(schemas.ExportLine{Kind: schemas.ExportMessage, Chat: chat, Message: &m}); err != nil {
				return err
			}
		}
		if len(page.Messages) < schemas.HistoryPageSize {
			return nil
		}
	}
}

func accountLines(m jsapi.Message) ([]schemas.ExportLine, error) {
	a, err := schemas.Decode[schemas.Account](m.Data)
	lines := []schemas.ExportLine{{Kind: schemas.ExportAccount, Account: &schemas.AccountCreated{UserID: a.UserID, CreatedAt: a.CreatedAt}}}
	if a.KeyHash != "" {
		lines = append(lines, schemas.ExportLine{Kind: schemas.ExportRequest,
			Request: &schemas.Request{Route: "POST /accounts", KeyHash: a.KeyHash, ID: schemas.MessageIDAt(a.CreatedAt)}})
	}
	return lines, err
}

func requestLines(m jsapi.Message) ([]schemas.ExportLine, error) {
	all, err := schemas.Decode[schemas.Requests](m.Data)
	var lines []schemas.ExportLine
	for _, q := range all.Requests {
		lines = append(lines, schemas.ExportLine{Kind: schemas.ExportRequest, Request: &q})
	}
	return lines, err
}

func settingsLines(m jsapi.Message) ([]schemas.ExportLine, error) {
	s, err := schemas.Decode[schemas.Settings](m.Data)
	return []schemas.ExportLine{{Kind: schemas.ExportSettings, Settings: &s}}, err
}

func deviceLines(m jsapi.Message) ([]schemas.ExportLine, error) {
	record, err := schemas.Decode[schemas.Devices](m.Data)
	var lines []schemas.ExportLine
	for _, d := range record.Devices {
		info := d.Info()
		lines = append(lines, schemas.ExportLine{Kind: schemas.ExportDevice, Device: &info})
	}
	for _, id := range record.Removed {
		lines = append(lines, schemas.ExportLine{Kind: schemas.ExportRemovedDevice, DeviceID: id})
	}
	if record.LastActive > 0 {
		lines = append(lines, schemas.ExportLine{Kind: schemas.ExportLastActive, LastActive: record.LastActive})
	}
	return lines, err
}

func sessionLines(m jsapi.Message) ([]schemas.ExportLine, error) {
	s, err := schemas.Decode[schemas.Session](m.Data)
	return []schemas.ExportLine{{Kind: schemas.ExportSession, DeviceID: deviceOf(m.Subject), Session: &s}}, err
}

func receiptLines(m jsapi.Message) ([]schemas.ExportLine, error) {
	w, err := schemas.Decode[schemas.Watermark](m.Data)
	if err != nil {
		return nil, err
	}
	tokens := strings.Split(m.Subject, ".") // $KV, the bucket, the sender or group, and the reader
	r := schemas.Receipt{DeliveredUpTo: w.DeliveredUpTo, ReadUpTo: w.ReadUpTo}
	var errSender, errReader error
	if r.GroupID, err = schemas.ParseGroupID(tokens[len(tokens)-2]); err != nil { // no user's token begins so
		r.SenderID, errSender = schemas.ParseUserToken(tokens[len(tokens)-2])
	}
	r.ReaderID, errReader = schemas.ParseUserToken(tokens[len(tokens)-1])
	if errSender != nil || errReader != nil {
		return nil, fmt.Errorf("not the key of a receipt")
	}
	return []schemas.ExportLine{{Kind: schemas.ExportReceipt, Receipt: &r}}, nil
}

func readMarkLines(m jsapi.Message) ([]schemas.ExportLine, error) {
	mark, ok := receipts.DecodeReadMark(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], m.Data)
	if !ok {
		return nil, fmt.Errorf("not a read mark")
	}
	return []schemas.ExportLine{{Kind: schemas.ExportReadMark, ReadMark: &mark}}, nil
}

// nobodysLines is for data that is deleted with an account and belongs to others, or
// adds nothing to other lines. It is not in the user's export.
func nobodysLines(jsapi.Message) ([]schemas.ExportLine, error) { return nil, nil }

func blockLines(m jsapi.Message) ([]schemas.ExportLine, error) {
	b, err := schemas.Decode[schemas.Blocks](m.Data)
	return []schemas.ExportLine{{Kind: schemas.ExportBlocks, Blocks: &b}}, err
}

func membershipLines(m jsapi.Message) ([]schemas.ExportLine, error) {
	spans, err := schemas.Decode[schemas.Membership](m.Data)
	return []schemas.ExportLine{{Kind: schemas.ExportMembership, Chat: m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], Membership: &spans}}, err
}

func sentLines(m jsapi.Message) ([]schemas.ExportLine, error) {
	rec, err := schemas.Decode[schemas.SendRecord](m.Data)
	sent := rec.Public()
	return []schemas.ExportLine{{Kind: schemas.ExportSent, DeviceID: deviceOf(m.Subject), Sent: &sent}}, err
}

func waitingLines(m jsapi.Message) ([]schemas.ExportLine, error) {
	if _, err := schemas.DecodeEntryHead(m.Data); err != nil {
		return nil, nil // no program can read it, and its device never gets it
	}
	return []schemas.ExportLine{{Kind: schemas.ExportWaiting, DeviceID: deviceOf(m.Subject), Entry: m.Data}}, nil
}

// deviceOf returns the device at the end of a subject. The inbox of a user without a
// device has none.
func deviceOf(filter string) schemas.DeviceID {
	id := schemas.DeviceID(filter[strings.LastIndexByte(filter, '.')+1:])
	if id == subject.UnclaimedDevice {
		return ""
	}
	return id
}
