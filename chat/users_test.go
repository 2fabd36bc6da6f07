package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roost/client"
	"roost/schemas"
)

// A group of three: made, named, joined, written in, answered, and left.
func TestGroup(t *testing.T) {
	srv := chatServer(t)
	people := make(map[string]*chatter)
	for _, name := range []string{"alice", "bob", "carol"} {
		people[name] = startChat(t, srv.URL, name, nil)
		people[name].sees(`You are ` + name + `.*`)
	}
	alice, bob, carol := people["alice"], people["bob"], people["carol"]
	alice.types("/group create Dinner club")
	alice.sees(`You write to Dinner club\.`)
	alice.sees(`\[..:..\] \* you created the group Dinner club`)
	alice.types("/group add bob carol")
	bob.sees(`\[..:..\] \* alice added you to Dinner club; /group open Dinner club`)
	bob.sees(`\[..:..\] \* alice added carol to Dinner club`)
	carol.sees(`\[..:..\] \* alice added you to Dinner club.*`)
	alice.sees(`\[..:..\] \* you added carol to Dinner club`)

	alice.types("Eight?")
	bob.sees(`\[..:..\] alice in Dinner club: Eight\?`)
	carol.sees(`\[..:..\] alice in Dinner club: Eight\?`)
	bob.types("/group open Dinner club", "/reply 1 Nine")
	bob.sees(`✓ Nine`)
	alice.sees(`\[..:..\] bob in Dinner club \(re: Eight\?\): Nine`)
	carol.sees(`\[..:..\] bob in Dinner club \(re: Eight\?\): Nine`)

	bob.types("/group rename Lunch", "/group role carol admin", "/group add zoe", "/group history on")
	bob.sees(`Only the owner and the admins of the group may do this`)
	bob.sees(`Only the owner of the group may do this`)
	bob.sees(`zoe: There is no user "zoe".*`)
	bob.sees(`Only the owner and the admins of the group may do this`)
	bob.types("/group members")
	bob.sees(`alice, the owner, since \d{4}-\d\d-\d\d`)
	bob.sees(`carol, a member, since \d{4}-\d\d-\d\d`)
	alice.types("/group role bob chief", "/group add carol", "/group add zoe")
	alice.sees(`must be "owner", "admin" or "member"`)
	alice.sees(`carol: .*`)
	alice.sees(`zoe: .*`)
	alice.types("/group rename Lunch", "/group history on", "/group role bob admin")
	for name, by := range map[string]string{"alice": "you", "bob": "alice", "carol": "alice"} {
		people[name].sees(`\[..:..\] \* ` + by + ` renamed Dinner club to Lunch`)
		people[name].sees(`\[..:..\] \* ` + by + ` switched the history of Lunch on`)
	}
	bob.sees(`\[..:..\] \* alice made you an admin of Lunch`)
	bob.types("/group list")
	bob.sees(`g-01\w{24}  Lunch, 3 members, you are an admin, stores history`)

	bob.types("/group remove carol")
	carol.sees(`\[..:..\] \* bob removed you from Lunch`)
	carol.types("/group open Lunch", "/group list")
	carol.sees(`you are in no group Lunch; /group list shows yours`)
	carol.sees(`You are in no group.*`)
	bob.types("Only us")
	alice.sees(`.* bob in Lunch: Only us`)
	alice.types("/group leave")
	bob.sees(`\[..:..\] \* alice left Lunch`)
	bob.sees(`\[..:..\] \* alice made you the owner of Lunch`)
	alice.types("Still here?")
	alice.sees(`✗ Still here\?: not sent: .*`)
	if strings.Contains(carol.saw(), "Only us") {
		t.Error("carol saw a message of a group that she is not in")
	}
	bob.types("/group create Lunch", "/group open Lunch")
	bob.sees(`several of your groups have that name; /group open ID with one of g-.*`)
}

// Pages of history go back as far as it is stored, each message once.
func TestHistory(t *testing.T) {
	srv := chatServer(t)
	srv.Account("bob", "correct horse")
	alice := startChat(t, srv.URL, "alice", nil)
	alice.types("/set history on", "/to bob", "the first")
	alice.sees(`✓ the first`)
	for range 24 {
		alice.types("another")
		alice.sees(`✓ another`)
	}
	alice.types("the last")
	alice.sees(`✓ the last`)
	for !shows(alice, "/history", "alice: the last") {
	}
	page := func(command string) string {
		t.Helper()
		alice.types(command, "/blocks")
		return alice.until(`You block no user\.`)
	}
	if text := page("/history"); strings.Count(text, "alice: ") != 20 || strings.Contains(text, "the first") {
		t.Errorf("the newest page:\n%s", text)
	}
	if text := page("/history older"); strings.Count(text, "alice: ") != 6 || !strings.HasPrefix(strings.TrimSpace(text), "[") ||
		!strings.Contains(text, "alice: the first") {
		t.Errorf("the page before:\n%s", text)
	}
	if text := page("/history older"); !strings.Contains(text, "Nothing older is stored.") {
		t.Errorf("after the end:\n%s", text)
	}
	alice.types("/group create Dinner", "/history")
	alice.sees(`No history of Dinner is stored.*`)
	alice.types("/group history on")
	alice.sees(`.*switched the history of Dinner on`)
	alice.types("Eight?")
	alice.sees(`✓ Eight\?`)
	for !shows(alice, "/history", "alice: Eight?") {
	}
}

// shows says whether a command shows text by now.
func shows(p *chatter, command, text string) bool {
	p.t.Helper()
	p.types(command, "/blocks")
	return strings.Contains(p.until(`You block no user\.`), text)
}

