// Command imports holds every Go file under the current folder to the import
// rules of a file; tools/imports.txt explains how they are written. It reads
// import clauses alone, so it needs no build, sees the files of every platform
// and of nested modules, and works where the code does not compile.
//
// It prints one line for each import that is not allowed and then exits 1.
package main

import (
	"fmt"
	"io/fs"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: imports RULES")
		os.Exit(2)
	}
	problems, err := run(os.DirFS("."), os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "imports:", err)
		os.Exit(2)
	}
	for _, p := range problems {
		fmt.Println(p)
	}
	if len(problems) > 0 {
		os.Exit(1)
	}
}

func run(tree fs.FS, rulesFile string) ([]string, error) {
	text, err := fs.ReadFile(tree, rulesFile)
	if err != nil {
		return nil, err
	}
	rules, err := parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", rulesFile, err)
	}
	return check(tree, rules)
}
