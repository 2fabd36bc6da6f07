package pages

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"roost/schemas"
	"roost/streams"
	"roost/streams/channel"
)

const (
	// channelSure is how many messages are read for a page of half as many. For a moment,
	// messages may be stored in another order than that of their ids, so some may be missing
	// at the end of a read.
	channelSure = 2 * schemas.HistoryPageSize
	// channelWindow is how many of the newest messages of a channel stay in memory, enough
	// for two pages.
	channelWindow = channelSure + schemas.HistoryPageSize
	// channelFresh is for how long a page is served from memory if news were lost.
	channelFresh = time.Second
	// maxPages and maxPageBytes bound the pages in memory. One more evicts any others.
	maxPages     = 1024
	maxPageBytes = 32 << 20
)

// DefaultSlack is how much later than its id says a message may be stored and still be found
// by its time: the send was retried, or clocks differ.
const DefaultSlack = time.Minute

// lookupTimeout bounds a read that several requests share.
const lookupTimeout = 5 * time.Second

// News knows the newest messages of channels.
type News interface {
	// Newest is the sequence of the newest entry of a channel that this gateway heard of, or 0.
	Newest(id schemas.GroupID) uint64
}

// Options of a Cache. All fields are required.
type Options struct {
	Streams *streams.Conn
	News    News
	// PushLimit is how many members a group has at most before it is a channel.
	PushLimit int
	// Slack is DefaultSlack; tests use less.
	Slack time.Duration
	// Served counts pages by where they came from: "memory" or "stream".
	Served *prometheus.CounterVec
}

// Cache keeps the newest messages of channels in memory. A read for one member serves all
// other members until there is news.
type Cache struct {
	opts    Options
	ctx     context.Context // ends shared reads
	streams *streams.Conn
	reads   singleflight.Group // by channel and the sequence that the page must include

	mu    sync.Mutex // guards the rest
	known map[schemas.GroupID]*channelPage
	bytes int // of all of them
}

// channelPage is the end of a channel. Readers share it, so it is never changed.
type channelPage struct {
	messages []schemas.Message // in no order
	changes  []schemas.Message // updates of the messages
	whole    bool              // the channel has no earlier messages
	first    *schemas.Message  // the message that was stored first, except late ones; nil if there is none
	end      uint64            // the sequence of the newest entry that the page includes
	at       time.Time         // when the read began
	bytes    int
}

// New returns a Cache. Its reads end with ctx at the latest.
func New(ctx context.Context, o Options) *Cache {
	return &Cache{opts: o, ctx: ctx, streams: o.Streams, known: make(map[schemas.GroupID]*channelPage)}
}

