package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"roost/schemas"
	"roost/streams/streamstest"
)

// link is a connection of a device, of TestModel.
type link struct {
	phone   *phone
	gateway int
	ws      *websocket.Conn
	begun   moment
	done    chan struct{} // closed when nothing is read any more

	// Of the story.
	taken   int
	order   []*entry // what came
	resume  map[*entry]bool
	acked   map[*entry]bool
	drained bool
	above   schemas.MessageID // the largest id that it was told

	mu     sync.Mutex // guards the rest
	more   *sync.Cond
	frames []schemas.ServerFrame
	err    error
}

func (c *link) has(e *entry) bool { return slices.Contains(c.order, e) }

// point is a cursor that came on a connection, which had n entries then.
type point struct {
	cursor schemas.Cursor
	on     *link
	n      int
}

// has is what the device had then.
func (p *point) has() map[*entry]bool {
	all := make(map[*entry]bool)
	if p != nil {
		maps.Copy(all, p.on.resume)
		for _, e := range p.on.order[:p.n] {
			all[e] = true
		}
	}
	return all
}

// anyPoint is no cursor, or one that the device ever saw.
func (s *story) anyPoint(d *phone) *point {
	if i := s.pick("resume", len(d.cursors)+1); i > 0 {
		return &d.cursors[i-1]
	}
	return nil
}

// dial connects a device, a new one where it has no id. A connection that it has is
// replaced.
func (s *story) dial(d *phone, from *point) {
	gateway := s.pick("gateway", len(s.w.houses))
	h := s.w.houses[gateway]
	ctx, cancel := context.WithTimeout(s.r.Context(), streamstest.Timeout)
	defer cancel()
	token, err := h.tokens.Issue(d.owner.id)
	if err != nil {
		s.fail("%v", err)
	}
	ws, _, err := websocket.Dial(ctx, h.http.URL+"/ws", nil)
	if err != nil {
		s.fail("%v", err)
	}
	ws.SetReadLimit(1 << 20)
	c := &link{phone: d, gateway: gateway, ws: ws, begun: s.tick(), done: make(chan struct{}), resume: from.has(), acked: make(map[*entry]bool)}
	c.more = sync.NewCond(&c.mu)
	for _, e := range d.sent {
		if e.done != never {
			c.above = max(c.above, e.id)
		}
	}
	s.links = append(s.links, c)
	hello := &schemas.Hello{Token: token.Token, DeviceID: d.id}
	if d.id == "" {
		hello.DeviceName = "test"
	}
	if from != nil {
		hello.ResumeAfter = from.cursor
	}
	go c.read()
	s.write(c, hello)
	if !c.wait(0) {
		s.fail("no welcome for %s: %v", d, c.over())
	}
	welcome, ok := c.frame(0).(*schemas.Welcome)
	if !ok {
		s.fail("%s is welcomed with %+v", d, c.frame(0))
	}
	c.taken, d.id = 1, welcome.DeviceID
	s.note("%d: %s connects at gateway %d behind %d entries", c.begun, d, gateway, len(c.resume))
	for _, e := range d.sent {
		if e.done < c.begun && e.frame.MessageIDByClient > welcome.LastMessageIDByClient {
			s.fail("%s was accepted under %d, and welcome says %d", e, e.frame.MessageIDByClient, welcome.LastMessageIDByClient)
		}
	}
	if d.now != nil {
		s.ends(d.now, schemas.CloseReplaced)
	}
	d.now = c
	for e := range c.resume {
		d.acked[e] = true
	}
}

func (c *link) read() {
	defer close(c.done)
	for {
		_, data, err := c.ws.Read(context.Background()) // until the connection is closed
		var f schemas.ServerFrame
		if err == nil {
			f, err = schemas.DecodeServerFrame(data)
		}
		c.mu.Lock()
		if err != nil {
			c.err = err
		} else {
			c.frames = append(c.frames, f)
		}
		c.more.Broadcast()
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// wait waits until more than n frames are there; false where none will be.
func (c *link) wait(n int) bool {
	deadline := time.Now().Add(streamstest.Timeout)
	wake := time.AfterFunc(streamstest.Timeout, c.more.Broadcast)
	defer wake.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.frames) <= n && c.err == nil && time.Now().Before(deadline) {
		c.more.Wait()
	}
	return len(c.frames) > n
}

func (c *link) frame(n int) schemas.ServerFrame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.frames[n]
}

// over is how the connection ended; nil while it has not.
func (c *link) over() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// cut ends the connection without a word.
func (c *link) cut() {
	_ = c.ws.CloseNow()
	<-c.done
}

