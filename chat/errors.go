package chat

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"roost/client"
	"roost/schemas"
)

func isCode(err error, code schemas.Code) bool {
	return client.Code(err) == code
}

func isRemoved(err error) bool {
	var closed *client.CloseError
	return isCode(err, schemas.CodeDeviceRemoved) || errors.As(err, &closed) && closed.Code == schemas.CloseDeviceRemoved
}

// explain returns an error in the words of the user.
func explain(err error) error {
	var closed *client.CloseError
	var e *schemas.Error
	var request *url.Error
	switch {
	case isRemoved(err):
		return errors.New("this device was removed")
	case errors.As(err, &closed) && closed.Code == schemas.CloseReplaced:
		return errors.New("another chat has taken this device over; give one of them another --device and --state")
	case errors.As(err, &e) && error(e) == err:
		return errors.New(nameField(strings.TrimSuffix(e.Message, ".")))
	case errors.As(err, &request) && request.Timeout():
		return errors.New("the server does not answer")
	case errors.As(err, &request):
		return fmt.Errorf("the server cannot be reached: %w", request.Err)
	}
	return err
}

// closeReason returns the reason that the server gave for the end of a connection, after
// a colon.
func closeReason(err error) string {
	var closed *client.CloseError
	if errors.As(err, &closed) && closed.Reason != "" {
		return ": " + closed.Reason
	}
	return ""
}

// fieldNames are the user's names of the fields that the server's errors begin with.
var fieldNames = map[string]string{"content": "the text", "group_id": "the group", "group_name": "a name", "last_seen": "it", "name": "a name",
	"password": "a password", "receiver_id": "the user", "role": "a role", "target_message_id": "it", "user_id": "the user"}

// nameField replaces the field that an error begins with by its name. If a sentence
// follows, it leaves the field out.
func nameField(message string) string {
	field, rest, _ := strings.Cut(message, ": ")
	name, known := fieldNames[field]
	if !known {
		return message
	}
	switch verb, _ := cutWord(rest); verb {
	case "is", "has", "of":
		return name + " " + rest
	}
	return rest
}
