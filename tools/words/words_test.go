package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const testWords = `
documents: README.md docs/*.md
except: docs/later.md
packages: held deep/...
allow: behind a proxy
behind -> after
people, what waits -> user
`

func tree(files map[string]string) fstest.MapFS {
	t := fstest.MapFS{
		"words.txt":     {Data: []byte(testWords)},
		"README.md":     {Data: []byte("Quiet.\n")},
		"docs/later.md": {Data: []byte("people\n")},
		"held/x.go":     {Data: []byte("package held\n")},
		"deep/x.go":     {Data: []byte("package deep\n")},
		"free/x.go":     {Data: []byte("package free // people\n")},
	}
	for name, text := range files {
		t[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return t
}

func TestFindsWords(t *testing.T) {
	for _, c := range []struct {
		name, file, text string
		want             []string
	}{
		{"a word", "README.md", "All\npeople wait.\n", []string{`README.md:2: "people": write user`}},
		{"in any case", "README.md", "People wait.\n", []string{`README.md:1: "People": write user`}},
		{"a phrase over two lines", "README.md", "Read what\nwaits now.\n", []string{`README.md:1: "what waits": write user`}},
		{"in the order of the text", "README.md", "People behind it, people.\n",
			[]string{`README.md:1: "People": write user`, `README.md:1: "behind": write after`, `README.md:1: "people": write user`}},
		{"in a table", "docs/a.md", "| a | b |\n|---|---|\n| people | c |\n", []string{`docs/a.md:3: "people": write user`}},
		{"in the text of a link", "docs/a.md", "[people](people.md)\n", []string{`docs/a.md:1: "people": write user`}},
		{"after a block of code", "docs/a.md", "```\npeople\n```\npeople\n", []string{`docs/a.md:4: "people": write user`}},
		{"in an indented item of a list", "docs/a.md", "1. a\n    people\n", []string{`docs/a.md:2: "people": write user`}},
		{"not within a word", "README.md", "peoples behindhand\n", nil},
		{"not where it is allowed", "README.md", "Run it behind a\nproxy.\n", nil},
		{"not in a block of code", "docs/a.md", "```sh\npeople\n```\n\n    people\n\n    people\n", nil},
		{"not in code", "docs/a.md", "`people` and `what\nwaits` [x](people.md)\n", nil},
		{"not across paragraphs", "docs/a.md", "what\n\nwaits\n", nil},
		{"not across code", "docs/a.md", "what `x` waits\n", nil},
		{"not in a document that is excepted", "docs/later.md", "people\n", nil},

		{"in a comment", "held/x.go", "package held\n\n// All people\n// behind it.\nvar x int\n",
			[]string{`held/x.go:3: "people": write user`, `held/x.go:4: "behind": write after`}},
		{"over the lines of a comment", "held/x.go", "package held\n\n// Read what\n// waits.\nvar x int // what\n",
			[]string{`held/x.go:3: "what waits": write user`}},
		{"in a long comment", "held/x.go", "package held\n\n/* what\nwaits */\n", []string{`held/x.go:3: "what waits": write user`}},
		{"in a string", "held/x.go", "package held\n\nvar x = \"a\\npeople wait\"\n", []string{`held/x.go:3: "people": write user`}},
		{"below a folder", "deep/er/x.go", "package er // people\n", []string{`deep/er/x.go:1: "people": write user`}},
		{"not in a name", "held/x.go", "package held\n\nvar people = \"people\"\n", nil},
		{"not in a tag or an import", "held/x.go", "package held\n\nimport \"the people\"\n\ntype x struct {\n\tA int `json:\"a\" x:\"people\"`\n}\n", nil},
		{"not in a directive", "held/x.go", "//go:build people\n\npackage held\n", nil},
		{"not across comments", "held/x.go", "package held\n\nvar a int // what\n\n// waits\nvar b int\n", nil},
		{"not in another folder", "free/x.go", "package free // people\n", nil},
		{"not in testdata", "held/testdata/x.go", "package held // people\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := run(tree(map[string]string{c.file: c.text}), "words.txt")
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestBadWords(t *testing.T) {
	for name, text := range map[string]string{
		"nothing instead":            "a ->",
		"an empty phrase":            "a, -> b",
		"a phrase twice":             "a b -> c\nx, a  b -> d",
		"an unknown key":             "folders: a",
		"an empty list":              "documents:",
		"neither":                    "people",
		"a document that is missing": "documents: other.md",
		"a folder without Go files":  "packages: other",
		"an exception that is none":  "documents: README.md\nexcept: docs/later.md",
	} {
		if _, err := run(tree(map[string]string{"words.txt": text}), "words.txt"); err == nil {
			t.Errorf("%s: no error for %q", name, text)
		}
	}
}

// TestRepositoryWords tries sentences against the words that the repository uses.
func TestRepositoryWords(t *testing.T) {
	tree := tree(nil)
	for sentence, refused := range map[string]bool{
		"A user deletes a message for everyone.":         false,
		"The gateway runs behind a proxy.":               false,
		"The server redelivers the entries of an inbox.": false,
		"It shows people what waits behind it.":          true,
		"Who is connected is told once it has come.":     true,
	} {
		tree["a.md"] = &fstest.MapFile{Data: []byte(sentence + "\n")}
		r, err := parse(repositoryWords(t))
		if err != nil {
			t.Fatal(err)
		}
		r.documents, r.except, r.packages = []string{"a.md"}, nil, nil
		problems, err := check(tree, r)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(problems) > 0; got != refused {
			t.Errorf("%q: refused is %t, want %t: %v", sentence, got, refused, problems)
		}
	}
}

func repositoryWords(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../words.txt")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
