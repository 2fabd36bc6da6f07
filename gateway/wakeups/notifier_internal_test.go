package wakeups

import (
	"testing"
	"time"

	"roost/schemas"
	"roost/streams/bus"
)

type device struct{ frames int }

func (d *device) Wake([]byte) { d.frames++ }

// A device is woken once until it pulls or Again passes, and nothing of it is left after it
// is gone, whatever round is running.
func TestDevicesAreForgotten(t *testing.T) {
	phone := new(device)
	connected := []Device{phone}
	w := &Notifier{wake: make(chan struct{}, 1), channels: make(map[schemas.GroupID]*wakeChannel), woken: make(map[Device]map[schemas.GroupID]wokenAt)}
	w.opts.Connected = func(...schemas.UserID) []Device { return append([]Device(nil), connected...) }
	now := time.Now()
	news := func(sequence uint64) bus.ChannelNews { return bus.ChannelNews{Group: "g-1", Sequence: sequence} }
	for i, c := range []struct {
		sequence uint64
		after    time.Duration
		want     int
	}{{1, 0, 1}, {1, time.Hour, 0}, {2, Again - 1, 0}, {2, Again, 1}} {
		if got := w.toWake([]schemas.UserID{"alice"}, news(c.sequence), now.Add(c.after)); len(got) != c.want {
			t.Errorf("step %d: %d devices are woken, want %d", i, len(got), c.want)
		}
	}
	w.Pulled("alice", "g-1")
	if got := w.toWake([]schemas.UserID{"alice"}, news(3), now.Add(Again)); len(got) != 1 {
		t.Error("after a pull the next message wakes nobody")
	}
	connected = nil
	w.Forget(phone)
	w.toWake([]schemas.UserID{"alice"}, news(4), now.Add(time.Hour))
	w.Pulled("alice", "g-1")
	if len(w.woken) != 0 {
		t.Errorf("%d devices that are gone are remembered", len(w.woken))
	}
}
