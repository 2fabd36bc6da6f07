// Package rawpublish publishes to a JetStream stream as fast as the server takes
// it: the limit that `roost bench` compares Roost with. Only bench uses it.
//
// Each client has a connection and a goroutine of its own. Stop waits for them. If a publish
// fails, its client ends the load, and Stop returns the error.
package rawpublish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options of a Load.
type Options struct {
	URL     string
	Clients int // connections, each with one publisher
	// Batch is how many messages are committed as one atomic batch, 2 to 1000. 0
	// publishes one by one, asynchronously.
	Batch int
	Size  int // bytes of a message
	// AsInbox publishes what Roost stores for a send: each message with an id to
	// tell duplicates by, into a stream that bounds its subjects. Not with Batch.
	AsInbox bool
}

const (
	streamName = "RAW"
	// pending bounds the publishes of one client that have no answer; beyond, it
	// waits.
	pending = 256
	// answerTimeout bounds the wait for one answer.
	answerTimeout = 30 * time.Second
)

// Load is publishing under way. Count may be called concurrently.
type Load struct {
	cancel    context.CancelCauseFunc
	ctx       context.Context
	wg        sync.WaitGroup
	published atomic.Int64
}

// Start makes the stream anew and begins to publish.
func Start(ctx context.Context, o Options) (*Load, error) {
	if err := makeStream(ctx, o); err != nil {
		return nil, err
	}
	l := &Load{}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	for i := range o.Clients {
		nc, err := nats.Connect(o.URL)
		if err != nil {
			l.Stop()
			return nil, fmt.Errorf("failed to connect: %w", err)
		}
		l.wg.Go(func() {
			defer nc.Close()
			publish := l.oneByOne
			if o.Batch > 0 {
				publish = l.batches
			}
			if err := publish(nc, i, o); err != nil && l.ctx.Err() == nil {
				l.cancel(err)
			}
		})
	}
	return l, nil
}

// Count is how many publishes were acknowledged.
func (l *Load) Count() int64 { return l.published.Load() }

var errStopped = errors.New("stopped")

// Stop ends the load and waits for it. It returns why it ended before, or nil.
func (l *Load) Stop() error {
	l.cancel(errStopped)
	l.wg.Wait()
	if err := context.Cause(l.ctx); !errors.Is(err, errStopped) {
		return err
	}
	return nil
}

func makeStream(ctx context.Context, o Options) error {
	nc, err := nats.Connect(o.URL)
	if err != nil {
		return fmt.Errorf("failed to connect: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("failed to use JetStream: %w", err)
	}
	if err := js.DeleteStream(ctx, streamName); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("failed to delete the stream: %w", err)
	}
	config := jetstream.StreamConfig{Name: streamName, Subjects: []string{"raw.>"},
		Storage: jetstream.FileStorage, AllowAtomicPublish: true}
	if o.AsInbox {
		config.Discard, config.DiscardNewPerSubject, config.MaxMsgsPerSubject = jetstream.DiscardNew, true, 1<<30
	}
	if _, err = js.CreateStream(ctx, config); err != nil {
		return fmt.Errorf("failed to make the stream: %w", err)
	}
	return nil
}

func subject(client, n int) string {
	return "raw." + strconv.Itoa(client) + "." + strconv.Itoa(n%64)
}

// oneByOne publishes asynchronously.
func (l *Load) oneByOne(nc *nats.Conn, client int, o Options) error {
	failed := make(chan error, 1) // the first failure; later ones are dropped
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(pending),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) {
			select {
			case failed <- err:
			default:
			}
		}))
	if err != nil {
		return fmt.Errorf("failed to use JetStream: %w", err)
	}
	data := make([]byte, o.Size)
	// At most pending+1 wait here for their answers: beyond, PublishMsgAsync blocks.
	answers := make(chan jetstream.PubAckFuture, pending+1)
	var counting sync.WaitGroup
	counting.Go(func() {
		for f := range answers {
			select {
			case <-f.Ok():
				l.published.Add(1)
			case <-f.Err():
			case <-l.ctx.Done():
			}
		}
	})
	defer counting.Wait()
	defer close(answers)
	for n := 0; l.ctx.Err() == nil; n++ {
		m := &nats.Msg{Subject: subject(client, n), Data: data}
		if o.AsInbox {
			m.Header = nats.Header{jetstream.MsgIDHeader: {strconv.Itoa(client) + "." + strconv.Itoa(n)}}
		}
		f, err := js.PublishMsgAsync(m, jetstream.WithStallWait(answerTimeout))
		if err != nil {
			return fmt.Errorf("failed to publish: %w", err)
		}
		answers <- f
		select {
		case err := <-failed:
			return fmt.Errorf("failed to publish: %w", err)
		default:
		}
	}
	return nil
}

// batches commits one atomic batch after the other.
func (l *Load) batches(nc *nats.Conn, client int, o Options) error {
	data := make([]byte, o.Size)
	for n := 0; l.ctx.Err() == nil; n++ {
		id := strconv.Itoa(client) + "-" + strconv.Itoa(n)
		for i := 1; i < o.Batch; i++ {
			if err := nc.PublishMsg(&nats.Msg{Subject: subject(client, i), Data: data, Header: batchHeader(id, i, false)}); err != nil {
				return fmt.Errorf("failed to publish a batch: %w", err)
			}
		}
		last := &nats.Msg{Subject: subject(client, 0), Data: data, Header: batchHeader(id, o.Batch, true)}
		reply, err := nc.RequestMsg(last, answerTimeout)
		if err != nil {
			return fmt.Errorf("failed to commit a batch: %w", err)
		}
		var answer struct {
			Count int64               `json:"count"`
			Error *jetstream.APIError `json:"error"`
		}
		if err := json.Unmarshal(reply.Data, &answer); err != nil {
			return fmt.Errorf("failed to read the answer to a batch: %w", err)
		}
		if answer.Error != nil {
			return fmt.Errorf("the server refused a batch: %w", answer.Error)
		}
		l.published.Add(answer.Count)
	}
	return nil
}

func batchHeader(id string, n int, commit bool) nats.Header {
	h := nats.Header{"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": {strconv.Itoa(n)}}
	if commit {
		h["Nats-Batch-Commit"] = []string{"1"}
	}
	return h
}
