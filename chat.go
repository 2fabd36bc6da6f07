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
	"sync"
	"time"

	"golang.org/x/term"

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
	Device   string `help:"Name of this device, by default that of the machine. A device of that name that you have already is taken over." placeholder:"NAME"`
	State    string `help:"Folder for what this device has to remember, by default one a server and user in your configuration folder." placeholder:"DIR"`
}

// Run chats on the terminal of the process.
func (o ChatOptions) Run(p process) error { return runChat(p.ctx, o, p.stdin, p.stdout) }

// chatCallTime bounds a request that the person waits for.
const chatCallTime = 10 * time.Second

// runChat chats until stdin ends, the person quits or ctx ends. At the end of a
// stdin that is no terminal it waits for the answers to what was sent.
func runChat(ctx context.Context, opts ChatOptions, stdin io.Reader, stdout io.Writer) (err error) {
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
	who := &account{opts: opts, stdin: stdin, lines: lines, stdout: stdout}
	if err := who.logIn(ctx); err != nil {
		return err
	}
	c, err := who.connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := c.Close(); err == nil {
			err = closeErr
		}
	}()
	out, restore, err := newScreen(stdin, stdout)
	if err != nil {
		return err
	}
	defer restore()
	s := &chat{account: who, client: c, screen: out, peer: peer, outgoing: make(chan outgoing, chatUnanswered),
		results: make(chan result), events: make(chan received)}
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
	if e := schemas.ValidateDeviceName(o.Device); e != nil {
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

// account is the person's right to talk to the server.
type account struct {
	opts   ChatOptions
	stdin  io.Reader
	lines  *bufio.Reader // of stdin
	stdout io.Writer

	mu    sync.Mutex
	token string
}

func (a *account) api() *client.API {
	a.mu.Lock()
	defer a.mu.Unlock()
	return &client.API{URL: a.opts.Server, Token: a.token}
}

// renew gets another token, for the password that was good once.
func (a *account) renew(ctx context.Context) (string, error) {
	if a.opts.Password == "" {
		return "", schemas.Errorf(schemas.CodeUnauthenticated, "The token has expired.")
	}
	token, err := a.api().Login(ctx, schemas.UserID(a.opts.User), a.opts.Password)
	if err != nil {
		return "", err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.token = token.Token
	return token.Token, nil
}

// call makes one request, and again if the token has expired.
func (a *account) call(ctx context.Context, request func(context.Context, *client.API) error) error {
	ctx, cancel := context.WithTimeout(ctx, chatCallTime)
	defer cancel()
	err := request(ctx, a.api())
	if isCode(err, schemas.CodeUnauthenticated) {
		if _, renewErr := a.renew(ctx); renewErr == nil {
			err = request(ctx, a.api())
		}
	}
	return err
}

// logIn gets the first token. The server does not tell a wrong password from an
// account that is not there, so making one is worth a try only if wanted.
func (a *account) logIn(ctx context.Context) error {
	if a.opts.Token != "" {
		a.token, a.opts.Password = a.opts.Token, ""
		return nil
	}
	fd, asks := terminal(a.stdin)
	typed := a.opts.Password == ""
	if typed {
		if !asks {
			return cannotStart(errors.New("set ROOST_PASSWORD, or run it on a terminal to be asked"))
		}
		password, err := a.ask(fd, "Password of "+a.opts.User)
		if err != nil {
			return err
		}
		a.opts.Password = password
	}
	ctx, cancel := context.WithTimeout(ctx, 10*chatCallTime) // the person types meanwhile
	defer cancel()
	_, err := a.renew(ctx)
	if !isCode(err, schemas.CodeUnauthenticated) {
		return explain(err)
	}
	if !a.opts.Register {
		if !asks {
			return fmt.Errorf("%w (if %s has no account yet: --register makes one)", explain(err), a.opts.User)
		}
		fmt.Fprintf(a.stdout, "There is no account %s with that password. Make one? [y/N] ", a.opts.User)
		answer, _ := a.lines.ReadString('\n')
		if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
			return explain(err)
		}
		if typed {
			again, askErr := a.ask(fd, "The password once more")
			if askErr != nil {
				return askErr
			}
			if again != a.opts.Password {
				return errors.New("the two passwords differ")
			}
		}
	}
	_, createErr := a.api().Register(ctx, schemas.UserID(a.opts.User), a.opts.Password)
	if isCode(createErr, schemas.CodeConflict) {
		return explain(err) // there is one, and this is not its password
	}
	if createErr != nil {
		return explain(createErr)
	}
	fmt.Fprintf(a.stdout, "The account %s is made.\n", a.opts.User)
	_, err = a.renew(ctx)
	return explain(err)
}

// ask reads a password without showing it.
func (a *account) ask(fd int, what string) (string, error) {
	fmt.Fprintf(a.stdout, "%s: ", what)
	password, err := term.ReadPassword(fd)
	fmt.Fprintln(a.stdout)
	if err != nil {
		return "", fmt.Errorf("failed to read the password: %w", err)
	}
	return string(password), nil
}

// connect connects as the device that the state folder knows, else the user's
// device of that name, else a new one.
func (a *account) connect(ctx context.Context) (*client.Client, error) {
	store := client.FileStore(filepath.Join(a.opts.State, "device.json"))
	state, err := store.Load()
	if err != nil {
		return nil, err
	}
	device := state.DeviceID
	if device == "" {
		if device, err = a.device(ctx); err != nil {
			return nil, explain(err)
		}
	}
	c, err := client.Connect(ctx, client.Options{URL: a.opts.Server, Token: a.api().Token, TokenSource: a.renew,
		DeviceID: device, Store: store})
	if isRemoved(err) {
		return nil, fmt.Errorf("this device was removed; delete %s to begin as a new one", store)
	}
	return c, explain(err)
}

func (a *account) device(ctx context.Context) (schemas.DeviceID, error) {
	var id schemas.DeviceID
	err := a.call(ctx, func(ctx context.Context, api *client.API) error {
		devices, err := api.Devices(ctx)
		if err != nil {
			return err
		}
		var names []string
		for _, d := range devices {
			if d.Name == a.opts.Device {
				id = d.DeviceID
				return nil
			}
			names = append(names, d.Name)
		}
		d, err := api.RegisterDevice(ctx, a.opts.Device)
		if isCode(err, schemas.CodeDeviceLimit) {
			return fmt.Errorf("%w (--device takes one over: %s)", err, strings.Join(names, ", "))
		}
		id = d.DeviceID
		return err
	})
	return id, err
}

func isCode(err error, code schemas.Code) bool {
	var e *schemas.Error
	return errors.As(err, &e) && e.Code == code
}

func isRemoved(err error) bool {
	var closed *client.CloseError
	return isCode(err, schemas.CodeDeviceRemoved) || errors.As(err, &closed) && closed.Code == schemas.CloseDeviceRemoved
}

// explain leaves of an error what its reader can use.
func explain(err error) error {
	var closed *client.CloseError
	var e *schemas.Error
	switch {
	case isRemoved(err):
		return errors.New("this device was removed")
	case errors.As(err, &closed) && closed.Code == schemas.CloseReplaced:
		return errors.New("another chat has taken this device over; give one of them another --device and --state")
	case errors.As(err, &e) && error(e) == err:
		return errors.New(strings.TrimSuffix(e.Message, "."))
	}
	return err
}
