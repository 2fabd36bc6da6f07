package gateway

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"roost/schemas"
)

// MaxReads is maxReads, for the tests beside this package.
const MaxReads = maxReads

func id(i int) schemas.MessageID { return schemas.MessageID(fmt.Sprintf("%026d", i)) }

// A connection knows the senders of its last messages, and of no more.
func TestRecent(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	var r recent
	for i := range 2*MaxRecent + 3 {
		r.add(id(i), schemas.UserID(fmt.Sprint(i)), start)
	}
	for i := range 2*MaxRecent + 3 {
		sender, ok := r.sender(id(i))
		if late := i >= MaxRecent+3; ok != late || ok && sender != schemas.UserID(fmt.Sprint(i)) {
			t.Errorf("message %d: %q, %t", i, sender, ok)
		}
	}
	if cap(r.all) > 2*MaxRecent {
		t.Errorf("room for %d", cap(r.all))
	}
	if size := unsafe.Sizeof(recentMessage{}); size > 24 {
		t.Errorf("a message takes %d bytes", size)
	}
	r.add("no ULID", "alice", start)
	if sender, ok := r.sender("no ULID"); ok || sender != "" {
		t.Errorf("the sender of a message that no server made is %q", sender)
	}
	if r.over(start.Add(recentFor)) || !r.over(start.Add(recentFor+1)) {
		t.Error("it is kept for another time than said")
	}
}

func TestTypingNowAndAgain(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var typing typing
	if !typing.may(schemas.Participant{User: "bob"}, now) || typing.may(schemas.Participant{User: "bob"}, now.Add(typingEvery-1)) || !typing.may(schemas.Participant{User: "carol"}, now) {
		t.Error("each chat has its own time")
	}
	if typing.over(now.Add(typingEvery-1)) || !typing.over(now.Add(typingEvery)) {
		t.Error("it is kept for another time than said")
	}
	if !typing.may(schemas.Participant{User: "bob"}, now.Add(typingEvery)) {
		t.Error("not again after its time")
	}
	for i := range maxTyping {
		typing.may(schemas.Participant{User: schemas.UserID(fmt.Sprint(i))}, now.Add(typingEvery))
	}
	if n := len(typing.last); n > maxTyping {
		t.Errorf("%d chats", n)
	}
	if typing.may(schemas.Participant{User: "dave"}, now.Add(typingEvery)) || !typing.may(schemas.Participant{User: "dave"}, now.Add(2*typingEvery)) {
		t.Error("beyond the bound it waits for room")
	}
}
