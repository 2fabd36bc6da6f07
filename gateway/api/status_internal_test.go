package api

import (
	"testing"
	"time"

	"roost/schemas"
)

func TestConnectionState(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	for _, c := range []struct {
		online bool
		ago    time.Duration
		want   string
	}{
		{true, 0, "online"},
		{true, time.Hour, "online"},
		{false, 0, "online 1 minute ago"},
		{false, 119 * time.Second, "online 1 minute ago"},
		{false, 5 * time.Minute, "online 5 minutes ago"},
		{false, 59*time.Minute + 59*time.Second, "online 59 minutes ago"},
		{false, time.Hour, "offline"},
	} {
		if got := connectionState(c.online, schemas.TimestampOf(now.Add(-c.ago)), now); got != c.want {
			t.Errorf("%v, %v ago: %q, want %q", c.online, c.ago, got, c.want)
		}
	}
	if got := connectionState(false, 0, now); got != "offline" {
		t.Errorf("never seen: %q", got)
	}
}
