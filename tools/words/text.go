package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
)

// hidden stands for each byte that is not prose. It is neither white space nor part of a
// word, so no phrase matches across it.
const hidden = 0

// hide keeps the lines of a text and nothing else.
func hide(text []byte) {
	for i, c := range text {
		if c != '\n' {
			text[i] = hidden
		}
	}
}

var (
	codeSpan   = regexp.MustCompile("`[^`\n]*(?:\n[^`\n]+)?`")
	linkTarget = regexp.MustCompile(`\]\([^)\n]*\)`)
)

// prose is a Markdown document of the same length without its code: fenced and indented
// blocks, code spans, and the targets of links.
func prose(source []byte) []byte {
	text := bytes.Clone(source)
	fenced, afterBlank, at := false, true, 0
	for line := range bytes.Lines(source) {
		here := text[at : at+len(line)]
		at += len(line)
		isFence := bytes.HasPrefix(line, []byte("```"))
		isCode := bytes.HasPrefix(line, []byte("    ")) && afterBlank
		if isFence || fenced || isCode {
			hide(here)
		}
		if isFence {
			fenced = !fenced
		}
		afterBlank = isCode || len(bytes.TrimSpace(line)) == 0 // an indented block goes on
	}
	for _, code := range []*regexp.Regexp{codeSpan, linkTarget} {
		for _, at := range code.FindAllIndex(text, -1) {
			hide(text[at[0]:at[1]])
		}
	}
	return text
}

// goText is a Go file of the same length without everything but its comments, and the
// strings that have a space: others are names.
func goText(name string, source []byte) ([]byte, error) {
	positions := token.NewFileSet()
	file, err := parser.ParseFile(positions, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	text := bytes.Clone(source)
	hide(text)
	// keep brings a part back, with spaces in place of what the language adds to it.
	keep := func(from, to token.Pos, without *regexp.Regexp) {
		begin, end := positions.Position(from).Offset, positions.Position(to).Offset
		copy(text[begin:end], source[begin:end])
		for _, at := range without.FindAllIndex(text[begin:end], -1) {
			for i := begin + at[0]; i < begin+at[1]; i++ {
				if text[i] != '\n' {
					text[i] = ' '
				}
			}
		}
	}
	for _, group := range file.Comments {
		for i, c := range group.List {
			if strings.HasPrefix(c.Text, "//go:") {
				continue
			}
			keep(c.Pos(), c.End(), commentMarks)
			if i > 0 && positions.Position(c.Pos()).Line == positions.Position(group.List[i-1].End()).Line+1 {
				// The lines of one comment are one text.
				for j := positions.Position(group.List[i-1].End()).Offset; j < positions.Position(c.Pos()).Offset; j++ {
					if text[j] == hidden {
						text[j] = ' '
					}
				}
			}
		}
	}
	names := make(map[*ast.BasicLit]bool) // paths and tags
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			names[n.Path] = true
		case *ast.Field:
			if n.Tag != nil {
				names[n.Tag] = true
			}
		case *ast.BasicLit:
			if n.Kind == token.STRING && !names[n] && strings.Contains(n.Value, " ") {
				keep(n.Pos(), n.End(), escapes)
			}
		}
		return true
	})
	return text, nil
}

var (
	commentMarks = regexp.MustCompile(`^//|^/\*|\*/$`)
	escapes      = regexp.MustCompile(`\\[nrt"\\]`)
)
