package mongo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"roost/schemas"
)

const (
	defaultDatabase = "roost"
	defaultTimeout  = 10 * time.Second

	// batchSize bounds one command, so it ends well before its deadline.
	batchSize = 1000
)

// Options of a Store. The zero value is useful.
type Options struct {
	// Timeout bounds an operation whose ctx has no deadline. A long Append or delete
	// is many operations. A timeoutMS in the URI overrides it. Default: 10 s.
	Timeout time.Duration

	// Logger receives warnings. Default: slog.Default().
	Logger *slog.Logger

	// Monitor receives every command and answer. These contain the messages of users:
	// do not log them. Default: none.
	Monitor *event.CommandMonitor

	// Now is the clock of Page. Default: schemas.Now.
	Now func() schemas.Timestamp
}

// Store keeps history in MongoDB. It implements workers.Store.
type Store struct {
	client   *driver.Client
	messages *driver.Collection
	updates  *driver.Collection
	now      func() schemas.Timestamp
	log      *slog.Logger

	mu      sync.Mutex // guards indexed; its holder creates the indexes
	indexed bool
}

// Open connects to the server of the URI and creates the missing indexes. If the server
// does not answer, Open still returns a Store, because users can exchange messages
// without history. Then the first Append that succeeds creates the indexes. Open returns
// an error that a retry cannot fix, for example a wrong URI or password.
func Open(ctx context.Context, uri string, opts Options) (*Store, error) {
	s, err := connect(uri, &opts)
	if err != nil {
		return nil, fmt.Errorf("failed to open history in MongoDB: %w", err)
	}
	err = s.ensureIndexes(ctx)
	if err != nil && ctx.Err() == nil && (driver.IsTimeout(err) || driver.IsNetworkError(err)) {
		s.log.WarnContext(ctx, "MongoDB does not answer; history is unavailable until it does", "error", err)
		return s, nil
	}
	if err != nil {
		err = fmt.Errorf("failed to open history in MongoDB: %w", err)
		return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// ensureIndexes creates the missing indexes, once.
func (s *Store) ensureIndexes(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.indexed {
		return nil
	}
	if err := s.createIndexes(ctx); err != nil {
		return err
	}
	s.indexed = true
	return nil
}

func connect(uri string, opts *Options) (*Store, error) {
	if opts.Timeout <= 0 {
		opts.Timeout = defaultTimeout
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Now == nil {
		opts.Now = schemas.Now
	}
	name, err := databaseName(uri)
	if err != nil {
		return nil, err
	}
	c := options.Client().ApplyURI(uri)
	if c.Timeout == nil {
		c.SetTimeout(opts.Timeout)
	}
	if c.AppName == nil {
		c.SetAppName("roost")
	}
	if opts.Monitor != nil {
		c.SetMonitor(opts.Monitor)
	}
	client, err := driver.Connect(c)
	if err != nil {
		return nil, err
	}
	journaled := true
	collection := func(of string) *driver.Collection {
		return client.Database(name).Collection(of, options.Collection().
			SetWriteConcern(&writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &journaled}).
			SetReadPreference(readpref.Primary()))
	}
	return &Store{client: client, messages: collection("messages"), updates: collection("updates"), now: opts.Now, log: opts.Logger}, nil
}

// databaseName returns the path of a MongoDB URI. The driver parses it too, but exposes it
// only in its package x, which may change at any time. It leaves other faults of the URI
// to the driver.
func databaseName(uri string) (string, error) {
	_, rest, _ := strings.Cut(uri, "://")
	rest, _, _ = strings.Cut(rest, "?")
	_, path, _ := strings.Cut(rest, "/")
	if path == "" {
		return defaultDatabase, nil
	}
	name, err := url.PathUnescape(path)
	if err != nil {
		return "", fmt.Errorf("the database name %q in the URI is not escaped correctly", path)
	}
	return name, nil
}

// Close closes the connections. It may be called again.
func (s *Store) Close(ctx context.Context) error {
	err := s.client.Disconnect(ctx)
	if err != nil && !errors.Is(err, driver.ErrClientDisconnected) {
		return fmt.Errorf("failed to close the connections to MongoDB: %w", err)
	}
	return nil
}

// Ping implements workers.Store. It asks the primary.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.client.Ping(ctx, readpref.Primary()); err != nil {
		return fmt.Errorf("failed to reach MongoDB: %w", err)
	}
	return nil
}
