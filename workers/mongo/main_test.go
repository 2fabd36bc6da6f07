package mongo_test

import (
	"context"
	"os"
	"testing"

	"go.uber.org/goleak"

	"roost/workers"
	"roost/workers/historytest"
	"roost/workers/mongo"
	"roost/workers/mongo/mongotest"
)

var _ workers.Store = (*mongo.Store)(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	uri := os.Getenv(mongotest.URIEnv)
	if uri == "" {
		t.Skipf("not run: it needs a MongoDB. Set %s, for example to mongodb://localhost:27017/?replicaSet=rs0.", mongotest.URIEnv)
	}
	historytest.Run(t, func(t *testing.T) workers.Store {
		s, err := mongo.Open(t.Context(), mongotest.Database(t, uri), mongo.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}
