package schemas_test

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"testing"

	"roost/schemas"
)

func TestRetryable(t *testing.T) {
	want := map[schemas.CloseCode]bool{
		schemas.CloseBadWebSocket:    true,
		schemas.CloseBadText:         true,
		schemas.CloseFrameTooBig:     true,
		schemas.CloseRestarting:      true,
		schemas.CloseProtocolError:   false,
		schemas.CloseUnauthenticated: false,
		schemas.CloseForbidden:       false,
		schemas.CloseSlow:            true,
		schemas.CloseHelloTimeout:    false,
		schemas.CloseRateLimited:     false,
		schemas.CloseReplaced:        false,
		schemas.CloseDeviceRemoved:   false,
		// Codes that Roost does not send: 1006 means a broken connection.
		1000: true, 1006: true, 1011: true, 3999: true, 4399: false, 4400: true, 4999: true,
	}
	for code, retryable := range want {
		if got := code.Retryable(); got != retryable {
			t.Errorf("%d: %v, want %v", code, got, retryable)
		}
	}
	for value, name := range sourceConstants(t, "CloseCode") {
		n, err := strconv.Atoi(value)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := want[schemas.CloseCode(n)]; !ok {
			t.Errorf("%s is not in the table", name)
		}
	}
}

func TestErrors(t *testing.T) {
	cause := io.ErrUnexpectedEOF
	tests := []struct {
		name  string
		err   *schemas.Error
		code  schemas.Code
		field string
		text  string
		cause error
		retry bool
	}{
		{"Errorf", schemas.Errorf(schemas.CodeNotFound, "There is no user %q.", "bob"), schemas.CodeNotFound, "",
			`not_found: There is no user "bob".`, nil, false},
		{"InvalidField", schemas.InvalidField("content", "has %d.", 7), schemas.CodeInvalidArgument, "content",
			"invalid_argument: content: has 7.", nil, false},
		{"Internal", schemas.Internal(cause), schemas.CodeInternal, "",
			"internal: The server failed. Its log has the reason. Try again later.: unexpected EOF", cause, false},
		{"Unavailable", schemas.Unavailable(cause), schemas.CodeUnavailable, "",
			"unavailable: Not stored in time. Send the same message_id_by_client again.: unexpected EOF", cause, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.err.Code != tt.code || tt.err.Field != tt.field || tt.err.Error() != tt.text {
				t.Errorf("code %q field %q %q", tt.err.Code, tt.err.Field, tt.err.Error())
			}
			if !errors.Is(tt.err, tt.cause) && tt.cause != nil || errors.Unwrap(tt.err) != tt.cause {
				t.Errorf("cause %v, want %v", errors.Unwrap(tt.err), tt.cause)
			}
			if got := tt.err.RetryAfterMS > 0; got != tt.retry {
				t.Errorf("retry_after_ms %d", tt.err.RetryAfterMS)
			}
			if got := schemas.AsError(fmt.Errorf("failed to answer: %w", tt.err)); got != tt.err {
				t.Errorf("AsError does not find it: %v", got)
			}
		})
	}
	if got := schemas.AsError(cause); got.Code != schemas.CodeInternal || got.Cause != cause {
		t.Errorf("another error becomes %v", got)
	}
}
