package streams_test

import (
	"context"
	"slices"
	"testing"

	"roost/streams"
	"roost/streams/presence"
	"roost/streams/streamstest"
)

// Senders at one gateway wait while removal is behind at another, and go on once that has
// caught up or gives up its lease.
func TestSendersWaitForAnotherGateway(t *testing.T) {
	behind, c := pair(t)
	consumers, err := c.StartConsumers(timeout(t))
	if err != nil {
		t.Fatal(err)
	}
	defer consumers.Close()
	defer keepLease(t, c, "here")()
	stop := keepLease(t, behind, "there")
	for _, end := range []func(){func() { behind.AddUnremoved(-streams.CatchUp - 1) }, stop} {
		behind.AddUnremoved(streams.MaxUnremoved)
		heldBackBy(t, c, "there")
		impatient, stop := context.WithCancel(t.Context())
		stop()
		if err := c.Admission().Admit(impatient); err == nil {
			t.Error("a sender was admitted before")
		}
		admitted := make(chan error, 1)
		ctx, cancel := context.WithTimeout(timeout(t), presence.LeaseTTL*2/3) // before the lease expires
		defer cancel()
		go func() { admitted <- c.Admission().Admit(ctx) }()
		end()
		if err := streamstest.Receive(t, admitted); err != nil {
			t.Error(err)
		}
	}
}

// heldBackBy waits until senders wait for a gateway.
func heldBackBy(t *testing.T, c *streams.Conn, gateway string) {
	t.Helper()
	for ctx := timeout(t); ; {
		here, others := c.Admission().HeldBack()
		if !here && slices.Equal(others, []string{gateway}) {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("senders wait for %v, here %v", others, here)
		}
		if _, _, err := c.Presence().Status(ctx, "nobody", nil); err != nil {
			t.Fatal(err)
		}
	}
}
