package gateway_test

import (
	"testing"

	"roost/schemas"
	"roost/streams/streamstest"
)

// While removal is behind at another gateway, sends here wait, and get `unavailable` if
// that takes too long. Afterwards the same number is accepted.
func TestSendsWaitForRemovalElsewhere(t *testing.T) {
	h := newHouse(t)
	js := streamstest.JetStream(t, h.nats)
	lease := func(behind bool, held string) {
		t.Helper()
		l := schemas.GatewayLease{Gateway: "ghost", StartedAt: schemas.Now(), RemovalBehind: behind}
		if _, err := js.Publish(h.ctx(), "$KV.GATEWAYS.ghost", schemas.Encode(l)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the metric", func() bool { return h.metric(`roost_gateway_senders_held_back{by="ghost"}`) == held })
		if got := h.metric(`roost_gateway_senders_held_back{by="` + h.name + `"}`); got != "0" {
			t.Errorf("the metric says %q of the gateway itself", got)
		}
	}
	alice, bob := h.connect("alice"), h.connect("bob")
	lease(true, "1")
	n := alice.say("bob", "hello")
	if e := alice.wantError(schemas.CodeUnavailable); e.MessageIDByClient != n || e.RetryAfterMS <= 0 {
		t.Errorf("got %+v", e)
	}
	alice.send(message("bob", "hello", n))
	lease(false, "")
	sent := alice.accepted(n)
	if got := bob.take(); got.MessageID != sent.MessageID {
		t.Errorf("bob got %+v, not %s", got, sent.MessageID)
	}
	if alice.tell("bob", "next"); bob.take().Content != "next" {
		t.Error("something was stored twice")
	}
}
