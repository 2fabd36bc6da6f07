package client

import (
	"errors"
	"fmt"
	"slices"

	"roost/schemas"
)

const (
	// numberDigits is the room for the number of a send, which it gets last.
	numberDigits = len("9007199254740991")
	// leastLimit is the frame that every server of Roost takes: one that refuses
	// smaller ones is none.
	leastLimit = 1 << 10
)

// errFrameLimit ends a client whose server takes none of its frames.
var errFrameLimit = errors.New("the server refuses frames of the least size")

// tooLarge refuses a frame that the server would answer by closing the connection.
func tooLarge(n, limit int) error {
	return schemas.Errorf(schemas.CodeBadFrame, "The frame would have %d bytes, and the server takes %d. Send less at once.", n, limit)
}

// isTooBig says whether the server closed the connection because of a frame's size.
func isTooBig(err error) bool {
	var closed *CloseError
	return errors.As(err, &closed) && closed.Code == schemas.CloseFrameTooBig
}

// tooBig learns from a connection that the server closed with 1009. The largest frame
// that was written there was too large, whichever the server saw first: it is not
// written again. Sends as large end with an error, a list of presence goes in smaller
// parts, and cursors are given up for single acknowledgements.
func (c *Client) tooBig(largest int, closed error) error {
	if largest == 0 { // it was none of this client's
		return closed
	}
	if largest <= leastLimit {
		return fmt.Errorf("%w: %w", errFrameLimit, closed)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = min(c.limit, largest-1)
	for _, s := range slices.Clone(c.outbox.waiting) {
		if n := len(s.encoded); n > c.limit {
			c.outbox.settle(s, schemas.MessageReceived{}, tooLarge(n, c.limit))
			c.version++
		}
	}
	c.log.Warn("the server closed the connection because of a frame's size; no frame as large is sent again", "bytes", largest)
	return closed
}

// helloTooBig gives up the cursor in hello, which is what can be large in it: then
// everything unacknowledged comes again, and none of it is shown twice.
func (c *Client) helloTooBig(hello *schemas.Hello, closed error) error {
	if hello.ResumeAfter == "" {
		return fmt.Errorf("%w: %w", errFrameLimit, closed)
	}
	c.freshStart = true
	c.log.Warn("the server takes no hello with the cursor; it sends again what was not acknowledged")
	return closed
}

// presenceFrames are the frames of a list, none larger than limit: the first replaces
// the list, the others add to it.
func presenceFrames(users []schemas.UserID, limit int) (frames [][]byte, err error) {
	for from, first := 0, true; first || from < len(users); first = false {
		data, n := presenceFrame(users[from:], !first, limit)
		if len(data) > limit {
			return nil, tooLarge(len(data), limit)
		}
		frames = append(frames, data)
		from += n
	}
	return frames, nil
}

// presenceFrame is one of them, with as many users as fit, but at least one.
func presenceFrame(users []schemas.UserID, add bool, limit int) (data []byte, n int) {
	for n = len(users); ; n = max(n*limit/(len(data)+1), 1) {
		data = schemas.EncodeFrame(&schemas.PresenceSubscribe{UserIDs: users[:n], Add: add})
		if len(data) <= limit || n <= 1 {
			return data, n
		}
	}
}
