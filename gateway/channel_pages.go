package gateway

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"roost/schemas"
	"roost/streams"
)

const (
	// channelSure is how many messages are read for a page of half as many: messages are
	// stored in another order than that of their ids, for a moment, so at the end of what
	// was read some may be missing.
	channelSure = 2 * schemas.HistoryPageSize
	// channelWindow is how many of the newest messages of a channel are kept in memory,
	// enough for two pages.
	channelWindow = channelSure + schemas.HistoryPageSize
	// channelFresh is for how long they are believed where news of newer ones were lost.
	channelFresh = time.Second
	// maxPages and maxPageBytes bound the channels that are kept in memory; beyond, any
	// others go.
	maxPages     = 1024
	maxPageBytes = 32 << 20
)

// channelSlack is how much later than its id says a message may be stored and be found
// by its time all the same: it was sent again, or clocks differ. A test sets it.
var channelSlack = time.Minute

// channelPages keeps what members of channels pull. What one of them has made it read
// serves all others, until there is news.
type channelPages struct {
	server *Server
	reads  singleflight.Group // by channel, and what it has to have

	mu    sync.Mutex // guards the rest
	known map[schemas.GroupID]*channelPage
	bytes int // of all of them
}

// channelPage is the end of a channel. It is shared: nobody changes it.
type channelPage struct {
	messages []schemas.Message // in no order
	changes  []schemas.Message // what was done to them
	whole    bool              // there are none before them
	first    *schemas.Message  // the first of them that was stored, but for late ones; nil: there is none
	end      uint64            // the sequence of the newest entry that is taken into account
	at       time.Time         // when the read began
	bytes    int
}

func newChannelPages(s *Server) *channelPages {
	return &channelPages{server: s, known: make(map[schemas.GroupID]*channelPage)}
}

// newest is the end of a channel, from memory as long as nothing newer was heard of.
func (c *channelPages) newest(ctx context.Context, id schemas.GroupID) (*channelPage, error) {
	heard := c.server.wakes.newest(id)
	c.mu.Lock()
	page := c.known[id]
	c.mu.Unlock()
	if page != nil && page.end >= heard && time.Since(page.at) < channelFresh {
		c.server.metrics.channelPages.WithLabelValues("memory").Inc()
		return page, nil
	}
	found := c.reads.DoChan(string(id)+"."+strconv.FormatUint(heard, 36), func() (any, error) {
		ctx, cancel := context.WithTimeout(c.server.ctx, lookupTimeout)
		defer cancel()
		page, err := c.read(ctx, id, heard)
		if err == nil {
			c.keep(id, page)
		}
		return page, err
	})
	select {
	case r := <-found:
		if r.Err != nil {
			return nil, schemas.Unavailable(r.Err)
		}
		c.server.metrics.channelPages.WithLabelValues("stream").Inc()
		return r.Val.(*channelPage), nil
	case <-ctx.Done():
		return nil, schemas.Unavailable(ctx.Err())
	}
}

// behindReads and behindWait say how often a replica that is behind is asked again.
const (
	behindReads = 5
	behindWait  = 20 * time.Millisecond
)

