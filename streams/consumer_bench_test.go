package streams_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"roost/schemas"
	"roost/streams"
	"roost/streams/inbox"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

// BenchmarkDeviceConsumer compares the two kinds of device consumer: with so many
// devices connected on one stream, messages go to random ones of them, at most 64
// under way, are delivered and acknowledged, and in the end those that are still
// there removed, which costs the less a message the more a device has. The metrics
// are CPU of the whole process, server included, and what its heap and stacks grow
// by.
//
//	go test -run '^$' -bench DeviceConsumer -benchtime 5000x ./streams
func BenchmarkDeviceConsumer(b *testing.B) {
	for _, kind := range []inbox.Kind{inbox.Direct, inbox.JetStream} {
		for _, n := range []int{10, 100, 1000, 5000} {
			b.Run(fmt.Sprintf("%s/devices=%d", kind, n), func(b *testing.B) { benchmarkDevices(b, kind, n) })
		}
	}
}

func benchmarkDevices(b *testing.B, kind inbox.Kind, n int) {
	c := connect(b, onePartition(), func(o *streams.Options) { o.DeviceConsumer = kind })
	now := newClock()
	inboxes, err := c.StartConsumersAt(timeout(b), now.Now)
	if err != nil {
		b.Fatal(err)
	}
	defer inboxes.Close()
	const underWay = 64
	d := &crowd{c: c, got: make(chan receipt, underWay), slots: make(chan struct{}, underWay)}
	warm := &crowd{c: c}
	warm.connect(b, inboxes, 100)
	warm.close()
	memory, cpu := memoryUsed(), cpuUsed()
	d.connect(b, inboxes, n)
	connecting := cpuUsed() - cpu
	memory = memoryUsed() - memory
	defer d.close()

	stopped, sent := d.acknowledge(), 0
	cpu = cpuUsed()
	for b.Loop() {
		d.send(b)
		sent++
	}
	for range underWay { // all are acknowledged
		d.slots <- struct{}{}
	}
	close(d.got)
	<-stopped
	messaging := cpuUsed() - cpu
	cpu = cpuUsed()
	d.awaitEmpty(b, func() {
		now.Advance(streams.RemoveDelay)
		inboxes.Sweep(context.Background())
	})
	removing := cpuUsed() - cpu

	b.ReportMetric(float64(messaging.Microseconds())/float64(sent), "cpu-µs/msg")
	b.ReportMetric(float64(removing.Microseconds())/float64(sent), "cpu-µs/removed")
	b.ReportMetric(float64(connecting.Microseconds())/float64(n), "cpu-µs/connect")
	b.ReportMetric(float64(memory)/float64(n), "B/device")
}

// crowd is devices that acknowledge whatever comes.
type crowd struct {
	c       *streams.Conn
	members []*member
	got     chan receipt  // as many as slots, so that Deliver does not block; closed by the benchmark
	slots   chan struct{} // holds one for each message under way; the sender waits while it is full
}

type receipt struct {
	to *member
	id schemas.MessageID
}

// member is the Sink of one device.
type member struct {
	crowd   *crowd
	addr    subject.Address
	inbox   inbox.Consumer
	drained chan struct{}
}

func (m *member) Room() bool { return true }

func (m *member) Deliver(entry []byte, _ schemas.Cursor) {
	if head, err := schemas.DecodeEntryHead(entry); err == nil {
		m.crowd.got <- receipt{m, head.MessageID}
	}
}
func (m *member) Drained(schemas.Cursor) { close(m.drained) }
func (*member) Frame([]byte)             {}
func (*member) End(inbox.EndReason)      {}

// connect has n devices connect, at most 8 at a time.
func (d *crowd) connect(b *testing.B, inboxes *inbox.Consumers, n int) {
	ctx, cancel := context.WithTimeout(context.Background(), streamstest.Timeout)
	defer cancel()
	failed := make(chan error, n)
	slots := make(chan struct{}, 8)
	for range n {
		m := &member{crowd: d, addr: streamstest.NewAddress(d.c), drained: make(chan struct{})}
		d.members = append(d.members, m)
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			in, err := inboxes.Open(ctx, m.addr, streamstest.NewSession(), "", m)
			if err == nil {
				m.inbox = in
				in.Start()
				<-m.drained
			}
			failed <- err
		}()
	}
	for range n {
		if err := streamstest.Receive(b, failed); err != nil {
			b.Fatal(err)
		}
	}
}

func (d *crowd) close() {
	ctx, cancel := context.WithTimeout(context.Background(), streamstest.Timeout)
	defer cancel()
	for _, m := range d.members {
		m.inbox.Close(ctx)
	}
}

// acknowledge runs until got is closed; what it returns is closed at its end.
func (d *crowd) acknowledge() (stopped chan struct{}) {
	stopped = make(chan struct{})
	go func() {
		defer close(stopped)
		for r := range d.got {
			if len(r.to.inbox.Acknowledge(r.id)) == 1 {
				<-d.slots
			}
		}
	}()
	return stopped
}

// send commits a message of 200 characters to any of the devices, and tells of it.
func (d *crowd) send(b *testing.B) {
	d.slots <- struct{}{}
	to := d.members[rand.IntN(len(d.members))]
	m := &schemas.Message{MessageID: d.c.Clock().Next(), SenderID: "alice", ReceiverID: to.addr.User, Content: text200, Timestamp: schemas.Now()}
	entry := m.StoredMessage()
	d.c.CommitCopies(streams.Copies{Message: m, Entry: entry, To: []subject.Address{to.addr}}, func(sequences []uint64, err error) {
		if err != nil {
			b.Error(err)
			return
		}
		d.c.Bus().PublishEntry(to.addr, sequences[0], entry)
	})
}

var text200 = fmt.Sprintf("%0200d", 0)

// awaitEmpty has all that was acknowledged removed. What is acknowledged during a
// removal waits for a later sweep.
func (d *crowd) awaitEmpty(b *testing.B, sweep func()) {
	ctx, cancel := context.WithTimeout(context.Background(), streamstest.Timeout)
	defer cancel()
	stream, err := d.c.JetStream().Stream(ctx, "INBOX_0")
	if err != nil {
		b.Fatal(err)
	}
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for polls := 0; ; polls++ {
		if polls%50 == 0 {
			sweep()
		}
		info, err := stream.Info(ctx)
		if err != nil {
			b.Fatal(err)
		}
		if info.State.Msgs == 0 {
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			b.Fatalf("%d acknowledged messages stay in the stream", info.State.Msgs)
		}
	}
}

// cpuUsed is the process's time on a CPU, in the system included.
func cpuUsed() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memoryUsed is what is reachable, and the stacks.
func memoryUsed() int64 {
	runtime.GC()
	runtime.GC() // what the first one finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
