package ferrettest

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"roost/workers"
	"roost/workers/historytest"
	"roost/workers/mongo"
	"roost/workers/mongo/mongotest"
)

// TestContract runs the whole suite. The store avoids three faults of FerretDB v1.24.2: a
// delete of more than 32,766 documents fails (the store deletes 1,000 at once), distinct
// refuses a command with a deadline (the store groups), and a bulk of 100 updates of stored
// documents hangs (the store sends one update per command).
func TestContract(t *testing.T) {
	historytest.Run(t, func(t *testing.T) workers.Store {
		return openStore(t, mongo.Options{Logger: slog.New(slog.DiscardHandler)})
	})
}

// TestIndexRefused: Open logs one warning if the server has no TTL indexes, and otherwise
// nothing.
func TestIndexRefused(t *testing.T) {
	var log bytes.Buffer
	openStore(t, mongo.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	lines, warnings := strings.Count(log.String(), "\n"), strings.Count(log.String(), "no TTL indexes")
	want := 0
	if server.ferret {
		want = 1
	}
	if lines != want || warnings != want {
		t.Errorf("want %d warnings, the log is\n%s", want, log.String())
	}
}

// openStore opens the store on a new database.
func openStore(t *testing.T, opts mongo.Options) *mongo.Store {
	t.Helper()
	s, err := mongo.Open(t.Context(), mongotest.Database(t, server.uri), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}
