package gateway

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roost/streams/publisher"
)

func TestRefusalsAreLoggedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		lead, lookups := errors.New("no answer"), 0
		r := newRefusals(slog.New(slog.NewTextHandler(&log, nil)), func(_ context.Context, stream string) (string, error) {
			lookups++
			if lead != nil {
				return "", lead
			}
			return "nats-2", nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { r.run(ctx); close(ended) }()
		lines := func() []string {
			synctest.Wait()
			all := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
			log.Reset()
			return all
		}
		for range 30 { // for three seconds
			for range 10 {
				r.add(&publisher.CommitError{Stream: "SENT_0", Err: publisher.ErrUnknownOutcome})
			}
			time.Sleep(refusalsEvery / 10)
		}
		time.Sleep(2 * refusalsEvery)
		all, counted := lines(), 0
		for _, line := range all {
			_, rest, _ := strings.Cut(line, " sends=")
			count, _, _ := strings.Cut(rest, " ")
			n, err := strconv.Atoi(count)
			if counted += n; err != nil || !strings.Contains(line, "stream=SENT_0 leader=unknown") {
				t.Errorf("%q", line)
			}
		}
		if len(all) > 4 || lookups != len(all) || counted != 300 {
			t.Errorf("%d lines about %d sends, %d look-ups", len(all), counted, lookups)
		}
		lead = nil
		r.add(&publisher.CommitError{Stream: "INBOX_0", Err: publisher.ErrBusy})
		if all := lines(); !strings.Contains(all[0], "stream=INBOX_0 leader=nats-2") {
			t.Errorf("%q", all)
		}
		r.add(errors.New("of no stream"))
		cancel()
		<-ended
		if all := lines(); !strings.Contains(all[len(all)-1], "of no stream") || strings.Contains(all[len(all)-1], "stream=") {
			t.Errorf("the last one: %q", all)
		}
	})
}
