package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"github.com/coder/websocket"
	"pgregory.net/rapid"

	"roost/schemas"
	"roost/streams/directory"
	"roost/streams/streamstest"
)

// The steps of TestModel that are of people, devices, connections and gateways.

const maxPeople, maxPhones = 4, 3

// request is an HTTP request at any gateway, which has to work.
func (s *story) request(as *user, method, path, body string) schemas.Answer {
	h := s.w.houses[s.pick("gateway", len(s.w.houses))]
	token, err := h.tokens.Issue(as.id)
	if err != nil {
		s.fail("%v", err)
	}
	ctx, cancel := context.WithTimeout(s.r.Context(), streamstest.Timeout)
	defer cancel()
	req := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+token.Token)
	req.Header.Set("Content-Type", schemas.ContentType)
	w := httptest.NewRecorder()
	h.server.Handler().ServeHTTP(w, req)
	var a schemas.Answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != http.StatusOK && w.Code != http.StatusCreated {
		s.fail("%s %s %s %s got %d %s", as.id, method, path, body, w.Code, w.Body)
	}
	return a
}

// known waits until every gateway knows a person so.
func (s *story) known(p *user, so func(*directory.User) bool) {
	for _, h := range s.w.houses {
		s.wait("what is known of "+string(p.id), func() bool {
			got, err := h.conn.Directory().User(s.r.Context(), p.id)
			return err == nil && got.Exists && so(got)
		})
	}
}

// knownDevices waits until every gateway knows a person's devices.
func (s *story) knownDevices(p *user) {
	s.known(p, func(got *directory.User) bool {
		return slices.EqualFunc(got.Devices, p.phones, func(a schemas.Device, b *phone) bool { return a.DeviceID == b.id })
	})
}

func (s *story) newPerson() *user {
	s.w.people++
	p := &user{id: schemas.UserID(fmt.Sprint("u", s.w.people)), blocks: make(map[*user][]span), clocks: len(s.w.houses)}
	if err := s.w.houses[0].conn.Directory().EnsureUser(s.r.Context(), p.id); err != nil {
		s.fail("%v", err)
	}
	s.knownDevices(p)
	p.box = []span{since(s.now, s.tick())}
	s.people = append(s.people, p)
	return p
}

func (s *story) person() {
	if len(s.people) >= maxPeople {
		s.r.SkipNow()
	}
	s.newPerson()
}

// register gives a person one more device: by hello, or else by HTTP.
func (s *story) register(p *user, byHello bool) {
	asked, first := s.tick(), len(p.phones) == 0
	d := &phone{owner: p, born: never, lives: []span{since(asked, never)},
		seen: make(map[*entry]bool), acked: make(map[*entry]bool), gone: make(map[*entry]bool)}
	if first {
		d.lives = p.box
	}
	if byHello {
		s.dial(d, nil)
	} else {
		d.id = data[schemas.DeviceInfo](s.w.t, s.request(p, "POST", "/devices", `{"name":"test"}`)).DeviceID
	}
	p.phones = append(p.phones, d)
	s.knownDevices(p)
	d.born = s.tick()
	if first {
		p.box = []span{{asked, never, 0, d.born}} // of what is sent meanwhile a copy may come behind the claim
	} else {
		d.lives[0].from = d.born
	}
	s.note("%d: %s is there", s.now, d)
}

func (s *story) device() {
	p := one(s, "who", s.people)
	if len(p.phones) >= maxPhones {
		s.r.SkipNow()
	}
	s.register(p, s.chance("by hello", 2))
}

func (s *story) dropDevice() {
	d := one(s, "device", s.phones(func(*phone) bool { return true }))
	if !s.chance("really", 3) {
		s.r.SkipNow()
	}
	p, asked := d.owner, s.tick()
	s.request(p, "DELETE", "/devices/"+string(d.id), "")
	p.phones = slices.DeleteFunc(p.phones, func(other *phone) bool { return other == d })
	s.knownDevices(p)
	d.removed, p.old = true, append(p.old, d)
	d.lives[len(d.lives)-1].end(asked, s.tick())
	if len(p.phones) == 0 {
		p.box = append(p.box, since(asked, s.now))
	}
	s.note("%d: %s is no more", s.now, d)
	if d.now != nil {
		s.ends(d.now, schemas.CloseDeviceRemoved)
	}
}

func (s *story) connect() {
	d := one(s, "device", s.phones(func(*phone) bool { return true }))
	if d.now != nil && !s.chance("replace", 4) {
		s.r.SkipNow()
	}
	s.dial(d, s.anyPoint(d))
}

func (s *story) disconnect() { s.leave(one(s, "device", s.phones(connected))) }

