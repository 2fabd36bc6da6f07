package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// check reads the documents and the Go files that the rules name, and returns a line for
// each refused word. A pattern or a folder without a file is an error.
func check(tree fs.FS, r rules) ([]string, error) {
	var problems []string
	var documents []string
	for _, pattern := range r.documents {
		found, err := fs.Glob(tree, pattern)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("no document is called %s", pattern)
		}
		documents = append(documents, found...)
	}
	for _, name := range r.except {
		if !slices.Contains(documents, name) {
			return nil, fmt.Errorf("except: %s is not one of the documents", name)
		}
	}
	slices.Sort(documents)
	for _, name := range slices.Compact(documents) {
		if slices.Contains(r.except, name) {
			continue
		}
		source, err := fs.ReadFile(tree, name)
		if err != nil {
			return nil, err
		}
		problems = append(problems, r.find(name, prose(source))...)
	}
	empty := make(map[string]bool)
	for _, p := range r.packages {
		empty[strings.TrimSuffix(p, "/...")] = true
	}
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && skipped(entry.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		folder := path.Dir(name)
		if path.Ext(name) != ".go" || skipped(entry.Name()) || !r.holds(folder) {
			return nil
		}
		for p := range empty {
			if folder == p || strings.HasPrefix(folder, p+"/") {
				delete(empty, p)
			}
		}
		source, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		text, err := goText(name, source)
		if err != nil {
			return err
		}
		problems = append(problems, r.find(name, text)...)
		return nil
	})
	for p := range empty {
		if err == nil {
			err = fmt.Errorf("no Go files in %s", p)
		}
	}
	return problems, err
}

// find returns a line for each refused word in a text, in the order of the text.
func (r rules) find(name string, text []byte) []string {
	for _, allowed := range r.allowed {
		for _, at := range allowed.FindAllIndex(text, -1) {
			hide(text[at[0]:at[1]])
		}
	}
	type hit struct {
		at   int
		says string
	}
	var hits []hit
	for _, refused := range r.refused {
		for _, at := range refused.phrase.FindAllIndex(text, -1) {
			line := 1 + bytes.Count(text[:at[0]], []byte("\n"))
			words := strings.Join(strings.Fields(string(text[at[0]:at[1]])), " ")
			hits = append(hits, hit{at[0], fmt.Sprintf("%s:%d: %q: write %s", name, line, words, refused.instead)})
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return a.at - b.at })
	var lines []string
	for _, h := range hits {
		lines = append(lines, h.says)
	}
	return lines
}

func skipped(name string) bool {
	return name == "testdata" || name == "vendor" || name == "node_modules" ||
		strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}
