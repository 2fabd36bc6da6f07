package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// check reads every Go file of the tree and returns a line for each import that the
// rules do not allow. It skips what the go command skips (testdata, vendor, and names
// that start with "." or "_") and node_modules. A tree without Go files is an error,
// because it means the wrong folder.
func check(tree fs.FS, r rules) ([]string, error) {
	var problems []string
	files, unknown := 0, map[string]bool{}
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
		if path.Ext(name) != ".go" || skipped(entry.Name()) {
			return nil
		}
		files++
		folder := path.Dir(name)
		entries, ok := r.entries(folder, strings.HasSuffix(name, "_test.go"))
		if !ok {
			if !unknown[folder] {
				unknown[folder] = true
				problems = append(problems, fmt.Sprintf("%s: no rule for the package %s", name, folder))
			}
			return nil
		}
		bad, err := r.checkFile(tree, name, entries)
		problems = append(problems, bad...)
		return err
	})
	if err == nil && files == 0 {
		err = fmt.Errorf("no Go files here")
	}
	return problems, err
}

// checkFile returns a line for each import of a file that no entry covers.
func (r rules) checkFile(tree fs.FS, name string, entries []string) ([]string, error) {
	source, err := fs.ReadFile(tree, name)
	if err != nil {
		return nil, err
	}
	positions := token.NewFileSet()
	file, err := parser.ParseFile(positions, name, source, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var problems []string
	for _, spec := range file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", positions.Position(spec.Pos()), err)
		}
		if !r.allows(entries, p) {
			at := positions.Position(spec.Pos())
			problems = append(problems, fmt.Sprintf("%s:%d: %s may not import %s", name, at.Line, path.Dir(name), p))
		}
	}
	return problems, nil
}

func skipped(name string) bool {
	return name == "testdata" || name == "vendor" || name == "node_modules" ||
		strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}