// newest returns the end of a channel, from memory unless there is news.
func (c *Cache) newest(ctx context.Context, id schemas.GroupID) (*channelPage, error) {
	heard := c.opts.News.Newest(id)
	c.mu.Lock()
	page := c.known[id]
	c.mu.Unlock()
	if page != nil && page.end >= heard && time.Since(page.at) < channelFresh {
		c.opts.Served.WithLabelValues("memory").Inc()
		return page, nil
	}
	found := c.reads.DoChan(string(id)+"."+strconv.FormatUint(heard, 36), func() (any, error) {
		ctx, cancel := context.WithTimeout(c.ctx, lookupTimeout)
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
		c.opts.Served.WithLabelValues("stream").Inc()
		return r.Val.(*channelPage), nil
	case <-ctx.Done():
		return nil, schemas.Unavailable(ctx.Err())
	}
}

// staleReads and staleWait say how often a stale replica is read again, and after what pause.
const (
	staleReads = 5
	staleWait  = 20 * time.Millisecond
)

// read reads the end of a channel. It retries a few times if the replica does not have the
// newest known entry yet.
func (c *Cache) read(ctx context.Context, id schemas.GroupID, heard uint64) (*channelPage, error) {
	for n := 1; ; n++ {
		page, current, err := c.readOnce(ctx, id, heard)
		if err != nil || current || n == staleReads {
			return page, err
		}
		select {
		case <-time.After(staleWait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *Cache) readOnce(ctx context.Context, id schemas.GroupID, heard uint64) (page *channelPage, current bool, err error) {
	page = &channelPage{at: time.Now()}
	end, message, err := c.streams.Channels().End(ctx, id)
	if err != nil {
		return nil, false, err
	}
	entries, whole, err := c.streams.Channels().Back(ctx, id, time.Time{}, channelWindow)
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

// fill adds entries and their updates to a page. A message that was deleted for everyone is not
// in the channel any more; the page shows it as deleted.
func (c *Cache) fill(ctx context.Context, id schemas.GroupID, page *channelPage, entries []channel.Entry) error {
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
	late, err := c.streams.Channels().Late(ctx, id)
	if err != nil {
		return err
	}
	for _, e := range late {
		if e.MessageID >= oldest { // otherwise it is on an earlier page
			ids, page.messages = append(ids, e.MessageID), append(page.messages, e.Message)
		}
	}
	deletions, err := c.streams.Channels().Deletions(ctx, id, from)
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
	changes, err := c.streams.Channels().Changes(ctx, id, ids)
	page.changes = append(page.changes, changes...)
	return err
}

// keep stores a page, unless a newer one is stored.
func (c *Cache) keep(id schemas.GroupID, page *channelPage) {
	const each = 256 // bytes of a message, besides its text
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

func (c *Cache) drop(id schemas.GroupID, page *channelPage) {
	delete(c.known, id)
	c.bytes -= page.bytes
}

// within reads the part of a channel that is within bounds: the newest channelSure messages
// among the last n that were stored until shortly after the bounds. If these are too few, it
// reads more.
func (c *Cache) within(ctx context.Context, id schemas.GroupID, bounds schemas.PageBounds, n int) (*channelPage, error) {
	page, upTo := new(channelPage), schemas.Now()
	if bounds.UpTo > 0 {
		upTo = min(upTo, bounds.UpTo)
	}
	if bounds.Before != "" {
		upTo = min(upTo, bounds.Before.Time())
	}
	for {
		entries, whole, err := c.streams.Channels().Back(ctx, id, upTo.Time().Add(c.opts.Slack), n)
		if err != nil {
			return nil, schemas.Unavailable(err)
		}
		entries = slices.DeleteFunc(entries, func(e channel.Entry) bool { return !bounds.Has(&e.Message) })
		if whole || len(entries) >= channelSure || n >= channel.MaxEntries {
			more := max(0, len(entries)-channelSure)
			page.whole, entries = whole && more == 0, entries[more:]
			if err := c.fill(ctx, id, page, entries); err != nil {
				return nil, schemas.Unavailable(err)
			}
			c.opts.Served.WithLabelValues("stream").Inc()
			return page, nil
		}
		n *= 4
	}
}

// IsChannel reports whether the members of a group pull its messages, because it has too many
// members for a copy each.
func (c *Cache) IsChannel(g *schemas.Group) bool { return len(g.Members) > c.opts.PushLimit }

// Sees reports whether a member may see a message: one that was sent after they joined, or
// after the group began to keep history.
func Sees(g *schemas.Group, u schemas.UserID, m *schemas.Message) bool {
	member, ok := g.Member(u)
	return ok && (m.MessageID > member.Since || g.KeepsHistory() && m.Timestamp >= g.HistorySince)
}

// Page returns the messages of a channel that a member may see within bounds, newest first.
// complete reports that the group was a channel all that time, so that no message of that time
// is elsewhere.
func (c *Cache) Page(ctx context.Context, g *schemas.Group, u schemas.UserID, bounds schemas.PageBounds) (_ []schemas.MessageState, complete bool, err error) {
	now := schemas.Now()
	page, err := c.newest(ctx, g.GroupID)
	if err != nil {
		return nil, false, err
	}
	shown, sure := page.shown(g, u, bounds, now)
	if !sure && !page.beyond(g, u) {
		if page, err = c.within(ctx, g.GroupID, bounds, 2*channelSure); err != nil {
			return nil, false, err
		}
		shown, _ = page.shown(g, u, bounds, now)
	}
	if len(shown) < schemas.HistoryPageSize || !c.IsChannel(g) {
		return shown, false, nil
	}
	// All members up to this one have been members since the last of them joined.
	always := g.Members[c.opts.PushLimit].Since
	return shown, shown[len(shown)-1].MessageID > always, nil
}

// beyond reports whether a page begins before everything that a member may see.
func (p *channelPage) beyond(g *schemas.Group, u schemas.UserID) bool {
	return p.first != nil && !Sees(g, u, p.first)
}

// shown returns the newest messages of a page within bounds that a member may see. sure reports
// that none of them is missing. An update is later than its message, so a member who sees the
// message sees the update.
func (p *channelPage) shown(g *schemas.Group, u schemas.UserID, bounds schemas.PageBounds, now schemas.Timestamp) (shown []schemas.MessageState, sure bool) {
	messages := make([]schemas.Message, 0, len(p.messages))
	for _, m := range p.messages {
		if Sees(g, u, &m) && !m.Expired(now) && bounds.Has(&m) {
			messages = append(messages, m)
		}
	}
	slices.SortFunc(messages, func(a, b schemas.Message) int { return strings.Compare(string(b.MessageID), string(a.MessageID)) })
	return schemas.Fold(messages[:min(len(messages), schemas.HistoryPageSize)], p.changes), p.whole || len(messages) >= channelSure
}
