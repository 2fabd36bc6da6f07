package streamstest

import (
	"testing"

	"roost/schemas"
	"roost/streams/embedded"
)

// Tombstone leaves of an account what a gateway leaves that dies right after it
// began to delete it.
func Tombstone(t testing.TB, s *embedded.Server, u schemas.UserID) {
	t.Helper()
	kv, err := JetStream(t, s).KeyValue(t.Context(), "DEVICES")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), u.Token(), schemas.Encode(schemas.Devices{DeletedAt: schemas.Now()})); err != nil {
		t.Fatal(err)
	}
}
