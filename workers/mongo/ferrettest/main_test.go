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

var update = flag.Bool("update", false, "write the golden files again")

// server is the server that the tests use.
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

// startFerret starts the one FerretDB of this process. A second one on a port in use would end
// the process from a finalizer.
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
		_ = f.Run(ctx) // it always returns nil
	}()
	server.uri, server.ferret = f.MongoDBURI(), true // it waits for the listener
	return func() { cancel(); <-stopped }, nil
}
