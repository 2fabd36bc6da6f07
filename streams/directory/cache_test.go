package directory_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
	"roost/streams/streamstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The cache is believed for a minute only, whatever becomes of the watch.
func TestCacheExpires(t *testing.T) {
	var ahead atomic.Int64
	clock := func(o *streams.Options) {
		o.Now = func() time.Time { return time.UnixMilli(1_800_000_000_000).Add(time.Duration(ahead.Load())) }
	}
	d := streamstest.Connect(t, streamstest.Server(t, t.TempDir()), streams.Topology{}, clock).Directory()
	ctx, cancel := context.WithTimeout(t.Context(), streamstest.Timeout)
	defer cancel()
	told := make(chan schemas.UserID, 10)
	d.OnChange(func(u schemas.UserID) { told <- u })
	if err := d.EnsureUser(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	if u := streamstest.Receive(t, told); u != "alice" { // from here on the watch says nothing more
		t.Fatalf("told of %s", u)
	}
	exists := func() bool {
		t.Helper()
		u, err := d.User(ctx, "alice")
		if err != nil {
			t.Fatal(err)
		}
		return u.Exists
	}
	d.Remember("alice", &directory.User{})
	ahead.Store(int64(time.Minute))
	if exists() {
		t.Error("it was not cached")
	}
	ahead.Add(int64(time.Millisecond))
	if !exists() {
		t.Error("the cache is believed for longer than a minute")
	}
	d.Remember("alice", &directory.User{})
	if u, err := d.Fresh(ctx, "alice"); err != nil || !u.Exists {
		t.Errorf("fresh are %+v, %v", u, err)
	}
}
