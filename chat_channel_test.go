package main

import (
	"strings"
	"testing"
)

// Two people in a channel see what the other one writes, and their own lines once.
func TestChatInAChannel(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, "", "--group-push-limit", "2")
	srv := &chatHouse{server: s, URL: s.url, dir: dir}
	srv.Account("carol", "correct horse")
	bob := startChat(t, srv.URL, "bob", nil)
	bob.sees(`You are bob on laptop.*`)
	alice := startChat(t, srv.URL, "alice", nil)
	alice.types("/group create town", "/group add bob carol")
	alice.sees(`.*added carol to town.*`)
	bob.sees(`.*added carol to town.*`)
	alice.types("hello, town")
	alice.sees(`✓ hello, town`)
	bob.sees(`\[\d\d:\d\d\] alice in town: hello, town`)
	bob.types("/group open town", "hello, alice")
	bob.sees(`✓ hello, alice`)
	alice.sees(`\[\d\d:\d\d\] bob in town: hello, alice`)
	bob.types("/history")
	bob.sees(`\[\d\d:\d\d\] alice: hello, town`)
	bob.sees(`\[\d\d:\d\d\] bob: hello, alice`)
	later := startChat(t, srv.URL, "carol", nil)
	later.sees(`town has messages; you see them by /history once you write to it\.`)
	for range 2 {
		alice.types("and once more")
		alice.sees(`✓ and once more`)
		later.sees(`\[\d\d:\d\d\] alice in town: and once more`)
	}
	alice.types("/quit")
	if err := alice.ends(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(alice.whole.String(), "hello, town"); n != 1 {
		t.Errorf("alice sees her own line %d times", n)
	}
}
