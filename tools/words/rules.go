package main

import (
	"fmt"
	"regexp"
	"strings"
)

// rules says which words are refused, and in which files.
type rules struct {
	documents []string // patterns of path.Match
	except    []string // documents that are not checked
	packages  []string // folders whose Go files are checked, or "folder/..."
	allowed   []*regexp.Regexp
	refused   []refusal
}

// refusal is a word or phrase with what to write instead.
type refusal struct {
	phrase  *regexp.Regexp
	instead string
}

// parse reads the rules.
func parse(text string) (rules, error) {
	var r rules
	seen := make(map[string]bool)
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if phrases, instead, ok := strings.Cut(line, "->"); ok {
			instead = strings.TrimSpace(instead)
			if instead == "" {
				return rules{}, fmt.Errorf("line %d: nothing to write instead", i+1)
			}
			for phrase := range strings.SplitSeq(phrases, ",") {
				words := strings.ToLower(strings.Join(strings.Fields(phrase), " "))
				if words == "" {
					return rules{}, fmt.Errorf("line %d: an empty phrase", i+1)
				}
				if seen[words] {
					return rules{}, fmt.Errorf("line %d: a second line for %q", i+1, words)
				}
				seen[words] = true
				r.refused = append(r.refused, refusal{pattern(phrase), instead})
			}
			continue
		}
		key, list, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(list) == "" {
			return rules{}, fmt.Errorf("line %d: want PHRASE -> WORD, or KEY: LIST", i+1)
		}
		switch key {
		case "documents":
			r.documents = append(r.documents, strings.Fields(list)...)
		case "except":
			r.except = append(r.except, strings.Fields(list)...)
		case "packages":
			r.packages = append(r.packages, strings.Fields(list)...)
		case "allow":
			for phrase := range strings.SplitSeq(list, ",") {
				r.allowed = append(r.allowed, pattern(phrase))
			}
		default:
			return rules{}, fmt.Errorf("line %d: no key is called %s", i+1, key)
		}
	}
	return r, nil
}

// pattern matches the words of a phrase in any case, with spaces or one line break between
// them.
func pattern(phrase string) *regexp.Regexp {
	words := strings.Fields(phrase)
	for i, w := range words {
		words[i] = regexp.QuoteMeta(w)
	}
	return regexp.MustCompile(`(?i)\b` + strings.Join(words, `(?:[ \t]+|[ \t]*\n[ \t]*)`) + `\b`)
}

// holds says whether the Go files of a folder are checked.
func (r rules) holds(folder string) bool {
	for _, p := range r.packages {
		above, all := strings.CutSuffix(p, "/...")
		if folder == above || all && strings.HasPrefix(folder, above+"/") {
			return true
		}
	}
	return false
}
