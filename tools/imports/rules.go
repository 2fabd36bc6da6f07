package main

import (
	"fmt"
	"strings"
)

// module is the path of the root module. The paths of nested modules begin with it.
const module = "roost"

// rules holds what the files of each folder may import.
type rules struct {
	files      map[string][]string // by folder or "folder/..."
	tests      map[string][]string // what _test.go files may import in addition
	restricted []string            // modules that "other" does not cover
}

// parse reads the rules.
func parse(text string) (rules, error) {
	r := rules{files: map[string][]string{}, tests: map[string][]string{}}
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		folder, list, found := strings.Cut(line, ":")
		folder = strings.TrimSpace(folder)
		entries := strings.Fields(list)
		if !found || len(entries) == 0 {
			return rules{}, fmt.Errorf("line %d: want FOLDER: entries", i+1)
		}
		if folder == "restricted" {
			r.restricted = append(r.restricted, entries...)
			continue
		}
		into := r.files
		if name, ok := strings.CutSuffix(folder, "(test)"); ok {
			folder, into = strings.TrimSpace(name), r.tests
		}
		if _, twice := into[folder]; twice {
			return rules{}, fmt.Errorf("line %d: %s has a line already", i+1, folder)
		}
		into[folder] = entries
	}
	for folder := range r.tests {
		if r.files[folder] == nil {
			return rules{}, fmt.Errorf("%s has a line for its tests, but none for its other files", folder)
		}
	}
	return r, nil
}

// entries returns what a file of the folder may import. It returns false if no rule
// matches the folder.
func (r rules) entries(folder string, test bool) ([]string, bool) {
	best := folder
	if r.files[best] == nil {
		best = ""
		for name := range r.files {
			if matches(name, folder) && len(name) > len(best) {
				best = name
			}
		}
	}
	if best == "" {
		return nil, false
	}
	entries := r.files[best]
	if test {
		entries = append(entries[:len(entries):len(entries)], r.tests[best]...)
		entries = append(entries, folder) // a test package imports the package that it tests
	}
	return entries, true
}

// allows reports whether one of the entries covers the import path.
func (r rules) allows(entries []string, path string) bool {
	local, isLocal := strings.CutPrefix(path, module+"/")
	if path == module {
		local, isLocal = ".", true
	}
	first, _, _ := strings.Cut(path, "/")
	isStd := !isLocal && !strings.Contains(first, ".")
	for _, e := range entries {
		switch {
		case e == "any":
			return true
		case e == "std":
			if isStd {
				return true
			}
		case e == "other":
			if !isLocal && !isStd && !r.isRestricted(path) {
				return true
			}
		case isLocal:
			if matches(e, local) {
				return true
			}
		case within(path, e):
			return true
		}
	}
	return false
}

func (r rules) isRestricted(path string) bool {
	for _, m := range r.restricted {
		if within(path, m) {
			return true
		}
	}
	return false
}

// matches reports whether a name in the rules covers the folder.
func matches(name, folder string) bool {
	if root, ok := strings.CutSuffix(name, "/..."); ok {
		return within(folder, root)
	}
	return name == folder
}

// within reports whether path is root or lies below it.
func within(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}
