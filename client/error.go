package client

import (
	"errors"
	"fmt"

	"github.com/coder/websocket"

	"roost/schemas"
)

// ErrClosed means that the application closed the client.
var ErrClosed = errors.New("client: closed")

// ErrNotOutstanding means that [Client.Resend] does not know the number: this client never
// sent it, or its result is evicted.
var ErrNotOutstanding = errors.New("client: no send is outstanding under that number")

// errNoNumbers refuses a send after the last number of a device. No client counts that far:
// another program has sent as this device, with its own numbers.
var errNoNumbers = schemas.InvalidField("message_id_by_client", "this device has used its last number, %d. Register another device.", schemas.MaxNumber)

// errStore ends a client if a save fails that no call waits for.
var errStore = errors.New("the store failed")

// CloseError is the close frame of the server. If a Client ends with it, the code forbids
// another connection with the same options.
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

// UnknownOutcomeError means that a send was written but not answered: the server may have
// stored the message or not. The send stays outstanding. The client retries it on every
// connection, and so does the next client with the same Store. [Client.Resend] waits for
// the answer under the same number. Another Send with the same content is another message.
type UnknownOutcomeError struct {
	Number schemas.ClientMessageID
	Err    error // why the wait ended: the error of the context, ErrClosed or a CloseError
}

func (e *UnknownOutcomeError) Error() string {
	return fmt.Sprintf("the outcome of send %d is unknown: %v", e.Number, e.Err)
}

func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// notSent wraps the error of a send that was never written, so its outcome is known.
func notSent(err error) error { return fmt.Errorf("not sent: %w", err) }

// closeError turns a close frame into a CloseError. It returns any other error unchanged.
func closeError(err error) error {
	var frame websocket.CloseError
	if errors.As(err, &frame) {
		return &CloseError{Code: schemas.CloseCode(frame.Code), Reason: frame.Reason}
	}
	return err
}

// isUnauthenticated reports whether the server refused the token, in its HTTP answer or in a
// close frame.
func isUnauthenticated(err error) bool {
	var closed *CloseError
	if errors.As(err, &closed) {
		return closed.Code == schemas.CloseUnauthenticated
	}
	var refused *schemas.Error
	return errors.As(err, &refused) && refused.Code == schemas.CodeUnauthenticated
}

// isFatal reports whether another attempt with the same options would fail too. An answer
// that the path does not exist is fatal only before the first welcome. Later it comes from a
// proxy during a change.
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

// Code returns the code of the [*schemas.Error] in err's chain, with which the server refused
// a request. It is empty if there is none. Switch on it:
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
