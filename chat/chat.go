package chat

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"roost/client"
	"roost/schemas"
)

// Options say who chats, on which server, as which device.
type Options struct {
	// Server is the URL of the server. Required.
	Server string
	// User is the id of the user. Required.
	User string
	// Password of the user. Default: the terminal asks for it.
	Password string
	// Token of an external issuer takes the place of the password.
	Token string
	// Register creates the account if there is none. Default: the terminal asks.
	Register bool
	// To is the user or the group to write to at first. Default: none.
	To string
	// Device is the name of this device. A device of the user that has this name is taken
	// over. Default: the name of the machine.
	Device string
	// State is the folder of what this device has to remember. Default: one for each server
	// and user in the user's configuration folder.
	State string
}

// OptionsError is the error of [Run] for options that it cannot begin with.
type OptionsError struct{ err error }

func (e *OptionsError) Error() string { return e.err.Error() }
func (e *OptionsError) Unwrap() error { return e.err }

// chatCallTime bounds a request that the person waits for.
const chatCallTime = 10 * time.Second

// Run chats until stdin ends, the user quits or ctx ends. At the end of a stdin that is
// no terminal, Run waits for the answers to the messages that it sent. It returns an
// [OptionsError] before it sends anything if the options are not enough.
func Run(ctx context.Context, opts Options, stdin io.Reader, stdout io.Writer) (err error) {
	named := opts.Device != ""
	opts, err = opts.withDefaults()
	if err != nil {
		return &OptionsError{err}
	}
	var peer schemas.Participant
	if opts.To != "" {
		if peer, err = schemas.ParseParticipant(opts.To); err != nil {
			return &OptionsError{fmt.Errorf("--to: %w", err)}
		}
	}
	lines := bufio.NewReader(stdin)
	who := &account{opts: opts, stdin: stdin, lines: lines, stdout: stdout, named: named}
	if err := who.logIn(ctx); err != nil {
		return err
	}
	c, err := who.connect(ctx)
	if err != nil {
		return err
	}
	deleted := false
	defer func() {
		if closeErr := c.Close(); err == nil {
			err = closeErr
		}
		if removeErr := who.forget(deleted); err == nil {
			err = removeErr
		}
	}()
	out, restore, err := newScreen(stdin, stdout)
	if err != nil {
		return err
	}
	defer restore()
	s := newChat(who, c, out, peer)
	defer func() { deleted = s.deleted }()
	return s.run(ctx, out.reader(lines))
}

func (o Options) withDefaults() (Options, error) {
	user, err := schemas.ParseUserID(o.User)
	if err != nil {
		return o, fmt.Errorf("--user: %w", err)
	}
	server, err := url.Parse(o.Server)
	if err != nil || server.Host == "" {
		return o, fmt.Errorf("--server: %q is no URL of a server, such as https://chat.example.org", o.Server)
	}
	if o.Device == "" {
		if o.Device, err = os.Hostname(); err != nil {
			return o, fmt.Errorf("name this device with --device: %w", err)
		}
	}
	if e := schemas.ValidateName("device_name", o.Device, schemas.MaxDeviceNameByte); e != nil {
		return o, fmt.Errorf("--device: %s", e.Message)
	}
	if o.State == "" {
		base, err := os.UserConfigDir()
		if err != nil {
			return o, fmt.Errorf("name a folder with --state: %w", err)
		}
		// A token is free of dots and slashes, whatever the name holds.
		o.State = filepath.Join(base, "roost", schemas.UserID(server.Host).Token(), user.Token())
	}
	return o, nil
}

func isCode(err error, code schemas.Code) bool {
	return client.Code(err) == code
}

func isRemoved(err error) bool {
	var closed *client.CloseError
	return isCode(err, schemas.CodeDeviceRemoved) || errors.As(err, &closed) && closed.Code == schemas.CloseDeviceRemoved
}

// explain leaves of an error what its reader can use.
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
		return errors.New(plain(strings.TrimSuffix(e.Message, ".")))
	case errors.As(err, &request) && request.Timeout():
		return errors.New("the server does not answer")
	case errors.As(err, &request):
		return fmt.Errorf("the server cannot be reached: %w", request.Err)
	}
	return err
}

// lost says why a connection ended, as far as that helps a person.
func lost(err error) string {
	var closed *client.CloseError
	if errors.As(err, &closed) && closed.Reason != "" {
		return ": " + closed.Reason
	}
	return ""
}

// fieldWords are what the person calls the fields that errors begin with.
var fieldWords = map[string]string{"content": "the text", "group_id": "the group", "group_name": "a name", "last_seen": "it", "name": "a name",
	"password": "a password", "receiver_id": "the user", "role": "a role", "target_message_id": "it", "user_id": "the user"}

// plain puts words in place of the field that an error begins with, or leaves it out
// before a sentence.
func plain(message string) string {
	field, rest, _ := strings.Cut(message, ": ")
	words, known := fieldWords[field]
	if !known {
		return message
	}
	switch verb, _ := cutWord(rest); verb {
	case "is", "has", "of":
		return words + " " + rest
	}
	return rest
}
