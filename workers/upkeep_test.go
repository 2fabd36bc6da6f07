package workers

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"roost/schemas"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

const month = 30 * 24 * time.Hour

// device registers a device and sets its last use to that long ago.
func (b *bench) device(u schemas.UserID, ago time.Duration) subject.Address {
	b.t.Helper()
	at := schemas.TimestampOf(time.Now().Add(-ago))
	d := schemas.Device{DeviceID: schemas.DeviceID(b.conn.Clock().NextULID()), Name: "phone", CreatedAt: at, LastActive: at}
	if _, err := b.conn.Directory().AddDevice(b.ctx(), u, d, 100); err != nil {
		b.t.Fatal(err)
	}
	return subject.Address{User: u, Device: d.DeviceID}
}

func (b *bench) devices(u schemas.UserID) int {
	b.t.Helper()
	p, err := b.conn.Directory().Fresh(b.ctx(), u)
	if err != nil {
		b.t.Fatal(err)
	}
	return len(p.Devices)
}

// TestUnusedDevicesAreRemoved: several workers remove each unused device once.
func TestUnusedDevicesAreRemoved(t *testing.T) {
	b := newBench(t)
	b.device("alice", month+time.Hour)
	used := b.device("alice", month-time.Hour)
	b.device("bob", 3*month)
	b.device("carol", time.Hour)
	var registries []*prometheus.Registry
	for range 3 {
		registries = append(registries, b.runWith(Options{Store: b.store, DeviceMaxIdle: month}))
	}
	b.eventually("the devices are removed", func() bool { return b.devices("alice") == 1 && b.devices("bob") == 0 })
	b.eventually("the metric counts them", func() bool {
		sum := 0.0
		for _, r := range registries {
			sum += counter(t, r, "devices_deactivated_total")
		}
		return sum == 2
	})
	p, err := b.conn.Directory().Fresh(b.ctx(), "alice")
	if _, ok := p.Device(used.Device); err != nil || !ok || len(p.Removed) != 1 || b.devices("carol") != 1 {
		t.Errorf("the devices are %+v, %v", p, err)
	}
}

// TestRounds: each round removes the devices that are idle for maxIdle by then. Without a
// maximum it removes none.
func TestRounds(t *testing.T) {
	b := newBench(t)
	b.device("alice", 0)
	k := newUpkeep(Options{Streams: b.conn, DeviceMaxIdle: month, Log: streamstest.Log(t)}, newMetrics(prometheus.NewRegistry()), nil)
	for _, after := range []time.Duration{0, month - time.Minute} {
		if err := k.round(b.ctx(), time.Now().Add(after)); err != nil || b.devices("alice") != 1 {
			t.Fatalf("removed after %s (%v)", after, err)
		}
	}
	k.maxIdle = 0
	if err := k.round(b.ctx(), time.Now().Add(100*month)); err != nil || b.devices("alice") != 1 {
		t.Fatalf("removed without a maximum (%v)", err)
	}
	k.maxIdle = month
	if err := k.round(b.ctx(), time.Now().Add(month+time.Minute)); err != nil || b.devices("alice") != 0 {
		t.Errorf("not removed after the maximum (%v)", err)
	}
}
