package gateway

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"roost/schemas"
	"roost/streams/subject"
)

// maxAcceptedDevices bounds the devices whose accepted sends a gateway remembers; one
// more evicts the device that sent least recently.
const maxAcceptedDevices = 100_000

// acceptedSends remembers which of a device's last sends this gateway has accepted: all their copies
// are durable. The gateway answers a retry of such a send and commits nothing, so that a message
// that its receiver has acknowledged meanwhile is not stored again. For other sends the gateway
// looks into the inboxes, and the streams deduplicate within their duplicate window.
type acceptedSends struct {
	mu      sync.Mutex // guards the rest
	devices *simplelru.LRU[subject.Address, *acceptedNumbers]
}

// acceptedNumbers are the accepted numbers of one device, among the
// schemas.MaxOutstanding up to the highest.
type acceptedNumbers struct {
	highest schemas.ClientMessageID
	below   uint64 // bit i: highest-i is accepted
}

func newAcceptedSends() *acceptedSends {
	devices, _ := simplelru.NewLRU[subject.Address, *acceptedNumbers](maxAcceptedDevices, nil) // fails for sizes below 1 alone
	return &acceptedSends{devices: devices}
}

// add remembers that a send is accepted.
func (a *acceptedSends) add(from subject.Address, n schemas.ClientMessageID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	of, ok := a.devices.Get(from)
	if !ok {
		of = &acceptedNumbers{highest: n}
		a.devices.Add(from, of)
	}
	if n > of.highest {
		of.below <<= min(uint64(n-of.highest), 64)
		of.highest = n
	}
	if back := uint64(of.highest - n); back < 64 {
		of.below |= 1 << back
	}
}

// has reports whether the gateway remembers that it accepted the send.
func (a *acceptedSends) has(from subject.Address, n schemas.ClientMessageID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	of, ok := a.devices.Get(from)
	if !ok || n > of.highest {
		return false
	}
	back := uint64(of.highest - n)
	return back < 64 && of.below&(1<<back) != 0
}
