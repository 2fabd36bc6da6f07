// Command imports checks the imports of every Go file under the current folder
// against a file of rules. tools/imports.txt explains the rules. The command reads
// import clauses only. So it needs no build, it sees the files of every platform and
// of nested modules, and it works even if the code does not compile.
//
// It prints one line for each import that is not allowed, and then exits with 1.
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
