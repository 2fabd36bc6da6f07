package client

import (
	"errors"
	"fmt"

	"github.com/coder/websocket"

	"roost/schemas"
)

// ErrClosed says that the application closed the client.
var ErrClosed = errors.New("client: closed")

// ErrNotOutstanding answers a [Client.Resend] of a number that this client
// never sent, or that was settled too long ago to remember how.
var ErrNotOutstanding = errors.New("client: no send is outstanding under that number")

// errNoNumbers refuses a send of a device that has used the last number. No program
// counts that far: another one has sent as this device, with numbers of its own.
var errNoNumbers = schemas.InvalidField("message_id_by_client", "this device has used its last number, %d; register another device.", schemas.MaxNumber)

// errStore ends a client whose store failed where nobody waits for it.
var errStore = errors.New("the store failed")

// CloseError is the server's close of the connection. From a Client that has
// ended the code is one that forbids to connect again unchanged.
type CloseError struct {
	Code   schemas.CloseCode
	Reason string
}

func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("the server closed the connection: %d", e.Code)
	}
	return fmt.Sprintf("the server closed the connection: %d: %s", e.Code, e.Reason)
}

// UnknownOutcomeError says that a send was written and its answer has not come:
// the message may be stored or not. It keeps its number, its place among the
// outstanding sends, and is asked again on every connection, also by the next
// client with the same Store. [Client.Resend] waits for the answer under the
// same number; calling Send with the same content is another message.
type UnknownOutcomeError struct {
	Number schemas.ClientMessageID
	Err    error // why the wait ended: the context's error, ErrClosed or a CloseError
}

func (e *UnknownOutcomeError) Error() string {
	return fmt.Sprintf("the outcome of send %d is unknown: %v", e.Number, e.Err)
}

func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// notSent is the other, known outcome of a send without answer.
func notSent(err error) error { return fmt.Errorf("not sent: %w", err) }

// closeError turns the close frame that ended a read into a CloseError and
// leaves any other failure as it is.
func closeError(err error) error {
	var frame websocket.CloseError
	if errors.As(err, &frame) {
		return &CloseError{Code: schemas.CloseCode(frame.Code), Reason: frame.Reason}
	}
	return err
}

// isUnauthenticated says whether the server refused the token, at whichever
// stage.
func isUnauthenticated(err error) bool {
	var closed *CloseError
	if errors.As(err, &closed) {
		return closed.Code == schemas.CloseUnauthenticated
	}
	var refused *schemas.Error
	return errors.As(err, &refused) && refused.Code == schemas.CodeUnauthenticated
}

// isFatal says whether connecting again unchanged is pointless. Before the
// first welcome a wrong address is one; afterwards it is a proxy in the middle
// of a change.
func isFatal(err error, welcomed bool) bool {
	if errors.Is(err, errFrameLimit) {
		return true
	}
	var closed *CloseError
	if errors.As(err, &closed) {
		return !closed.Code.Retryable()
	}
	var refused *schemas.Error
	if !errors.As(err, &refused) {
		return errors.Is(err, errStore)
	}
	switch refused.Code {
	case schemas.CodeUnavailable, schemas.CodeRateLimited, schemas.CodeInternal:
		return false
	case schemas.CodeNotFound, schemas.CodeMethodNotAllow:
		return !welcomed
	}
	return true
}

// Code is the code of the server's refusal in err's chain, which is a [*schemas.Error],
// or empty where there is none. Switch on it:
//
//	switch client.Code(err) {
//	case schemas.CodeUnknownReceiver:
//		…
//	}
func Code(err error) schemas.Code {
	var refused *schemas.Error
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}
