// Command tally adds up the test events that gotestsum wrote with --jsonfile, one
// file per run. It prints the line
//
//	N passed, N failed, N skipped
//
// Subtests count. Two cases count as one failure each: a package that fails although
// none of its tests failed (it does not compile, or its TestMain failed), and a run
// that executed no test. The command exits with 1 if there is a failure.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: tally FILE...")
		os.Exit(2)
	}
	var sum count
	for _, name := range os.Args[1:] {
		one, err := readFile(name)
		if err != nil {
			fmt.Fprintln(os.Stderr, "tally:", err)
			os.Exit(2)
		}
		if one.passed+one.failed == 0 {
			fmt.Printf("%s: no test ran\n", name)
			one.failed = 1
		}
		sum.add(one)
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", sum.passed, sum.failed, sum.skipped)
	if sum.failed > 0 {
		os.Exit(1)
	}
}

type count struct{ passed, failed, skipped int }

func (c *count) add(d count) {
	c.passed += d.passed
	c.failed += d.failed
	c.skipped += d.skipped
}

func readFile(name string) (count, error) {
	f, err := os.Open(name)
	if err != nil {
		return count{}, err
	}
	defer f.Close()
	c, err := read(f)
	if err != nil {
		return count{}, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// read counts the events of one run; `go doc cmd/test2json` describes them.
func read(events io.Reader) (count, error) {
	var c count
	failed := map[string]bool{} // packages with a failed test
	decoder := json.NewDecoder(bufio.NewReader(events))
	for {
		var e struct{ Action, Package, Test string }
		if err := decoder.Decode(&e); err == io.EOF {
			return c, nil
		} else if err != nil {
			return count{}, err
		}
		switch {
		case e.Action == "fail" && e.Test == "" && !failed[e.Package]:
			c.failed++
		case e.Test == "":
		case e.Action == "pass":
			c.passed++
		case e.Action == "skip":
			c.skipped++
		case e.Action == "fail":
			c.failed++
			failed[e.Package] = true
		}
	}
}
