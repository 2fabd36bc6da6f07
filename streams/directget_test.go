package streams_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestAnswerLost: answers come over core NATS, and one that was lost must not look
// like an entry that is not there: it would count as delivered, and be removed.
func TestAnswerLost(t *testing.T) {
	c := connect(t, onePartition())
	answers := []*nats.Msg{stored(3, 0), stored(5, 3), stored(9, 5), endOfBatch(9)}
	for name, lose := range map[string]int{"none": -1, "first": 0, "in the middle": 1, "last": 2} {
		t.Run(name, func(t *testing.T) {
			sub, err := c.LiveConn().Subscribe("$JS.API.DIRECT.GET.LOSSY", func(m *nats.Msg) {
				for i, answer := range answers {
					if i != lose {
						// A copy: the subscription before this one may not be done with it.
						_ = c.LiveConn().PublishMsg(&nats.Msg{Subject: m.Reply, Header: answer.Header}) // what is missing is what the test is about
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.LiveConn().Flush(); err != nil {
				t.Fatal(err)
			}
			got, _, err := c.Read(timeout(t), "LOSSY", "inbox", 10)
			if lose >= 0 && err == nil {
				t.Errorf("it was not noticed: read %v", got)
			}
			if lose < 0 && (err != nil || !slices.Equal(got, []uint64{3, 5, 9})) {
				t.Errorf("read %v, %v", got, err)
			}
			if err := sub.Unsubscribe(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// stored is the answer of a Direct Get with one entry, as a server writes it.
func stored(sequence, before uint64) *nats.Msg {
	m := nats.NewMsg("")
	m.Header.Set("Nats-Subject", "inbox")
	m.Header.Set("Nats-Sequence", fmt.Sprint(sequence))
	m.Header.Set("Nats-Time-Stamp", time.Unix(1, 0).UTC().Format(time.RFC3339Nano))
	m.Header.Set("Nats-Last-Sequence", fmt.Sprint(before))
	return m
}

func endOfBatch(last uint64) *nats.Msg {
	m := nats.NewMsg("")
	m.Header.Set("Status", "204")
	m.Header.Set("Nats-Num-Pending", "0")
	m.Header.Set("Nats-Last-Sequence", fmt.Sprint(last))
	return m
}
