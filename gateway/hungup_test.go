package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"roost/gateway/socket/sockettest"
	"roost/schemas"
	"roost/streams/publisher"
)

// A send whose look-up ends with its connection is no line in the log, and counts as
// nothing that was not stored. Another failure stays one, whether the client waits or not.
func TestSendOfAClientGoneIsNoWarning(t *testing.T) {
	canceled := fmt.Errorf("failed to read messages of SENT_0: %w", context.Canceled)
	for name, c := range map[string]struct {
		gone   bool
		err    error
		logged bool
	}{
		"the look-up ended with the connection":      {true, canceled, false},
		"it did not begin any more":                  {true, nil, false},
		"another failure, of a client that is gone":  {true, publisher.ErrUnknownOutcome, true},
		"no time was left, and the client waits":     {false, context.DeadlineExceeded, true},
		"something else ended, and the client waits": {false, canceled, true},
		"another failure":                            {false, errors.New("the disk is gone"), true},
	} {
		t.Run(name, func(t *testing.T) {
			conn, reg := connOn(t, &sockettest.Conn{})
			defer conn.cancel()
			conn.slots = make(chan struct{}, schemas.MaxOutstanding)
			var log bytes.Buffer
			conn.server.refusals = newRefusals(slog.New(slog.NewTextHandler(&log, nil)), nil)
			s := &session{conn: conn, server: conn.server}
			s.sender = newSender(s, schemas.Device{}, 0)
			if c.gone {
				conn.close(schemas.CloseReplaced, "")
			}
			p := &pendingSend{message: &schemas.Message{MessageIDByClient: 1}, started: time.Now()}
			conn.slots <- struct{}{}
			if c.err != nil {
				s.sender.refuse(p, c.err)
			} else {
				s.sender.background(p, func(context.Context) { t.Error("it began") })
			}
			conn.server.refusals.report(t.Context())
			if logged := log.Len() > 0; logged != c.logged {
				t.Errorf("the log has %q", log.String())
			}
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if counted := f.GetMetric()[0].GetCounter().GetValue() == 1; f.GetName() == "roost_gateway_sends_unavailable_total" && counted != c.logged {
					t.Errorf("it is counted as not stored: %t", counted)
				}
			}
			if len(conn.slots) > 0 {
				t.Error("its slot is not free")
			}
			conn.wg.Wait()
		})
	}
}