func (s *story) write(c *link, f schemas.ClientFrame) {
	ctx, cancel := context.WithTimeout(s.r.Context(), streamstest.Timeout)
	defer cancel()
	if err := c.ws.Write(ctx, websocket.MessageText, schemas.EncodeFrame(f)); err != nil {
		s.fail("writing for %s: %v", c.phone, err)
	}
}

// until reads on until something is so.
func (s *story) until(c *link, what string, ok func() bool) {
	for s.take(c); !ok(); s.take(c) {
		if !c.wait(c.taken) {
			s.fail("%s waited in vain for %s (%v)", c.phone, what, c.over())
		}
	}
}

// ends waits until the server has closed a connection with a code.
func (s *story) ends(c *link, code schemas.CloseCode) {
	for c.wait(c.taken) {
		s.take(c)
	}
	var closed websocket.CloseError
	if err := c.over(); !errors.As(err, &closed) || closed.Code != websocket.StatusCode(code) {
		s.fail("a connection of %s ended with %v, want %d", c.phone, err, code)
	}
	s.gone(c)
}

// gone is called when a connection is over.
func (s *story) gone(c *link) {
	s.take(c)
	if c.phone.now == c {
		c.phone.now = nil
	}
	for _, e := range c.phone.sent {
		if e.on == c {
			e.waits = false
		}
	}
}

// take lets the model see what came on the connection.
func (s *story) take(c *link) {
	c.mu.Lock()
	frames := c.frames[c.taken:]
	c.mu.Unlock()
	for _, f := range frames {
		c.taken++
		switch f := f.(type) {
		case *schemas.Incoming:
			s.deliver(c, s.message(c, f), f.MessageID, f.Cursor)
		case *schemas.GroupUpdate:
			s.deliver(c, s.change(c, f), f.MessageID, f.Cursor)
		case *schemas.InboxDrained:
			s.drain(c)
		case *schemas.MessageReceived:
			s.accept(s.answered(c, f.MessageIDByClient), f.MessageID)
		case *schemas.ErrorFrame:
			if f.MessageIDByClient == 0 {
				s.fail("%s got the error %s: %s", c.phone, f.Code, f.Message)
			}
			s.refuse(s.answered(c, f.MessageIDByClient), f)
		}
	}
}

// answered is the message that an answer is for.
func (s *story) answered(c *link, n schemas.ClientMessageID) *entry {
	if n < 1 || int(n) > len(c.phone.sent) {
		s.fail("%s got an answer for number %d", c.phone, n)
	}
	e := c.phone.sent[n-1]
	if !e.waits || e.on != c {
		s.fail("%s was answered twice", e)
	}
	return e
}

// message finds what came, and looks that it is what was sent.
func (s *story) message(c *link, f *schemas.Incoming) *entry {
	for _, e := range s.entries {
		if e.frame == nil || e.what != f.Content {
			continue
		}
		if f.SenderID != e.from.owner.id || f.SenderDeviceID != e.from.id || f.MessageIDByClient != e.frame.MessageIDByClient ||
			f.ReceiverID != e.frame.ReceiverID || f.GroupID != e.frame.GroupID {
			s.fail("%s came as %+v", e, f)
		}
		return e
	}
	s.fail("%s got %q, which nobody sent", c.phone, f.Content)
	return nil
}

// change finds what a device is told of a group.
func (s *story) change(c *link, f *schemas.GroupUpdate) *entry {
	what := changeText(f.GroupID, strings.TrimSpace(fmt.Sprintf("%s %s %s", f.Change, f.UserID, f.Role)), f.ByUserID, f.GroupName)
	for _, e := range s.entries {
		if e.frame == nil && e.what == what {
			return e
		}
	}
	s.fail("%s was told %q, and nobody did so", c.phone, what)
	return nil
}

func changeText(g schemas.GroupID, what string, by schemas.UserID, name string) string {
	return fmt.Sprintf("%s %s by %s in %s", g, what, by, name)
}

// quiet waits until a connection has all that has to come on it while it lasts: a
// retry may have stored its copies without showing them.
func (s *story) quiet(c *link) {
	for _, e := range c.phone.sent {
		if e.waits {
			s.until(c, "an answer to "+e.String(), func() bool { return !e.waits })
		}
	}
	due := func(e *entry) bool { return e.tried < 2 && e.must(c.phone, never) }
	s.until(c, "inbox_drained", func() bool { return c.drained })
	for e := s.missing(c, due); e != nil; e = s.missing(c, due) {
		s.until(c, e.String(), func() bool { return c.has(e) })
	}
}
