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

// account is the user's access to the server.
type account struct {
	opts   Options
	stdin  io.Reader
	lines  *bufio.Reader // buffers stdin
	stdout io.Writer
	named  bool // the user named the device with --device

	mu    sync.Mutex
	token string
}

func (a *account) api() *client.API {
	a.mu.Lock()
	defer a.mu.Unlock()
	return &client.API{URL: a.opts.Server, Token: a.token}
}

// renew gets another token for the password.
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

// The pauses between attempts while the server is unavailable.
const (
	retryMin = time.Second
	retryMax = 30 * time.Second
)

// retry makes an attempt again while the server answers unavailable, until ctx ends. Each
// attempt has callTimeout. The screen shows the first pause.
func (a *account) retry(ctx context.Context, attempt func(context.Context) error) error {
	for pause, said := retryMin, false; ; pause = min(2*pause, retryMax) {
		once, cancel := context.WithTimeout(ctx, callTimeout)
		err := attempt(once)
		cancel()
		var refused *schemas.Error
		if !errors.As(err, &refused) || refused.Code != schemas.CodeUnavailable {
			return err
		}
		if !said {
			fmt.Fprintf(a.stdout, "The server cannot let you in now; retrying: %v\n", explain(refused))
			said = true
		}
		select {
		case <-time.After(max(pause, time.Duration(refused.RetryAfterMS)*time.Millisecond)):
		case <-ctx.Done():
			return err
		}
	}
}

// call makes a request within callTimeout. If the token has expired, it renews the token
// and makes the request again.
func (a *account) call(ctx context.Context, request func(context.Context, *client.API) error) error {
	return a.callFor(ctx, callTimeout, request)
}

func (a *account) callFor(ctx context.Context, most time.Duration, request func(context.Context, *client.API) error) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	err := request(ctx, a.api())
	if isCode(err, schemas.CodeUnauthenticated) {
		switch _, renewErr := a.renew(ctx); {
		case renewErr == nil:
			err = request(ctx, a.api())
		case !isCode(renewErr, schemas.CodeUnauthenticated): // unknown whether the token is still good
			err = renewErr
		}
	}
	return err
}

// create is call for a request that creates something. If the outcome is unknown, it
// retries once, under the same Idempotency-Key.
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

// logIn gets the first token. The server does not tell a wrong password from a missing
// account, so logIn creates an account only if the user wants one.
func (a *account) logIn(ctx context.Context) error {
	if a.opts.Token != "" {
		a.token, a.opts.Password = a.opts.Token, ""
		return nil
	}
	fd, asks := terminal(a.stdin)
	typed := a.opts.Password == ""
	if typed {
		if !asks {
			return &OptionsError{errors.New("set ROOST_PASSWORD, or use a terminal, which asks for it")}
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
			return fmt.Errorf("%w (if %s has no account yet, --register creates one)", explain(err), a.opts.User)
		}
		fmt.Fprintf(a.stdout, "There is no account %s with that password. Create one? [y/N] ", a.opts.User)
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
	createErr := a.retry(ctx, func(ctx context.Context) error {
		_, err := a.api().Register(ctx, schemas.UserID(a.opts.User), a.opts.Password)
		return err
	})
	if isCode(createErr, schemas.CodeConflict) {
		return explain(a.firstToken(ctx)) // an attempt without an answer created it, or this is not its password
	}
	if createErr != nil {
		return explain(createErr)
	}
	fmt.Fprintf(a.stdout, "The account %s is created.\n", a.opts.User)
	return explain(a.firstToken(ctx))
}

func (a *account) firstToken(ctx context.Context) error {
	return a.retry(ctx, func(ctx context.Context) error {
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

// stateFile holds the state of this device.
func (a *account) stateFile() string { return filepath.Join(a.opts.State, "device.json") }

// removeState removes the state of this device if the account was deleted.
func (a *account) removeState(deleted bool) error {
	if !deleted {
		return nil
	}
	if err := os.Remove(a.stateFile()); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// removed returns the error of a device that was removed.
func (a *account) removed() error {
	if _, err := os.Stat(a.stateFile()); errors.Is(err, os.ErrNotExist) {
		return errors.New("this device was removed; start again to register a new one")
	}
	return fmt.Errorf("this device was removed; delete %s to register a new one", a.stateFile())
}

// connect connects as the device of the state folder, else as the user's device of that
// name, else as a new one.
func (a *account) connect(ctx context.Context) (*client.Client, error) {
	store := client.FileStore(a.stateFile())
	state, err := store.Load()
	if err != nil {
		return nil, err
	}
	device := state.DeviceID
	err = a.retry(ctx, func(ctx context.Context) (err error) {
		if state.DeviceID == "" {
			device, err = a.device(ctx)
			return err
		}
		return a.checkName(ctx, device)
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
		return nil, fmt.Errorf("%s belongs to a device of another user; name another folder with --state", store)
	}
	return c, explain(err)
}

// checkName reads the name of the device of the state folder. It returns an error if the
// user named another one, because that one would not connect.
func (a *account) checkName(ctx context.Context, id schemas.DeviceID) error {
	var devices []schemas.DeviceInfo
	err := a.call(ctx, func(ctx context.Context, api *client.API) (err error) {
		devices, err = api.Devices(ctx)
		return err
	})
	i := slices.IndexFunc(devices, func(d schemas.DeviceInfo) bool { return d.DeviceID == id })
	switch {
	case err != nil || i < 0: // removed, or of another user: the server will refuse it
		return err
	case a.named && devices[i].Name != a.opts.Device:
		return fmt.Errorf("%s belongs to your device %s; name another folder with --state for %s",
			a.stateFile(), clean(devices[i].Name), clean(a.opts.Device))
	}
	a.opts.Device = devices[i].Name
	return nil
}

// device returns the user's device with the name of the options, or registers it.
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
			return fmt.Errorf("%w (use /device remove in a chat of another device, or take one over with --device: %s)",
				explain(err), clean(strings.Join(names, ", ")))
		}
		id = d.DeviceID
		return err
	})
	return id, err
}
