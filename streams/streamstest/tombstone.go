package streamstest

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams/embedded"
)

// Tombstone leaves of an account what a gateway leaves that dies right after it
// began to delete it.
func Tombstone(t testing.TB, s *embedded.Server, u schemas.UserID) {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), "DEVICES")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), u.Token(), schemas.Encode(schemas.Devices{DeletedAt: schemas.Now()})); err != nil {
		t.Fatal(err)
	}
}
