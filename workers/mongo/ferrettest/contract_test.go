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

// TestContract leaves nothing of the suite out. Three faults of FerretDB v1.24.2
// would ask for it, and the store happens not to meet them: a delete of more than
// 32,766 documents fails (it deletes 1,000 at once), distinct refuses a command
// with a deadline (it groups), and a bulk of 100 updates of known documents hangs (it
// sends one update a command).
func TestContract(t *testing.T) {
	historytest.Run(t, func(t *testing.T) workers.Store {
		return openStore(t, mongo.Options{Logger: slog.New(slog.DiscardHandler)})
	})
}

// TestIndexRefused wants one warning of a server that has no TTL indexes, and no
// line at all of one that has.
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