// read reads the end of a channel. A replica that does not have yet what was heard of
// is asked again, a few times.
func (c *channelPages) read(ctx context.Context, id schemas.GroupID, heard uint64) (*channelPage, error) {
	for n := 1; ; n++ {
		page, current, err := c.readOnce(ctx, id, heard)
		if err != nil || current || n == behindReads {
			return page, err
		}
		select {
		case <-time.After(behindWait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *channelPages) readOnce(ctx context.Context, id schemas.GroupID, heard uint64) (page *channelPage, current bool, err error) {
	page = &channelPage{at: time.Now()}
	end, message, err := c.server.streams.ChannelEnd(ctx, id)
	if err != nil {
		return nil, false, err
	}
	entries, whole, err := c.server.streams.ChannelBack(ctx, id, time.Time{}, channelWindow)
	if err != nil {
		return nil, false, err
	}
	page.end, page.whole = max(end, heard), whole
	if err := c.fill(ctx, id, page, entries); err != nil {
		return nil, false, err
	}
	var last uint64
	if len(entries) > 0 {
		last = entries[len(entries)-1].Sequence
	}
	return page, end >= heard && last >= message, nil
}

// fill takes entries into a page, and what was done to them. A message that was deleted
// for everyone has left the channel, and shows as deleted.
func (c *channelPages) fill(ctx context.Context, id schemas.GroupID, page *channelPage, entries []streams.ChannelEntry) error {
	var from uint64
	var oldest schemas.MessageID
	ids := make([]schemas.MessageID, 0, len(entries))
	page.messages = make([]schemas.Message, 0, len(entries))
	for i, e := range entries {
		if i == 0 {
			from, oldest, page.first = e.Sequence, e.MessageID, &entries[i].Message
		}
		oldest = min(oldest, e.MessageID)
		ids, page.messages = append(ids, e.MessageID), append(page.messages, e.Message)
	}
	if page.whole {
		from, oldest = 0, ""
	}
	late, err := c.server.streams.ChannelLate(ctx, id)
	if err != nil {
		return err
	}
	for _, e := range late {
		if e.MessageID >= oldest { // else it is on a page before
			ids, page.messages = append(ids, e.MessageID), append(page.messages, e.Message)
		}
	}
	deletions, err := c.server.streams.ChannelDeletions(ctx, id, from)
	if err != nil {
		return err
	}
	for _, d := range deletions {
		switch {
		case slices.Contains(ids, d.TargetMessageID):
		case d.TargetMessageID < oldest:
			continue
		default:
			ids = append(ids, d.TargetMessageID)
			page.messages = append(page.messages, schemas.Message{MessageID: d.TargetMessageID, SenderID: d.SenderID, GroupID: id,
				Timestamp: d.TargetMessageID.Time()})
		}
		page.changes = append(page.changes, d.Message)
	}
	changes, err := c.server.streams.ChannelChanges(ctx, id, ids)
	page.changes = append(page.changes, changes...)
	return err
}

// keep remembers a page, unless a newer one is there.
func (c *channelPages) keep(id schemas.GroupID, page *channelPage) {
	const each = 256 // of a message, besides its text
	for _, all := range [][]schemas.Message{page.messages, page.changes} {
		for i := range all {
			page.bytes += each + len(all[i].Content)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.known[id]; old != nil {
		if old.at.After(page.at) {
			return
		}
		c.drop(id, old)
	}
	if page.bytes > maxPageBytes {
		return
	}
	for other, old := range c.known { // any: map order is random
		if len(c.known) < maxPages && c.bytes+page.bytes <= maxPageBytes {
			break
		}
		c.drop(other, old)
	}
	c.known[id] = page
	c.bytes += page.bytes
}

func (c *channelPages) drop(id schemas.GroupID, page *channelPage) {
	delete(c.known, id)
	c.bytes -= page.bytes
}

// within reads what a channel has within bounds: the newest channelSure of the messages
// among the n last, or more, that were stored until soon after.
func (c *channelPages) within(ctx context.Context, id schemas.GroupID, bounds schemas.PageBounds, n int) (*channelPage, error) {
	page, upTo := new(channelPage), schemas.Now()
	if bounds.UpTo > 0 {
		upTo = min(upTo, bounds.UpTo)
	}
	if bounds.Before != "" {
		upTo = min(upTo, bounds.Before.Time())
	}
	for {
		entries, whole, err := c.server.streams.ChannelBack(ctx, id, upTo.Time().Add(channelSlack), n)
		if err != nil {
			return nil, schemas.Unavailable(err)
		}
		entries = slices.DeleteFunc(entries, func(e streams.ChannelEntry) bool { return !bounds.Has(&e.Message) })
		if whole || len(entries) >= channelSure || n >= streams.MaxChannelEntries {
			more := max(0, len(entries)-channelSure)
			page.whole, entries = whole && more == 0, entries[more:]
			if err := c.fill(ctx, id, page, entries); err != nil {
				return nil, schemas.Unavailable(err)
			}
			c.server.metrics.channelPages.WithLabelValues("stream").Inc()
			return page, nil
		}
		n *= 4
	}
}

// sees says whether a member may see a message: one that was sent since they joined, or
// since the group keeps history.
func sees(g *schemas.Group, u schemas.UserID, m *schemas.Message) bool {
	member, ok := g.Member(u)
	return ok && (m.MessageID > member.Since || g.KeepsHistory() && m.Timestamp >= g.HistorySince)
}

// getChat is GET /chat/{group_id}?timestamp=&before=: what a group keeps, for its members,
// whenever they joined, and what was sent to a channel since then.
func (s *Server) getChat(r *http.Request, u schemas.UserID) (int, any, error) {
	bounds, err := pageBounds(r, "timestamp")
	if err != nil {
		return 0, nil, err
	}
	group, err := s.groupOf(r, u)
	if err != nil {
		return 0, nil, err
	}
	inHistory := schemas.HistoryRequest{UserID: u, Chat: string(group.GroupID), Whole: true, UpTo: bounds.UpTo, Before: bounds.Before}
	if group.KeepsHistory() && !s.isChannel(group) { // which has all of it
		return s.historyPage(r, inHistory)
	}
	page, complete, err := s.channelPage(r.Context(), group, u, bounds)
	if err != nil {
		return 0, nil, err
	}
	switch {
	case !group.KeepsHistory() && len(page) == 0 && !s.isChannel(group):
		return 0, nil, schemas.Errorf(schemas.CodeHistoryOff, "This group keeps no history; its owner or an admin can switch it on.")
	case group.KeepsHistory() && !complete:
		if page, err = s.withHistory(r.Context(), page, inHistory); err != nil {
			return 0, nil, err
		}
	}
	if bounds == (schemas.PageBounds{}) {
		s.wakes.pulled(u, group.GroupID)
	}
	return http.StatusOK, historyMessages(page), nil
}

// channelPage is what a member sees of a channel within bounds, newest first. complete
// says that the group was a channel all that time, so that nothing that was sent in
// between is elsewhere.
func (s *Server) channelPage(ctx context.Context, g *schemas.Group, u schemas.UserID, bounds schemas.PageBounds) (_ []schemas.MessageState, complete bool, err error) {
	now := schemas.Now()
	page, err := s.pages.newest(ctx, g.GroupID)
	if err != nil {
		return nil, false, err
	}
	shown, sure := page.shown(g, u, bounds, now)
	if !sure && !page.beyond(g, u) {
		if page, err = s.pages.within(ctx, g.GroupID, bounds, 2*channelSure); err != nil {
			return nil, false, err
		}
		shown, _ = page.shown(g, u, bounds, now)
	}
	if len(shown) < schemas.HistoryPageSize || !s.isChannel(g) {
		return shown, false, nil
	}
	// All of the members up to this one have been here since the last of them came.
	always := g.Members[s.opts.GroupPushLimit].Since
	return shown, shown[len(shown)-1].MessageID > always, nil
}

// beyond says whether a page goes back to before all that a member may see.
func (p *channelPage) beyond(g *schemas.Group, u schemas.UserID) bool {
	return p.first != nil && !sees(g, u, p.first)
}

// shown are the newest messages of a page within bounds that a member sees; sure says
// that none is missing among them. Updates came later than what they change, so who sees
// that sees them.
func (p *channelPage) shown(g *schemas.Group, u schemas.UserID, bounds schemas.PageBounds, now schemas.Timestamp) (shown []schemas.MessageState, sure bool) {
	messages := make([]schemas.Message, 0, len(p.messages))
	for _, m := range p.messages {
		if sees(g, u, &m) && !m.Expired(now) && bounds.Has(&m) {
			messages = append(messages, m)
		}
	}
	slices.SortFunc(messages, func(a, b schemas.Message) int { return strings.Compare(string(b.MessageID), string(a.MessageID)) })
	return schemas.Fold(messages[:min(len(messages), schemas.HistoryPageSize)], p.changes), p.whole || len(messages) >= channelSure
}

// withHistory adds what history has to a page. While no worker answers the page ends
// where the channel does.
func (s *Server) withHistory(ctx context.Context, page []schemas.MessageState, req schemas.HistoryRequest) ([]schemas.MessageState, error) {
	reply, err := s.streams.HistoryPage(ctx, req)
	if err != nil {
		if len(page) > 0 {
			return page, nil
		}
		return nil, err
	}
	s.metrics.channelPages.WithLabelValues("history").Inc()
	for _, m := range reply.Messages {
		if !slices.ContainsFunc(page, func(o schemas.MessageState) bool { return o.MessageID == m.MessageID }) {
			page = append(page, m)
		}
	}
	slices.SortFunc(page, func(a, b schemas.MessageState) int { return strings.Compare(string(b.MessageID), string(a.MessageID)) })
	return page[:min(len(page), schemas.HistoryPageSize)], nil
}
