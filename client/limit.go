package client

import (
	"errors"
	"fmt"
	"slices"

	"roost/schemas"
)

const (
	// numberDigits is the length of the largest number of a send. A send gets its number
	// after the check of its size.
	numberDigits = len("9007199254740991")
	// leastLimit is a size that every Roost server accepts. A server that refuses it is
	// not a Roost server.
	leastLimit = 1 << 10
)

// errFrameLimit ends a client whose server accepts none of its frames.
var errFrameLimit = errors.New("the server refuses even small frames")

// tooLarge returns the error of a frame for which the server would close the connection.
func tooLarge(n, limit int) error {
	return schemas.Errorf(schemas.CodeBadFrame, "The frame would have %d bytes, but the server accepts %d. Send less at once.", n, limit)
}

// isTooBig reports whether the server closed the connection because of a frame's size.
func isTooBig(err error) bool {
	var closed *CloseError
	return errors.As(err, &closed) && closed.Code == schemas.CloseFrameTooBig
}

// tooBig lowers the limit after the server closed a connection with 1009. The client does
// not know which of its frames was too large, so it never again writes one as large as the
// largest. Outstanding sends of that size fail, presence lists are split into smaller
// frames, and single acknowledgements replace a large ack frame.
func (c *Client) tooBig(largest int, closed error) error {
	if largest == 0 { // this client has written no frame
		return closed
	}
	if largest <= leastLimit {
		return fmt.Errorf("%w: %w", errFrameLimit, closed)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = min(c.limit, largest-1)
	for _, s := range slices.Clone(c.outbox.outstanding) {
		if n := len(s.encoded); n > c.limit {
			c.outbox.complete(s, schemas.MessageReceived{}, tooLarge(n, c.limit))
			c.version++
		}
	}
	c.log.Warn("the server closed the connection because of a frame's size; the client writes smaller frames from now on", "bytes", largest)
	return closed
}

// presenceFrames returns the frames that subscribe to a list of users, none larger than
// limit. The first replaces the old list, the others add to it.
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

// presenceFrame returns one of these frames, with as many users as fit, but at least one.
func presenceFrame(users []schemas.UserID, add bool, limit int) (data []byte, n int) {
	for n = len(users); ; n = max(n*limit/(len(data)+1), 1) {
		data = schemas.EncodeFrame(&schemas.PresenceSubscribe{UserIDs: users[:n], Add: add})
		if len(data) <= limit || n <= 1 {
			return data, n
		}
	}
}
