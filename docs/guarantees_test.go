// Package docs_test holds the documents to the tree.
package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

const root = ".."

var code = regexp.MustCompile("`([^`]+)`")

// TestGuarantees: each row of docs/guarantees.md names tests, and each of them is
// in the tree.
func TestGuarantees(t *testing.T) { checkProofs(t, "guarantees.md", 3) }

// TestProtocolTests: so does each row of docs/protocol-tests.md, which has a table
// for each section of the protocol.
func TestProtocolTests(t *testing.T) {
	checkProofs(t, "protocol-tests.md", 2)
	tables := sections(t, "protocol-tests.md")
	for heading := range sections(t, "protocol.md") {
		if heading != "## Not offered yet" && len(rows(tables[heading])) == 0 {
			t.Errorf("protocol-tests.md has no table under %q", heading)
		}
		delete(tables, heading)
	}
	for heading := range tables {
		t.Errorf("protocol.md has no %q", heading)
	}
}

// checkProofs looks at each row of a document's tables: its last cell names tests.
func checkProofs(t *testing.T, document string, cellsOfARow int) {
	data, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	suites := literalsOfSuites(t)
	files := make(map[string]testFile)
	rows, named := 0, 0
	for n, line := range strings.Split(string(data), "\n") {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || strings.TrimSpace(cells[len(cells)-1]) == "proof" {
			continue
		}
		rows++
		at := fmt.Sprintf("%s:%d", document, n+1)
		if len(cells) != cellsOfARow {
			t.Errorf("%s: %d cells, not %d", at, len(cells), cellsOfARow)
			continue
		}
		var file testFile
		found := 0
		for _, m := range code.FindAllStringSubmatch(cells[len(cells)-1], -1) {
			name := m[1]
			if strings.HasSuffix(name, ".go") {
				if _, ok := files[name]; !ok {
					files[name] = parse(t, name)
				}
				file = files[name]
				continue
			}
			found++
			test, of, isCase := strings.Cut(name, "/")
			switch {
			case file.name == "":
				t.Errorf("%s: %s comes after no file", at, name)
			case !file.funcs[test]:
				t.Errorf("%s: %s has no %s", at, file.name, test)
			case isCase && !file.literals[of] && !suites[of]:
				t.Errorf("%s: neither %s nor a contract suite has the case %q", at, file.name, of)
			}
		}
		if found == 0 {
			t.Errorf("%s: the row names no test", at)
		}
		named += found
	}
	if rows == 0 {
		t.Errorf("%s has no table", document)
	}
	t.Logf("%s: %d rows, %d tests and cases", document, rows, named)
}

// TestLinks: each file and each heading that a document links to exists.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:\s]*)(?:#([^)\s]*))?\)`)
	var documents []string
	for _, pattern := range []string{filepath.Join(root, "*.md"), "*.md", "decisions/*.md"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, more...)
	}
	for _, document := range documents {
		data, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(data), -1) {
			file, heading := document, m[2]
			if m[1] != "" {
				file = filepath.Join(filepath.Dir(document), m[1])
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s, which does not exist", document, m[1])
			} else if heading != "" && !anchors(t, file)[heading] {
				t.Errorf("%s links to %s, which has no heading for #%s", document, file, heading)
			}
		}
	}
}

// anchors are the names that GitHub gives to the headings of a document.
func anchors(t *testing.T, document string) map[string]bool {
	t.Helper()
	data, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]bool)
	for line := range strings.Lines(string(data)) {
		if heading := strings.TrimLeft(line, "#"); heading != line {
			all[strings.Map(func(r rune) rune {
				switch {
				case r == ' ':
					return '-'
				case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
					return unicode.ToLower(r)
				}
				return -1
			}, strings.TrimSpace(heading))] = true
		}
	}
	return all
}

// testFile is what one Go file defines and says.
type testFile struct {
	name     string
	funcs    map[string]bool
	literals map[string]bool
}

func parse(t *testing.T, name string) testFile {
	t.Helper()
	f := testFile{name: name, funcs: make(map[string]bool), literals: make(map[string]bool)}
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return f
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			f.funcs[n.Name.Name] = n.Recv == nil
		case *ast.BasicLit:
			if s, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil {
				f.literals[s] = true
			}
		}
		return true
	})
	return f
}

// literalsOfSuites are the strings of the contract suites, the packages whose
// names end in "test".
func literalsOfSuites(t *testing.T) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && name != "." && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		if filepath.Ext(name) == ".go" && strings.HasSuffix(filepath.Dir(name), "test") {
			for literal := range parse(t, name).literals {
				all[literal] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