// Who is watched, blocked, and let in again.
func TestPeople(t *testing.T) {
	srv := chatServer(t)
	alice := startChat(t, srv.URL, "alice", func(o *Options) { o.To = "bob" })
	alice.sees(`You are alice.*`)
	srv.Account("bob", "correct horse")
	alice.types("/watch bob bob")
	alice.sees(`bob is offline\.`)
	alice.types("/watch")
	alice.sees(`You watch bob\.`)
	bob := startChat(t, srv.URL, "bob", func(o *Options) { o.To = "alice" })
	alice.sees(`bob is online\.`)
	bob.types("/block alice", "/blocks")
	bob.sees(`You block alice, who does not learn of it\. Messages in groups still come\.`)
	bob.sees(`You block alice\.`)
	alice.sees(`bob is offline\.`) // as far as she is concerned
	alice.types("Hello?")
	alice.sees(`✓ Hello\?`)
	bob.types("/unblock alice")
	bob.sees(`You do not block alice any more\. It can send you messages again\.`)
	alice.sees(`bob is online\.`)
	alice.types("Again")
	bob.sees(`\[..:..\] alice: Again`)
	if strings.Contains(bob.saw(), "Hello?") {
		t.Error("bob saw what alice sent while he blocked her")
	}
	alice.types("/unwatch bob", "/watch")
	alice.sees(`You do not watch bob any more\.`)
	alice.sees(`You watch no user.*`)
}

// A device is removed from another one, and says so.
func TestRemovesADevice(t *testing.T) {
	srv := chatServer(t)
	laptop := startChat(t, srv.URL, "alice", nil)
	laptop.sees(`You are alice.*`)
	state := filepath.Join(t.TempDir(), "phone")
	phone := startChat(t, srv.URL, "alice", func(o *Options) { o.Device, o.State = "my phone", state })
	phone.types("/to alice", "A note") // there is something to remember
	phone.sees(`✓ A note`)
	laptop.types("/to alice", "/device remove my phone")
	laptop.sees(`The device my phone is removed\.`)
	says := "this device was removed; delete " + filepath.Join(state, "device.json") + " to register a new one"
	if err := phone.ends(); err == nil || err.Error() != says {
		t.Errorf("the phone: %v", err)
	}
	again := startChat(t, srv.URL, "alice", func(o *Options) { o.Device, o.State = "my phone", state })
	if err := again.ends(); err == nil || err.Error() != says {
		t.Errorf("the phone, later: %v", err)
	}
}

// Who has all the devices that there may be hears which they are.
func TestDeviceLimit(t *testing.T) {
	srv := chatServer(t)
	for _, name := range []string{"laptop", "phone", "tablet"} {
		startChat(t, srv.URL, "alice", func(o *Options) { o.Device = name }).sees(`You are alice.*`)
	}
	fourth := startChat(t, srv.URL, "alice", func(o *Options) { o.Device = "watch" })
	const says = "You have 3 devices already; remove one first (use /device remove in a chat of another device, or take one over with --device: laptop, phone, tablet)"
	if err := fourth.ends(); err == nil || err.Error() != says {
		t.Errorf("the fourth: %v", err)
	}
}

// An owner who makes another member the owner learns the new role.
func TestGivesAGroupAway(t *testing.T) {
	srv := chatServer(t)
	srv.Account("bob", "correct horse")
	alice := startChat(t, srv.URL, "alice", nil)
	alice.types("/group create team", "/group list", "/group add bob", "/group role bob owner")
	alice.sees(`g-.*  team, 1 member, you are the owner`)
	alice.sees(`\[..:..\] \* you made bob the owner of team`)
	alice.sees(`\[..:..\] \* you are an admin of team now`)
	bob := startChat(t, srv.URL, "bob", nil)
	bob.sees(`\[..:..\] \* alice made you the owner of team`)
	bob.sees(`\[..:..\] \* alice is an admin of team now`)
}

// What is stored can be taken along, and then deleted for good.
func TestExportAndDelete(t *testing.T) {
	srv := chatServer(t)
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	alice := startChat(t, srv.URL, "alice", func(o *Options) { o.State = state })
	file := filepath.Join(dir, "all I have.jsonl")
	alice.types("/export " + file)
	alice.sees(`.*all I have\.jsonl has all data about you: \d+ items, one a line\.`)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	var last schemas.ExportLine
	if err := json.Unmarshal(lines[len(lines)-1], &last); err != nil || last.Kind != schemas.ExportEnd {
		t.Errorf("the last line is %s, %v", lines[len(lines)-1], err)
	}
	alice.types("/export " + file)
	alice.sees(`.*exists already; name another file`)

	alice.types("/to alice", "A note")
	alice.sees(`✓ A note`)
	bob := startChat(t, srv.URL, "bob", func(o *Options) { o.To = "alice" })
	bob.types("Hello")
	alice.sees(`.*bob.*Hello`)
	bob.sees(`✓✓ Hello`)
	if _, err := os.Stat(filepath.Join(state, "device.json")); err != nil {
		t.Fatal(err)
	}
	alice.types("/delete-account")
	alice.sees(`/delete-account alice does it\.`)
	alice.types("/delete-account alice")
	alice.sees(`The account alice is deleted\.`)
	bob.sees(`\[..:..\] \* alice deleted the account\. It gets no more messages\.`)
	if err := alice.ends(); err != nil {
		t.Errorf("alice: %v", err)
	}
	if _, err := os.Stat(filepath.Join(state, "device.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state is left: %v", err)
	}
	api := client.API{URL: srv.URL}
	if _, err := api.Login(t.Context(), "alice", "correct horse"); !isCode(err, schemas.CodeUnauthenticated) {
		t.Errorf("Login: %v", err)
	}
}
