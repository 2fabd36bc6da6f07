package chat

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"roost/client"
)

// exportTimeout bounds an export.
const exportTimeout = 10 * time.Minute

// exports writes all data about the user to a file, one export at a time. The goroutine of
// the session owns it.
type exports struct {
	account *account
	screen  *screen
	wg      *sync.WaitGroup // of the session, which waits for an export
	done    chan exported   // unbuffered; written by an export, read by the session
	running bool
}

// exported is the outcome of an export.
type exported struct {
	file  string
	items int64
	err   error
}

func (e *exports) commands() []command {
	return []command{{"/export", "FILE", "write all data about you to a file", 1, -1, e.start}}
}

// start starts an export; the chat goes on meanwhile.
func (e *exports) start(ctx context.Context, args args) error {
	if e.running {
		return errors.New("an export is running; wait for its end")
	}
	file, err := os.OpenFile(args.text, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists already; name another file", args.text)
	}
	if err != nil {
		return err
	}
	e.running = true
	e.wg.Go(func() {
		items, err := e.write(ctx, file)
		select {
		case e.done <- exported{file.Name(), items, err}:
		case <-ctx.Done():
		}
	})
	return nil
}

// write fills a file and closes it. It removes a file that is incomplete.
func (e *exports) write(ctx context.Context, file *os.File) (items int64, err error) {
	err = e.account.callFor(ctx, exportTimeout, func(ctx context.Context, api *client.API) (err error) {
		items, err = api.Export(ctx, file)
		return err
	})
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return items, err
}

// ended shows the outcome of an export.
func (e *exports) ended(x exported) {
	e.running = false
	if x.err != nil {
		e.screen.line("%s is not written: %v", clean(x.file), explain(x.err))
		return
	}
	e.screen.line("%s has all data about you: %d items, one a line.", clean(x.file), x.items)
}
