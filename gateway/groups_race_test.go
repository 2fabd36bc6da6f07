package gateway_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"roost/gateway"
	"roost/schemas"
)

// TestMembersChangeWhileOthersSend: at two gateways, people are removed and added
// again while others send. What was sent after a removal was answered does not
// reach the one removed, what was sent before they were added neither, and
// everything in between, and for who stays everything, arrives exactly once. In an
// inbox each change stands before the messages that were sent after it was answered.
func TestMembersChangeWhileOthersSend(t *testing.T) {
	h, other := pairOfHouses(t, func(o *gateway.Options) { o.Limits = gateway.Limits{} })
	const senders, rounds = 3, 6
	guests := []schemas.UserID{"guest-0", "guest-1"}
	houses := []*house{h, other}
	var staying []schemas.UserID
	sending := make([]*device, senders)
	for i := range sending {
		u := schemas.UserID(fmt.Sprint("sender-", i))
		staying, sending[i] = append(staying, u), houses[i%2].connect(u)
	}
	id := h.makeGroup("owner", append(slices.Clone(staying), guests...)...)
	readers := make(map[schemas.UserID]*device)
	for i, u := range append([]schemas.UserID{"owner"}, guests...) {
		readers[u] = houses[i%2].connect(u)
	}

	tablet := h.connect("owner").welcome.DeviceID
	goAway(t, h, "owner", &device{ws: h.ws[len(h.ws)-1], welcome: &schemas.Welcome{DeviceID: tablet}})

	// moment orders what happens in this process: begins and ends of sends and changes.
	var moment atomic.Int64
	type stretch struct{ begun, done int64 }
	var mu sync.Mutex         // guards sent
	more := sync.NewCond(&mu) // sent has grown
	over := make(chan struct{})
	sent := make(map[string]stretch)
	changes := make(map[schemas.UserID][]stretch) // removed, added, removed, …

	var wg sync.WaitGroup
	for i, d := range sending {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				default:
				}
				text := fmt.Sprintf("%d/%d", i, n)
				begun := moment.Add(1)
				d.shout(id, text)
				f := d.acceptedAtLast(id, func(schemas.ClientMessageID) string { return text })
				mu.Lock()
				sent[text] = stretch{begun, moment.Add(1)}
				more.Broadcast()
				mu.Unlock()
				if f == nil {
					t.Errorf("%s was not accepted", text)
					return
				}
			}
		})
	}
	var changing sync.WaitGroup
	for i, u := range guests {
		changes[u] = make([]stretch, 0, 2*rounds)
		changing.Go(func() {
			for range rounds {
				for k, change := range []struct{ method, path, body string }{
					{"DELETE", "/members/" + string(u), ""}, {"POST", "/members", `{"user_id":"` + string(u) + `"}`}} {
					s := stretch{begun: moment.Add(1)}
					status, answer := houses[(i+k)%2].call("owner", change.method, "/groups/"+string(id)+change.path, change.body)
					if status != 200 {
						t.Errorf("%s %s got %d %+v", change.method, u, status, answer.Error)
					}
					s.done = moment.Add(1)
					mu.Lock()
					changes[u] = append(changes[u], s)
					for enough := len(sent) + 3*senders; len(sent) < enough && !t.Failed(); {
						more.Wait() // until some were sent in between
					}
					mu.Unlock()
				}
			}
		})
	}
	changing.Wait()
	close(over)
	wg.Wait()
	h.must("owner", "PATCH", "/groups/"+string(id), `{"group_name":"over"}`) // stands behind everything

	// collect reads until the last update.
	collect := func(u schemas.UserID, d *device) (got map[string]int, order []string) {
		got = make(map[string]int)
		seen := make(map[schemas.MessageID]bool)
		for {
			f, err := d.read()
			if err != nil {
				t.Fatalf("%s: %v", u, err)
			}
			switch f := f.(type) {
			case *schemas.Incoming:
				d.ack(f.MessageID)
				if seen[f.MessageID] {
					t.Errorf("%s got %s twice", u, f.Content)
				}
				seen[f.MessageID] = true
				got[f.Content]++
				order = append(order, f.Content)
			case *schemas.GroupUpdate:
				d.ack(f.MessageID)
				if seen[f.MessageID] {
					t.Errorf("%s got the update %s twice", u, f.MessageID)
				}
				seen[f.MessageID] = true
				order = append(order, string(f.Change)+" "+string(f.UserID))
				if f.GroupName == "over" {
					return got, order
				}
			}
		}
	}
	received := make(map[schemas.UserID]map[string]int)
	for u, d := range readers {
		got, _ := collect(u, d)
		received[u] = got
		out := 0
		for text, s := range sent {
			n := got[text]
			must, mustNot := true, false
			for k := 0; k < len(changes[u]); k += 2 {
				removed, added := changes[u][k], changes[u][k+1]
				if s.done > removed.begun && s.begun < added.done {
					must = false // under way while that changed
				}
				if s.begun > removed.done && s.done < added.begun {
					mustNot = true
					out++
				}
			}
			switch {
			case n > 1, must && n != 1:
				t.Errorf("%s got %s %d times, want 1", u, text, n)
			case mustNot && n != 0:
				t.Errorf("%s got %s, which was sent while they were no member", u, text)
			}
		}
		if u != "owner" && out < rounds {
			t.Errorf("%d messages were sent while %s was no member, which proves little", out, u)
		}
	}

	_, order := collect("owner", h.reconnect("owner", tablet, "")) // all of it from the stream
	at := make(map[string]int)
	for i, what := range order {
		at[what] = i
	}
	for _, u := range guests {
		k := 0
		for i, what := range order {
			if s, ok := sent[what]; ok {
				// Whom a message went to says which state its sender saw: the one of
				// now, the next, or, if it began before the last change, the one before.
				member, reached := k%2 == 0, received[u][what] > 0
				if reached != member && (k == 0 || s.begun > changes[u][k-1].done) {
					t.Errorf("%s, sent by a state that change %d of %s made, stands before that change", what, k+1, u)
				}
			}
			if what != "removed "+string(u) && what != "added "+string(u) {
				continue
			}
			change := changes[u][k]
			k++
			for text, s := range sent {
				if s.begun > change.done && at[text] < i || s.done < change.begun && at[text] > i {
					t.Errorf("%s and change %d of %s are not in the order in which they were made", text, k, u)
				}
			}
		}
		if k != 2*rounds {
			t.Errorf("%d changes of %s are in the inbox", k, u)
		}
	}
}
