// Command words refuses words in the documents, and in the Go comments and strings of
// the folders that a file lists; tools/words.txt explains how the file is written. It
// reads text alone, so it needs no build.
//
// It prints one line for each refused word and then exits 1.
package main

import (
	"fmt"
	"io/fs"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: words WORDS")
		os.Exit(2)
	}
	problems, err := run(os.DirFS("."), os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "words:", err)
		os.Exit(2)
	}
	for _, p := range problems {
		fmt.Println(p)
	}
	if len(problems) > 0 {
		os.Exit(1)
	}
}

func run(tree fs.FS, wordsFile string) ([]string, error) {
	text, err := fs.ReadFile(tree, wordsFile)
	if err != nil {
		return nil, err
	}
	r, err := parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", wordsFile, err)
	}
	return check(tree, r)
}
