package chat

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"roost/client"
	"roost/schemas"
)

// account is the person's right to talk to the server.
type account struct {
	opts   Options
	stdin  io.Reader
	lines  *bufio.Reader // of stdin
	stdout io.Writer
	named  bool // the device, by --device

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

// The pauses between attempts while the server is not able to answer.
const (
	chatRetryMin  = time.Second
	chatRetryMost = 30 * time.Second
)

// patiently makes an attempt again for as long as the server says that it cannot
// answer now, until ctx ends. Each attempt has chatCallTime. It says so once.
func (a *account) patiently(ctx context.Context, attempt func(context.Context) error) error {
	for pause, said := chatRetryMin, false; ; pause = min(2*pause, chatRetryMost) {
		once, cancel := context.WithTimeout(ctx, chatCallTime)
		err := attempt(once)
		cancel()
		var refused *schemas.Error
		if !errors.As(err, &refused) || refused.Code != schemas.CodeUnavailable {
			return err
		}
		if !said {
			fmt.Fprintf(a.stdout, "The server is not able to let you in now, and is asked again: %v\n", explain(refused))
			said = true
		}
		select {
		case <-time.After(max(pause, time.Duration(refused.RetryAfterMS)*time.Millisecond)):
		case <-ctx.Done():
			return err
		}
	}
}

// call makes one request, and again if the token has expired.
func (a *account) call(ctx context.Context, request func(context.Context, *client.API) error) error {
	return a.callFor(ctx, chatCallTime, request)
}

func (a *account) callFor(ctx context.Context, most time.Duration, request func(context.Context, *client.API) error) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	err := request(ctx, a.api())
	if isCode(err, schemas.CodeUnauthenticated) {
		switch _, renewErr := a.renew(ctx); {
		case renewErr == nil:
			err = request(ctx, a.api())
		case !isCode(renewErr, schemas.CodeUnauthenticated): // nobody knows yet whether the person may go on
			err = renewErr
		}
	}
	return err
}

// create is call for a request that makes something. One without an answer, or whose
// outcome is unknown, is tried once more, and makes it once.
func (a *account) create(ctx context.Context, request func(context.Context, *client.API) error) error {
	key := rand.Text()
	keyed := func(ctx context.Context, api *client.API) error { return request(ctx, api.Idempotent(key)) }
	err := a.call(ctx, keyed)
	var refused *schemas.Error
	if err == nil || ctx.Err() != nil || errors.As(err, &refused) && refused.Code != schemas.CodeUnavailable {
		return err
	}
	return a.call(ctx, keyed)
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
			return &OptionsError{errors.New("set ROOST_PASSWORD, or run it on a terminal to be asked")}
		}
		password, err := a.ask(fd, "Password of "+a.opts.User)
		if err != nil {
			return err
		}
		a.opts.Password = password
	}
	err := a.firstToken(ctx)
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
	createErr := a.patiently(ctx, func(ctx context.Context) error {
		_, err := a.api().Register(ctx, schemas.UserID(a.opts.User), a.opts.Password)
		return err
	})
	if isCode(createErr, schemas.CodeConflict) {
		return explain(a.firstToken(ctx)) // it was made by an attempt without an answer, or this is not its password
	}
	if createErr != nil {
		return explain(createErr)
	}
	fmt.Fprintf(a.stdout, "The account %s is made.\n", a.opts.User)
	return explain(a.firstToken(ctx))
}

func (a *account) firstToken(ctx context.Context) error {
	return a.patiently(ctx, func(ctx context.Context) error {
		_, err := a.renew(ctx)
		return err
	})
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

// stateFile is what this device has to remember.
func (a *account) stateFile() string { return filepath.Join(a.opts.State, "device.json") }

// forget removes what is left here of an account that was deleted.
func (a *account) forget(deleted bool) error {
	if !deleted {
		return nil
	}
	if err := os.Remove(a.stateFile()); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// removed ends the chat of a device that is no more.
func (a *account) removed() error {
	if _, err := os.Stat(a.stateFile()); errors.Is(err, os.ErrNotExist) {
		return errors.New("this device was removed; start again to begin as a new one")
	}
	return fmt.Errorf("this device was removed; delete %s to begin as a new one", a.stateFile())
}

// connect connects as the device that the state folder knows, else the user's
// device of that name, else a new one.
func (a *account) connect(ctx context.Context) (*client.Client, error) {
	store := client.FileStore(a.stateFile())
	state, err := store.Load()
	if err != nil {
		return nil, err
	}
	device := state.DeviceID
	err = a.patiently(ctx, func(ctx context.Context) (err error) {
		if state.DeviceID == "" {
			device, err = a.device(ctx)
			return err
		}
		return a.known(ctx, device)
	})
	if err != nil {
		return nil, explain(err)
	}
	c, err := client.Connect(ctx, client.Options{URL: a.opts.Server, Token: a.api().Token, TokenSource: a.renew,
		DeviceID: device, Store: store})
	if isRemoved(err) {
		return nil, a.removed()
	}
	if isCode(err, schemas.CodeForbidden) {
		return nil, fmt.Errorf("%s is of another person's device; name another folder with --state", store)
	}
	return c, explain(err)
}

// known learns the name of the device that the state folder knows. Another one that was
// asked for would not be the one that connects.
func (a *account) known(ctx context.Context, id schemas.DeviceID) error {
	var devices []schemas.DeviceInfo
	err := a.call(ctx, func(ctx context.Context, api *client.API) (err error) {
		devices, err = api.Devices(ctx)
		return err
	})
	i := slices.IndexFunc(devices, func(d schemas.DeviceInfo) bool { return d.DeviceID == id })
	switch {
	case err != nil || i < 0: // removed, or of somebody else, as the server will say
		return err
	case a.named && devices[i].Name != a.opts.Device:
		return fmt.Errorf("%s is of your device %s; name another folder with --state for %s",
			a.stateFile(), clean(devices[i].Name), clean(a.opts.Device))
	}
	a.opts.Device = devices[i].Name
	return nil
}

func (a *account) device(ctx context.Context) (schemas.DeviceID, error) {
	var id schemas.DeviceID
	err := a.create(ctx, func(ctx context.Context, api *client.API) error {
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
			return fmt.Errorf("%w (/device remove does in a chat of another one; --device takes one over: %s)",
				explain(err), clean(strings.Join(names, ", ")))
		}
		id = d.DeviceID
		return err
	})
	return id, err
}
