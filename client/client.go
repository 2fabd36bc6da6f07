package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"roost/schemas"
)

// Client is one device of one user. It keeps a connection to the server. Any number of
// goroutines may call its methods.
type Client struct {
	// Connect sets these; they never change.
	opts   Options
	socket string // URL of the WebSocket
	log    *slog.Logger
	cancel context.CancelFunc

	events  chan Event    // capacity Options.Queue; runner and reader write, Receive reads; while it is full, the reader leaves the socket unread
	notices chan []byte   // unbuffered; MarkRead and SendTyping write, the writer of the connection reads
	wake    chan struct{} // capacity 1; wakeWriter writes, the writer reads; if it is full, the writer is awake already
	ready   chan struct{} // the runner closes it at the first welcome
	done    chan struct{} // the runner closes it at its end

	journal journal

	mu       sync.Mutex // guards the rest
	outbox   outbox
	inbox    inbox
	welcome  schemas.Welcome
	device   schemas.DeviceID
	presence subscription
	limit    int    // the largest frame that the server accepts, in bytes, as far as the client knows
	conn     int    // the number of the connection, from 1
	online   bool   // the connection is welcomed and not yet lost
	version  uint64 // of the state that the journal saves
	lastErr  error  // of the last attempt to connect
	err      error  // why the client has ended
	saveErr  error  // of the last save
}

// subscription is the list of SubscribePresence. The writer sends it once per connection.
type subscription struct {
	users []schemas.UserID // nil: no subscription
	sent  int              // the number of the last connection with this list
}

// Connect starts a client and returns after the server has welcomed it. It retries after
// temporary failures until ctx ends. After Connect returns, the end of ctx does not affect
// the client.
func Connect(ctx context.Context, opts Options) (*Client, error) {
	c, err := newClient(opts)
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	r := &runner{c: c, token: c.opts.Token}
	go func() {
		defer close(c.done)
		c.finish(r.run(life))
	}()

	select {
	case <-c.ready:
		return c, nil
	case <-c.done:
		cancel()
		return nil, fmt.Errorf("failed to connect: %w", c.ended())
	case <-ctx.Done():
		_ = c.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.lastErr == nil {
			return nil, fmt.Errorf("failed to connect: %w", ctx.Err())
		}
		return nil, fmt.Errorf("failed to connect: %w; the last attempt: %w", ctx.Err(), c.lastErr)
	}
}

func newClient(opts Options) (*Client, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	socket, err := endpoint(opts.URL, "/ws")
	if err != nil {
		return nil, err
	}
	var state State
	if opts.Store != nil {
		if state, err = opts.Store.Load(); err != nil {
			return nil, err
		}
	}
	device := opts.DeviceID
	switch {
	case device == "":
		device = state.DeviceID
	case state.DeviceID != "" && state.DeviceID != device:
		return nil, fmt.Errorf("client: the store belongs to device %s, not to %s", state.DeviceID, device)
	}
	if device == "" && opts.DeviceName == "" {
		return nil, errors.New("client: neither Options nor the store names a device")
	}
	return &Client{
		opts:    opts,
		socket:  socket,
		log:     opts.Logger,
		events:  make(chan Event, opts.Queue),
		notices: make(chan []byte),
		wake:    make(chan struct{}, 1),
		ready:   make(chan struct{}),
		done:    make(chan struct{}),
		journal: journal{store: opts.Store},
		outbox:  newOutbox(state),
		inbox:   newInbox(state),
		device:  device,
		limit:   schemas.MaxFrameBytes,
	}, nil
}

// Close writes the pending acknowledgements, closes the connection, and waits for every
// goroutine of the client. Calls of Send that wait for an answer return an
// [UnknownOutcomeError]. Close may be called again. It takes at most two seconds if the
// server does not answer, and returns an error only if the store fails.
func (c *Client) Close() error {
	c.cancel()
	<-c.done
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.saveErr
}

// Welcome returns the welcome frame of the newest connection: the user, the device and the
// limits of the server.
func (c *Client) Welcome() schemas.Welcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.welcome
}

// Receive returns the next event. After the client has ended, it first returns the queued
// events, and then why the client ended. Any error but that of ctx means that the client
// has ended.
//
// Call Receive all the time, and from another goroutine than Send: the client reads the
// answer to a send from the same socket.
func (c *Client) Receive(ctx context.Context) (Event, error) {
	select {
	case ev := <-c.events:
		return c.acknowledgeChange(ev), nil
	default:
	}
	select {
	case ev := <-c.events:
		return c.acknowledgeChange(ev), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.done:
	}
	select {
	case ev := <-c.events: // queued before the client ended
		return c.acknowledgeChange(ev), nil
	default:
		return nil, c.ended()
	}
}

// acknowledgeChange acknowledges the kinds of events that have no Ack, and returns ev.
func (c *Client) acknowledgeChange(ev Event) Event {
	var d *delivery
	switch ev := ev.(type) {
	case GroupUpdate:
		d = ev.delivery
	case ChatUpdate:
		d = ev.delivery
	case UserDeleted:
		d = ev.delivery
	default:
		return ev
	}
	if err := c.acknowledge(d); err != nil && !errors.Is(err, ErrClosed) {
		c.log.Warn("failed to acknowledge a change of a group, chat or user; the client may show it again", "error", err)
	}
	return ev
}

// ended returns why the client has ended, or nil.
func (c *Client) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// finish ends the client. Waiting sends return the reason, and the store gets the last
// state.
func (c *Client) finish(err error) {
	c.mu.Lock()
	c.err = err
	for _, s := range slices.Clone(c.outbox.outstanding) {
		if s.written {
			s.err = &UnknownOutcomeError{Number: s.MessageIDByClient, Err: err}
		} else {
			s.err = notSent(err)
			c.outbox.remove(s)
			c.version++
		}
		close(s.done)
	}
	c.mu.Unlock()
	saveErr := c.save()
	c.journal.seal()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.saveErr = saveErr
}

// save returns after the store has every change that was made before the call.
func (c *Client) save() error {
	c.mu.Lock()
	version := c.version
	c.mu.Unlock()
	return c.journal.save(version, c.snapshot)
}

func (c *Client) snapshot() (State, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return State{
		DeviceID:    c.device,
		Cursor:      c.inbox.cursor,
		LastSend:    c.outbox.last,
		Outstanding: listOf(c.outbox.outstanding),
		Seen:        c.inbox.recentlySeen(),
	}, c.version
}

// wakeWriter makes the writer collect its frames.
func (c *Client) wakeWriter() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
