package ferrettest

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/FerretDB/FerretDB/ferretdb"
	"go.uber.org/goleak"

	"roost/workers/mongo/mongotest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// server is what the tests run against.
var server struct {
	uri    string
	ferret bool
}

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	if uri := os.Getenv(mongotest.URIEnv); uri != "" {
		server.uri = uri
		return m.Run(), goleak.Find()
	}
	dir, err := os.MkdirTemp("", "ferrettest")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	stop, err := startFerret(dir)
	if err != nil {
		return 1, err
	}
	code := m.Run()
	stop()
	return code, goleak.Find()
}

// startFerret starts the one FerretDB of this process: a second on a port that
// is taken would end the process from a finalizer.
func startFerret(dir string) (stop func(), err error) {
	f, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
		Handler:   "sqlite",
		SQLiteURL: "file:" + dir + "/",
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = f.Run(ctx) // always nil
	}()
	server.uri, server.ferret = f.MongoDBURI(), true // waits for the listener
	return func() { cancel(); <-stopped }, nil
}
