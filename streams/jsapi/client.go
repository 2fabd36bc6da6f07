package jsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Client makes calls of JetStream within the bounds of a process. Methods may be called
// concurrently.
type Client struct {
	// JS is for calls that Client has no method for. Make them within Do.
	JS jetstream.JetStream

	// Static.
	control *nats.Conn
	reads   *nats.Conn
	single  bool               // one server has all streams: its answers are those of the leader
	calls   chan struct{}      // maxCalls; holds one for each call in progress
	readers chan *reader       // maxReads; a nil one is to be made
	ctx     context.Context    // ends with Close
	cancel  context.CancelFunc // of ctx
	watches sync.WaitGroup
}

const (
	// Timeout bounds one call.
	Timeout = 5 * time.Second
	// maxCalls bounds the calls in progress: the server queues 10,000, and drops all of
	// them when one more arrives.
	maxCalls = 64
)

// New makes a Client of two connections: control for the API and for buckets, and reads
// for Direct Get. The server answers a Direct Get inside the read loop of its connection,
// so reads of a long backlog have a connection of their own. single says that one server
// has all streams.
func New(control, reads *nats.Conn, single bool) (*Client, error) {
	js, err := jetstream.New(control)
	if err != nil {
		return nil, fmt.Errorf("failed to use JetStream: %w", err)
	}
	c := &Client{JS: js, control: control, reads: reads, single: single,
		calls: make(chan struct{}, maxCalls), readers: make(chan *reader, maxReads)}
	for range maxReads {
		c.readers <- nil
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Close ends the watches and waits for the reads in progress. Call it once, before the
// connections are closed, and Wait afterwards.
func (c *Client) Close() {
	c.cancel()
	for range maxReads {
		if r := <-c.readers; r != nil {
			_ = r.sub.Unsubscribe() // fails only if the connection is closed
		}
	}
}

// Wait waits for the goroutines of the watches. They end with the connections, whatever
// NATS does.
func (c *Client) Wait() { c.watches.Wait() }

// Do calls do, which makes one request, once fewer than maxCalls are in progress. The
// context of do ends after Timeout.
func (c *Client) Do(ctx context.Context, do func(context.Context) error) error {
	select {
	case c.calls <- struct{}{}:
		defer func() { <-c.calls }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	return do(ctx)
}

// PurgeTo removes the messages of a subject up to sequence seq. The subject may have
// wildcards.
func (c *Client) PurgeTo(ctx context.Context, stream, filter string, seq uint64) error {
	return c.call(ctx, "STREAM.PURGE."+stream, map[string]any{"filter": filter, "seq": seq + 1})
}

// Purge removes all messages of a subject, which may have wildcards.
func (c *Client) Purge(ctx context.Context, stream, filter string) error {
	return c.call(ctx, "STREAM.PURGE."+stream, map[string]any{"filter": filter})
}

// Delete removes one message. It is no error if the message is gone already.
func (c *Client) Delete(ctx context.Context, stream string, seq uint64) error {
	return c.call(ctx, "STREAM.MSG.DELETE."+stream, map[string]any{"seq": seq, "no_erase": true})
}

// Erase is Delete, and overwrites the message on disk.
func (c *Client) Erase(ctx context.Context, stream string, seq uint64) error {
	return c.call(ctx, "STREAM.MSG.DELETE."+stream, map[string]any{"seq": seq})
}

// CreateConsumer creates a consumer of a stream.
func (c *Client) CreateConsumer(ctx context.Context, stream string, config jetstream.ConsumerConfig) error {
	err := c.Do(ctx, func(ctx context.Context) error {
		_, err := c.JS.CreateConsumer(ctx, stream, config)
		return err
	})
	if err != nil {
		return fmt.Errorf("failed to create consumer %s of %s: %w", config.Name, stream, err)
	}
	return nil
}

// DeleteConsumer deletes a consumer. It is no error if the consumer is gone already.
func (c *Client) DeleteConsumer(ctx context.Context, stream, name string) error {
	err := c.Do(ctx, func(ctx context.Context) error { return c.JS.DeleteConsumer(ctx, stream, name) })
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("failed to delete consumer %s of %s: %w", name, stream, err)
	}
	return nil
}

// Stream looks a stream up.
func (c *Client) Stream(ctx context.Context, name string) (info *jetstream.StreamInfo, err error) {
	err = c.Do(ctx, func(ctx context.Context) error {
		s, err := c.JS.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("failed to look up stream %s: %w", name, err)
		}
		info = s.CachedInfo()
		return nil
	})
	return info, err
}

func (c *Client) call(ctx context.Context, verb string, body any) error {
	return c.Do(ctx, func(ctx context.Context) error { return c.request(ctx, verb, body) })
}

func (c *Client) request(ctx context.Context, verb string, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("failed to encode %s: %w", verb, err)
	}
	m, err := c.control.RequestWithContext(ctx, "$JS.API."+verb, data)
	if err != nil {
		return fmt.Errorf("failed to call %s: %w", verb, err)
	}
	var answer struct {
		Error *Error `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("failed to read the answer of %s: %w", verb, err)
	}
	if e := answer.Error; e != nil && !e.gone() {
		return fmt.Errorf("%s answered: %s (%d)", verb, e.Description, e.Code)
	}
	return nil
}

// Error is the error with which JetStream refuses a call or a publish.
type Error struct {
	Code        int    `json:"err_code"`
	Description string `json:"description"`
}

// Stale reports whether a publish expected another newest entry of its subject. A
// replicated stream with a change in flight has a code of its own.
func (e *Error) Stale() bool {
	return e.Code == int(jetstream.JSErrCodeStreamWrongLastSequence) || e.Code == int(jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// gone reports whether the message to be deleted was not there any more.
func (e *Error) gone() bool {
	const sequenceNotFound, deleteFailed = 10043, 10057
	return e.Code == sequenceNotFound || e.Code == deleteFailed && strings.Contains(e.Description, "no message found")
}

// IsClosed reports whether a call failed because the connection is closed, which is no
// fault at shutdown.
func IsClosed(err error) bool {
	return errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, net.ErrClosed)
}
