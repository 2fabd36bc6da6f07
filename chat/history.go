package chat

import (
	"context"
	"errors"
	"slices"

	"roost/client"
	"roost/schemas"
)

// history shows the stored messages of the open chat, page by page.
type history struct {
	account  *account
	screen   *screen
	view     *view
	messages *messages
	open     *openChat
}

func (h *history) commands() []command {
	return []command{
		{"/history", "", "the newest stored messages", 0, 0, h.newest},
		{"/history older", "", "the page before", 0, 0, h.older},
	}
}

func (h *history) newest(ctx context.Context, _ args) error {
	h.open.oldest = ""
	return h.show(ctx)
}

func (h *history) older(ctx context.Context, _ args) error {
	if h.open.oldest == "" {
		return errors.New("use /history first")
	}
	return h.show(ctx)
}

// show shows the page that ends before the oldest message that was shown.
func (h *history) show(ctx context.Context) error {
	if err := h.open.check(); err != nil {
		return err
	}
	chat := h.open.peer
	var page []schemas.HistoryMessage
	err := h.account.call(ctx, func(ctx context.Context, api *client.API) (err error) {
		page, err = readPage(ctx, api, chat, schemas.PageBounds{Before: h.open.oldest})
		return err
	})
	if err != nil {
		return err
	}
	switch {
	case len(page) > 0:
		h.open.oldest = page[len(page)-1].MessageID
	case h.open.oldest != "":
		h.screen.line("Nothing older is stored.")
	case chat.Group != "":
		h.screen.line("No history of %s is stored that you may see. /group history on stores messages from now on.", h.view.chat(chat))
	default:
		h.screen.line("No history with %s is stored. /set history on stores messages from now on.", h.view.chat(chat))
	}
	h.showPage(page)
	return nil
}

// showPage shows the messages of a page, which comes newest first, in their order.
func (h *history) showPage(page []schemas.HistoryMessage) {
	states := make([]schemas.MessageState, len(page))
	for i, m := range page {
		states[i] = h.messages.addStored(m)
	}
	for _, s := range slices.Backward(states) {
		if !s.Expired(schemas.Now()) {
			h.screen.line("%s", h.view.row(s))
		}
	}
}

// readPage reads a page of the history that a group stores for its members. If it stores
// none, or the user is no member, it reads the page that the user stores.
func readPage(ctx context.Context, api *client.API, chat schemas.Participant, bounds schemas.PageBounds) ([]schemas.HistoryMessage, error) {
	if chat.Group != "" {
		page, err := api.GroupChat(ctx, chat.Group, bounds)
		if !isCode(err, schemas.CodeHistoryOff) && !isCode(err, schemas.CodeNotAMember) {
			return page, err
		}
	}
	return api.History(ctx, chat, bounds)
}
