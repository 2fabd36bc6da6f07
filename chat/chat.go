package chat

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"roost/schemas"
)

// Options say which user chats, on which server, as which device.
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
	// To is the user or the group whose chat is open at first. Default: none.
	To string
	// Device is the name of this device. A device of the user that has this name is taken
	// over. Default: the name of the machine.
	Device string
	// State is the folder with the state of this device. Default: one for each server and
	// user in the user's configuration folder.
	State string
}

// OptionsError is the error of [Run] for options that it cannot begin with.
type OptionsError struct{ err error }

func (e *OptionsError) Error() string { return e.err.Error() }
func (e *OptionsError) Unwrap() error { return e.err }

// callTimeout bounds a request that the user waits for.
const callTimeout = 10 * time.Second

// Run chats until stdin ends, the user quits or ctx ends. If stdin is no terminal, Run
// waits for the answers to all messages before it returns. Outcomes:
//  1. nil: the chat ended.
//  2. An [OptionsError]: the options are incomplete or invalid.
//  3. Another error: the server refused the user, the device was removed or taken over,
//     or the screen cannot be written.
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
	user := &account{opts: opts, stdin: stdin, lines: lines, stdout: stdout, named: named}
	if err := user.logIn(ctx); err != nil {
		return err
	}
	c, err := user.connect(ctx)
	if err != nil {
		return err
	}
	deleted := false
	defer func() {
		if closeErr := c.Close(); err == nil {
			err = closeErr
		}
		if removeErr := user.removeState(deleted); err == nil {
			err = removeErr
		}
	}()
	out, restore, err := newScreen(stdin, stdout)
	if err != nil {
		return err
	}
	defer restore()
	s := newSession(user, c, out, peer)
	defer func() { deleted = s.deletion.done }()
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
