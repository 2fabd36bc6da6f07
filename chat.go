package main

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

// ChatOptions are the flags of roost chat.
type ChatOptions struct {
	Server   string `help:"URL of the server." default:"http://127.0.0.1:8080" env:"ROOST_SERVER"`
	User     string `help:"Who you are." short:"u" required:"" env:"ROOST_USER" placeholder:"NAME"`
	Password string `help:"Asked for on a terminal; as a flag, other users of this machine can see it." env:"ROOST_PASSWORD"`
	Token    string `help:"Token of an external issuer, instead of a password." env:"ROOST_TOKEN"`
	Register bool   `help:"Make the account if there is none, without asking."`
	To       string `help:"User or group to write to at first." placeholder:"NAME"`
	Device   string `help:"Name of this device, by default that of the machine. A device of that name that you have already is taken over. A second one on this machine needs another --state as well." placeholder:"NAME"`
	State    string `help:"Folder for what this device has to remember, by default one a server and user in your configuration folder." placeholder:"DIR"`
}

// Help is shown by --help, below the first line.
func (ChatOptions) Help() string {
	return "What you type is sent to whom you write to. Inside, /help lists the commands: groups, devices, " +
		"settings, blocks, presence, replies, edits, reactions, disappearing messages, history, export."
}

// Run chats on the terminal of the process.
func (o ChatOptions) Run(p process) error { return runChat(p.ctx, o, p.stdin, p.stdout) }

// chatCallTime bounds a request that the person waits for.
const chatCallTime = 10 * time.Second

// runChat chats until stdin ends, the person quits or ctx ends. At the end of a
// stdin that is no terminal it waits for the answers to what was sent.
func runChat(ctx context.Context, opts ChatOptions, stdin io.Reader, stdout io.Writer) (err error) {
	named := opts.Device != ""
	opts, err = opts.withDefaults()
	if err != nil {
		return cannotStart(err)
	}
	var peer schemas.Participant
	if opts.To != "" {
		if peer, err = schemas.ParseParticipant(opts.To); err != nil {
			return cannotStart(fmt.Errorf("--to: %w", err))
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

func (o ChatOptions) withDefaults() (ChatOptions, error) {
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
