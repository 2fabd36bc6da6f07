package main

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// TestRepositoryRules checks imports against the rules of this repository.
func TestRepositoryRules(t *testing.T) {
	text, err := os.ReadFile("../imports.txt")
	if err != nil {
		t.Fatal(err)
	}
	const (
		code = "x.go"
		test = "x_test.go"
	)
	for _, c := range []struct {
		folder, file, path string
		allowed            bool
	}{
		{"schemas", code, "encoding/json", true},
		{"schemas", code, "github.com/oklog/ulid/v2", false},
		{"schemas", code, "roost/streams", false},
		{"schemas", test, "pgregory.net/rapid", true},
		{"schemas", test, "roost/schemas", true},
		{"schemas", test, "roost/streams", false},

		{"streams", code, "roost/schemas", true},
		{"streams", code, "github.com/nats-io/nats.go/jetstream", true},
		{"streams", code, "github.com/nats-io/nats-server/v2/server", false},
		{"streams", code, "github.com/coder/websocket", false},
		{"streams", code, "roost/gateway", false},
		{"streams", test, "roost/streams/streamstest", true},
		{"streams/streamstest", code, "github.com/nats-io/nats-server/v2/server", true},

		{"gateway", code, "roost/streams", true},
		{"gateway", code, "github.com/coder/websocket", true},
		{"gateway", code, "roost/workers", false},
		{"gateway", code, "roost/workers/sqlite", false},
		{"gateway", code, "roost/client", false},
		{"gateway", code, "roost/streams/streamstest", false},
		{"gateway", test, "roost/streams/streamstest", true},
		{"gateway", test, "roost/workers", false},
		{"gateway", code, "github.com/nats-io/nats.go", false},
		{"gateway", code, "go.mongodb.org/mongo-driver/v2/mongo", false},

		{"workers", code, "roost/streams", true},
		{"workers", code, "roost/gateway", false},
		{"workers", code, "github.com/nats-io/nats.go/jetstream", false},
		{"workers", code, "modernc.org/sqlite", false},
		{"workers", code, "roost/workers/mongo", false},
		{"workers/mongo", code, "go.mongodb.org/mongo-driver/v2/bson", true},
		{"workers/mongo", code, "roost/streams", false},
		{"workers/mongo", code, "roost/workers", false},
		{"workers/mongo", code, "modernc.org/sqlite", false},
		{"workers/mongo/ferrettest", test, "roost/workers/historytest", true},
		{"workers/sqlite", code, "modernc.org/sqlite", true},
		{"workers/sqlite", code, "go.mongodb.org/mongo-driver/v2/bson", false},
		{"workers/sqlite", test, "roost/workers/historytest", true},

		{"client", code, "roost/schemas", true},
		{"client", code, "roost/streams", false},
		{"client", code, "github.com/nats-io/nats.go", false},

		{".", code, "roost/cmd", true},
		{".", code, "roost/gateway", false},
		{".", test, "roost/gateway", true},

		{"cmd", code, "roost/gateway", true},
		{"cmd", code, "roost/chat", true},
		{"cmd", code, "roost/client", false},
		{"cmd", code, "github.com/nats-io/nats-server/v2/server", false},
		{"chat", code, "roost/client", true},
		{"chat", code, "roost/cmd", false},
		{"chat", code, "roost/gateway", false},

		{".", code, "github.com/nats-io/nats.go", false},
		{".", test, "github.com/nats-io/nats.go", true},
		{"client", code, "roost", false},
	} {
		tree := fstest.MapFS{
			"imports.txt":               {Data: text},
			c.folder + "/" + c.file:     {Data: []byte("package x\n\nimport _ \"" + c.path + "\"\n")},
			"testdata/skipped/wrong.go": {Data: []byte("not Go")},
		}
		if c.folder == "." {
			delete(tree, "./"+c.file)
			tree[c.file] = &fstest.MapFile{Data: []byte("package x\n\nimport _ \"" + c.path + "\"\n")}
		}
		problems, err := run(tree, "imports.txt")
		if err != nil {
			t.Fatal(err)
		}
		if got := len(problems) == 0; got != c.allowed {
			t.Errorf("%s/%s imports %s: allowed is %t, want %t", c.folder, c.file, c.path, got, c.allowed)
		}
	}
}

func TestProblemNamesFileLineAndImport(t *testing.T) {
	tree := fstest.MapFS{
		"rules":    {Data: []byte("a: std b\n")},
		"a/a.go":   {Data: []byte("package a\n\nimport (\n\t\"fmt\"\n\n\t\"roost/b\"\n\t\"roost/c\"\n)\n")},
		"new/n.go": {Data: []byte("package new\n")},
	}
	problems, err := run(tree, "rules")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(problems, "\n")
	want := "a/a.go:7: a may not import roost/c\nnew/n.go: no rule for the package new"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLongestMatchWins(t *testing.T) {
	r, err := parse("a/...: std\na/b/...: other\na/b: c # a comment\n")
	if err != nil {
		t.Fatal(err)
	}
	for folder, want := range map[string]string{"a": "std", "a/x": "std", "a/b": "c", "a/b/x": "other"} {
		if got, _ := r.entries(folder, false); len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %v, want %s", folder, got, want)
		}
	}
	if _, ok := r.entries("ab", false); ok {
		t.Error("a line for a/... matches ab")
	}
}

func TestBadRules(t *testing.T) {
	for _, text := range []string{"a std", "a:", "a: std\na: std", "a (test): std"} {
		if _, err := parse(text); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
	if _, err := run(fstest.MapFS{"rules": {Data: []byte("a: std")}}, "rules"); err == nil {
		t.Error("no error for a tree without Go files")
	}
}