// leave closes a connection in order, and waits until the gateway has done so. Where
// all that may be in the inbox came, and all of it is acknowledged, nothing is left.
func (s *story) leave(d *phone) {
	c := d.now
	_ = c.ws.Close(websocket.StatusNormalClosure, "")
	<-c.done
	s.gone(c)
	s.note("%s leaves", d)
	h := s.w.houses[c.gateway]
	s.wait("the end of the session", func() bool {
		online, _, err := h.conn.Presence().Status(s.r.Context(), d.owner.id, []schemas.Device{{DeviceID: d.id}})
		return err == nil && !online
	})
	open := s.missing(c, func(e *entry) bool { return e.may(d) })
	if !c.drained || open != nil || slices.ContainsFunc(c.order, func(e *entry) bool { return !c.acked[e] }) {
		return
	}
	for _, e := range c.order {
		d.gone[e] = true
	}
}

// kill cuts a connection; the gateway notices by and by.
func (s *story) kill() {
	c := one(s, "device", s.phones(connected)).now
	c.cut()
	s.gone(c)
	s.note("%s is cut off", c.phone)
}

func (s *story) ack() {
	c := one(s, "device", s.phones(connected)).now
	some := c.order
	if s.chance("oldest first", 2) {
		some = some[:s.pick("how many", len(some)+1)]
	} else if len(some) > 0 {
		some = []*entry{one(s, "which", some)}
	}
	s.acknowledge(c, some)
}

func (s *story) acknowledge(c *link, entries []*entry) {
	for _, e := range entries {
		s.write(c, &schemas.DeliveredAck{MessageID: e.id, Timestamp: schemas.Now()})
		c.acked[e], c.phone.acked[e] = true, true
		s.note("%s acknowledges %s", c.phone, e)
	}
}

func (s *story) ackCursor() {
	d := one(s, "device", s.phones(connected))
	p := one(s, "cursor", slices.DeleteFunc(slices.Clone(d.cursors), func(p point) bool { return p.on != d.now }))
	s.write(d.now, &schemas.Ack{Cursor: p.cursor})
	for e := range p.has() {
		d.now.acked[e], d.acked[e] = true, true
	}
	s.note("%s acknowledges %d entries by a cursor", d, p.n)
}

// settle waits until everybody who is connected has everything.
func (s *story) settle() {
	for _, d := range s.phones(connected) {
		s.quiet(d.now)
	}
}

// restart has a gateway go, in order or not, while clients go on, and another one come.
func (s *story) restart() {
	if !s.chance("really", 12) {
		s.r.SkipNow()
	}
	i := s.pick("gateway", len(s.w.houses))
	inOrder := s.chance("in order", 2)
	s.note("gateway %d goes, in order: %t", i, inOrder)
	h := s.w.houses[i]
	if !inOrder {
		h.conn.Close()
	}
	h.stop()
	h.conn.Close()
	for _, d := range s.phones(connected) {
		if d.now.gateway == i {
			s.ends(d.now, schemas.CloseRestarting)
		}
	}
	s.w.houses[i] = s.w.open()
	for _, p := range s.people {
		s.knownDevices(p)
		s.knownBlocks(p)
	}
}

// block has somebody block, or unblock, another.
func (s *story) block() {
	p := one(s, "who", s.people)
	other := one(s, "whom", s.people)
	if p == other {
		s.r.SkipNow()
	}
	method, asked := "PUT", s.tick()
	if p.isBlocking(other) {
		method = "DELETE"
	} else {
		p.blocks[other] = append(p.blocks[other], since(asked, never))
	}
	s.request(p, method, "/blocks/"+string(other.id), "")
	last := &p.blocks[other][len(p.blocks[other])-1]
	if method == "DELETE" {
		last.end(asked, never)
	}
	s.knownBlocks(p)
	if now := s.tick(); method == "PUT" {
		last.from = now
	} else {
		last.last = now
	}
	s.note("%d: %s of %s by %s", s.now, method, other.id, p.id)
}

func (p *user) isBlocking(other *user) bool {
	b := p.blocks[other]
	return len(b) > 0 && b[len(b)-1].until == never
}

// knownBlocks waits until every gateway knows whom a person blocks.
func (s *story) knownBlocks(p *user) {
	s.known(p, func(got *directory.User) bool {
		for other := range p.blocks {
			if got.Blocks(other.id) != p.isBlocking(other) {
				return false
			}
		}
		return true
	})
}

// chance is true one time in n or less: rapid likes small numbers.
func (s *story) chance(label string, n int) bool { return s.pick(label, n) == n-1 }

// pick is a number below n. How much came is a matter of time; what is drawn does
// not depend on it.
func (s *story) pick(label string, n int) int { return rapid.IntRange(0, 1<<10).Draw(s.r, label) % n }

// one picks any; it skips the step where there is none.
func one[T any](s *story, label string, all []T) T {
	if len(all) == 0 {
		s.r.SkipNow()
	}
	return all[s.pick(label, len(all))]
}

// phones are the registered devices that fit.
func (s *story) phones(fit func(*phone) bool) (all []*phone) {
	for _, p := range s.people {
		for _, d := range p.phones {
			if fit(d) {
				all = append(all, d)
			}
		}
	}
	return all
}

func connected(d *phone) bool { return d.now != nil }
