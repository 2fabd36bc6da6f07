package mongo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"

	"roost/schemas"
)

func TestDatabaseName(t *testing.T) {
	for uri, want := range map[string]string{
		"mongodb://localhost":                           "roost",
		"mongodb://localhost/":                          "roost",
		"mongodb://localhost/?w=1":                      "roost",
		"mongodb://localhost?appName=/not/a/name":       "roost",
		"mongodb://u:p%2Fq@a:1,b:2/history?w=1":         "history",
		"mongodb://%2Ftmp%2Fmongodb.sock/history":       "history",
		"mongodb+srv://cluster.example.org/a%20history": "a history",
	} {
		if got, err := databaseName(uri); err != nil || got != want {
			t.Errorf("%s: got %q and error %v, want %q", uri, got, err, want)
		}
	}
}

func TestOpenFails(t *testing.T) {
	const password = "swordfish"
	for name, uri := range map[string]string{
		"no URI":        "user:" + password + "@localhost",
		"bad database":  "mongodb://user:" + password + "@localhost/%zz",
		"bad option":    "mongodb://user:" + password + "@localhost/?maxPoolSize=many",
		"bad user info": "mongodb://us/er:" + password + "@localhost/",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), uri, Options{Timeout: 50 * time.Millisecond})
			if err == nil {
				_ = s.Close(t.Context())
				t.Fatal("no error")
			}
			if got := err.Error(); !strings.HasPrefix(got, "failed to open history in MongoDB: ") || strings.Contains(got, password) || strings.Contains(got, "\n") {
				t.Errorf("got %q, want one line without the password", got)
			}
		})
	}
}

// TestOpenWithoutServer: port 1 is reserved, so no server listens there.
func TestOpenWithoutServer(t *testing.T) {
	s, err := Open(t.Context(), "mongodb://127.0.0.1:1/", Options{Timeout: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), nil); err == nil {
		t.Error("Append succeeded without a server")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOpenEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, "mongodb://127.0.0.1:1/", Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want one that is %v", err, context.Canceled)
	}
}

func TestCloseTwice(t *testing.T) {
	s, err := connect("mongodb://127.0.0.1:1/", &Options{Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ping without a server: %v", err)
	}
	for range 2 {
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestDocument(t *testing.T) {
	full := schemas.Message{
		MessageID: "01K5ZZZZZZZZZZZZZZZZZZZZZZ", SenderID: "alice", ReceiverID: "bøb", Content: "hi 🦉", Timestamp: 1_767_323_045_678,
		ReplyTo: "01K5ZZZZZZZZZZZZZZZZZZZZZY", SenderDeviceID: "01K5ZZZZZZZZZZZZZZZZZZZZZX", MessageIDByClient: 7,
	}
	bare := schemas.Message{MessageID: full.MessageID, SenderID: "alice", GroupID: "g-01K5ZZZZZZZZZZZZZZZZZZZZZZ", Content: "x", Timestamp: 1}
	soon := bare
	soon.ExpiresAt = 1_001
	liked := schemas.Message{MessageID: full.MessageID, SenderID: "alice", ReceiverID: "bob", Content: "👍", Timestamp: 2,
		Change: schemas.ChangeReaction, TargetMessageID: "00000000010000000000000000"} // in the first millisecond
	for _, tt := range []struct {
		message schemas.Message
		want    string // canonical extended JSON, which shows the types
	}{
		{full, `{"_id":"01K5ZZZZZZZZZZZZZZZZZZZZZZ","chat":"alice.b=C3=B8b","sender_id":"alice","receiver_id":"bøb","content":"hi 🦉",` +
			`"timestamp":{"$numberLong":"1767323045678"},"reply_to":"01K5ZZZZZZZZZZZZZZZZZZZZZY","sender_device_id":"01K5ZZZZZZZZZZZZZZZZZZZZZX",` +
			`"message_id_by_client":{"$numberLong":"7"},"expires_at":{"$date":{"$numberLong":"1775099045678"}}}`},
		{bare, `{"_id":"01K5ZZZZZZZZZZZZZZZZZZZZZZ","chat":"g-01K5ZZZZZZZZZZZZZZZZZZZZZZ","sender_id":"alice","group_id":"g-01K5ZZZZZZZZZZZZZZZZZZZZZZ",` +
			`"content":"x","timestamp":{"$numberLong":"1"},"expires_at":{"$date":{"$numberLong":"7776000001"}}}`},
		{soon, `{"_id":"01K5ZZZZZZZZZZZZZZZZZZZZZZ","chat":"g-01K5ZZZZZZZZZZZZZZZZZZZZZZ","sender_id":"alice","group_id":"g-01K5ZZZZZZZZZZZZZZZZZZZZZZ",` +
			`"content":"x","timestamp":{"$numberLong":"1"},"disappears_at":{"$numberLong":"1001"},"expires_at":{"$date":{"$numberLong":"1000"}}}`},
		{liked, `{"_id":"01K5ZZZZZZZZZZZZZZZZZZZZZZ","chat":"alice.bob","sender_id":"alice","receiver_id":"bob","content":"👍","timestamp":{"$numberLong":"2"},` +
			`"change":"reaction","target_message_id":"00000000010000000000000000","expires_at":{"$date":{"$numberLong":"7776000001"}}}`},
	} {
		data, err := bson.Marshal(newDocument(&tt.message))
		if err != nil {
			t.Fatal(err)
		}
		got, err := bson.MarshalExtJSON(bson.Raw(data), true, false)
		if err != nil || string(got) != tt.want {
			t.Errorf("error %v\ngot  %s\nwant %s", err, got, tt.want)
		}
		var back document
		if err := bson.Unmarshal(data, &back); err != nil || back.message() != tt.message {
			t.Errorf("error %v\ngot  %+v\nwant %+v", err, back.message(), tt.message)
		}
	}
}

func TestWithoutDuplicates(t *testing.T) {
	known := driver.BulkWriteError{WriteError: driver.WriteError{Index: 0, Code: codeDuplicateKey, Message: "known"}}
	tooLarge := driver.BulkWriteError{WriteError: driver.WriteError{Index: 1, Code: 10334, Message: "too large"}}
	unmet := &driver.WriteConcernError{Code: 64, Message: "a majority is behind"}
	network := errors.New("the network is down")
	for _, tt := range []struct {
		name string
		err  error
		want string // in the error; "" for none
	}{
		{"nothing", nil, ""},
		{"all known", driver.BulkWriteException{WriteErrors: []driver.BulkWriteError{known, known}}, ""},
		{"wrapped", fmt.Errorf("wrapped: %w", driver.BulkWriteException{WriteErrors: []driver.BulkWriteError{known}}), ""},
		{"one more among the known", driver.BulkWriteException{WriteErrors: []driver.BulkWriteError{known, tooLarge, known}}, "too large"},
		{"known, and no majority", driver.BulkWriteException{WriteErrors: []driver.BulkWriteError{known}, WriteConcernError: unmet}, "a majority is behind"},
		{"new, and no majority", driver.BulkWriteException{WriteConcernError: unmet}, "a majority is behind"},
		{"without a reason", driver.BulkWriteException{}, "no causes"},
		{"another error", network, "the network is down"},
	} {
		got := withoutDuplicates(tt.err)
		if tt.want == "" && got != nil || tt.want != "" && (got == nil || !strings.Contains(got.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, got, tt.want)
		}
	}
}
