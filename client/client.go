package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"roost/schemas"
)

// Client is one device of one user, connected to a server for as long as it
// can. Its methods may be called from many goroutines.
type Client struct {
	// Set by Connect, never changed.
	opts   Options
	socket string // URL of the WebSocket
	log    *slog.Logger
	cancel context.CancelFunc

	events  chan Event    // Options.Queue long; written by run and its reader, read by Receive; when full the socket is not read
	notices chan []byte   // unbuffered; written by MarkRead and SendTyping, read by the writer of the connection
	wake    chan struct{} // 1 long; written by whoever gives the writer work, read by the writer; when full it is awake already
	ready   chan struct{} // closed by run at the first welcome
	done    chan struct{} // closed by run as its last act

	// Owned by run.
	token      string
	freshStart bool // the server takes no hello with the cursor
	tokenFresh bool // from the source, and not yet welcomed

	journal journal

	mu      sync.Mutex // guards what follows
	outbox  outbox
	inbox   inbox
	welcome schemas.Welcome
	device  schemas.DeviceID
	wanted  presenceWish
	limit   int    // bytes of the largest frame that the server takes, as far as is known
	conn    int    // number of the connection, counted from 1
	online  bool   // it is welcome and not yet lost
	version uint64 // of the state that the journal saves
	lastErr error  // of the last attempt to connect
	err     error  // why the client has ended
	saveErr error  // of the last save
}

// presenceWish is the list of SubscribePresence, sent once a connection.
type presenceWish struct {
	users []schemas.UserID // nil: never asked
	told  int              // the connection that was told
}

// Connect makes a client and returns when the server has welcomed it. Failures
// that may pass are tried again until ctx ends; afterwards ctx has no part in
// the client's life.
func Connect(ctx context.Context, opts Options) (*Client, error) {
	c, err := newClient(opts)
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	go func() {
		defer close(c.done)
		c.finish(c.run(life))
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
		token:   opts.Token,
		limit:   schemas.MaxFrameBytes,
	}, nil
}

// Close says good-bye to the server, waits for every goroutine of the client
// and returns. What was acknowledged is written first; sends without answer end
// with an [UnknownOutcomeError]. It may be called more than once, takes two
// seconds where the server does not answer, and fails only where the store does.
func (c *Client) Close() error {
	c.cancel()
	<-c.done
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.saveErr
}

// Welcome is what the server said at the beginning of the newest connection:
// who the user is, which device this is, and the limits.
func (c *Client) Welcome() schemas.Welcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.welcome
}

// Receive returns the next event. The client has ended when it fails with
// anything but the error of ctx; everything that came before is returned first.
//
// Call it all the time, and from another goroutine than the one that waits in
// Send: the answer to a send is read from the same socket.
func (c *Client) Receive(ctx context.Context) (Event, error) {
	select {
	case ev := <-c.events:
		return c.shown(ev), nil
	default:
	}
	select {
	case ev := <-c.events:
		return c.shown(ev), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.done:
	}
	select {
	case ev := <-c.events: // the last ones, which came with the end
		return c.shown(ev), nil
	default:
		return nil, c.ended()
	}
}

// shown acknowledges the kinds of events that the application does not.
func (c *Client) shown(ev Event) Event {
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
		c.log.Warn("a change of a group, chat or user may be shown again", "error", err)
	}
	return ev
}

// ended is why the client has ended, or nil.
func (c *Client) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// run connects again and again. It returns why it stopped.
func (c *Client) run(ctx context.Context) error {
	pause := backoff{least: c.opts.BackoffMin, most: c.opts.BackoffMax, jitter: c.opts.Jitter}
	for {
		end := c.attempt(ctx)
		if ctx.Err() != nil {
			return ErrClosed
		}
		if !c.worthAnotherTry(end.err) {
			return end.err
		}
		if end.lived >= stableAfter {
			pause.reset()
		}
		wait := end.pause(&pause)
		c.log.Info("not connected", "error", end.err, "retry_in", wait)
		if end.connected && !c.push(ctx, Disconnected{Err: end.err, RetryIn: wait}) {
			return ErrClosed
		}
		if !sleep(ctx, wait) {
			return ErrClosed
		}
	}
}

// ending is how an attempt to connect, or the connection that it led to, ended.
type ending struct {
	err       error
	connected bool
	lived     time.Duration
	notBefore time.Time // a reconnect frame named it; zero otherwise
}

// pause is the wait before the next attempt: as the server said, or else by the
// back-off.
func (e ending) pause(b *backoff) time.Duration {
	if !e.notBefore.IsZero() {
		return max(time.Until(e.notBefore), 0)
	}
	var refused *schemas.Error
	if errors.As(e.err, &refused) && refused.RetryAfterMS > 0 {
		return max(b.next(), time.Duration(refused.RetryAfterMS)*time.Millisecond)
	}
	return b.next()
}

// worthAnotherTry decides whether err ends the client. A token that the source
// did not just make may have expired: the source is asked for another.
func (c *Client) worthAnotherTry(err error) bool {
	c.mu.Lock()
	c.lastErr = err
	c.mu.Unlock()
	if isUnauthenticated(err) && c.opts.TokenSource != nil && c.token != "" && !c.tokenFresh {
		c.token = ""
		return true
	}
	select {
	case <-c.ready:
		return !isFatal(err, true)
	default:
		return !isFatal(err, false)
	}
}

func (c *Client) attempt(ctx context.Context) ending {
	defer func() {
		c.mu.Lock()
		c.online = false
		c.mu.Unlock()
	}()
	k, err := c.open(ctx)
	if err != nil {
		return ending{err: err}
	}
	began := time.Now()
	notBefore, err := k.serve(ctx)
	if isTooBig(err) {
		err = c.tooBig(k.largest, err)
	}
	return ending{err: err, connected: true, lived: time.Since(began), notBefore: notBefore}
}

// push reports whether the queue took ev before ctx ended.
func (c *Client) push(ctx context.Context, ev Event) bool {
	select {
	case c.events <- ev:
		return true
	case <-ctx.Done():
		return false
	}
}

// finish ends the client: whoever waits learns why, and the store gets the last
// state.
func (c *Client) finish(err error) {
	c.mu.Lock()
	c.err = err
	for _, s := range slices.Clone(c.outbox.waiting) {
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

// save returns when the store has everything that happened before the call.
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
		Outstanding: listOf(c.outbox.waiting),
		Seen:        c.inbox.seenLately(),
	}, c.version
}

// rouse has the writer look for work.
func (c *Client) rouse() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
