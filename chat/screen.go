package chat

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"golang.org/x/term"

	"roost/schemas"
)

// screen is where a chat is shown: line by line, or on a terminal above the line
// that is being typed. The goroutine of the chat owns it.
type screen struct {
	out  io.Writer
	term *term.Terminal // nil: no terminal
	fd   int

	typed atomic.Int64  // rows that the person typed, counted by the reader of lines
	keys  chan struct{} // 1 long; written where a key was pressed that makes a message, read by the chat; when full it knows

	last    schemas.MessageID // on a terminal: the newest row is the mark of this message, or
	passing bool              // the newest row goes away before the next one, as long as
	lastRow int64             // nothing was typed since: typed was this
	err     error             // of the first write that failed; nothing is written after it
}

// newScreen takes the terminal over, if both ends are one; restore gives it back.
func newScreen(stdin io.Reader, stdout io.Writer) (s *screen, restore func(), err error) {
	s = &screen{out: stdout, keys: make(chan struct{}, 1)}
	fd, in := terminal(stdin)
	outFD, out := terminal(stdout)
	if !in || !out {
		return s, func() {}, nil
	}
	before, err := term.MakeRaw(fd)
	if err != nil {
		return nil, nil, fmt.Errorf("failed to take the terminal: %w", err)
	}
	s.fd = outFD
	s.term = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{stdin, stdout}, "")
	s.out = s.term
	s.term.AutoCompleteCallback = s.pressed
	return s, func() {
		_, _ = io.WriteString(stdout, "\r\x1b[K") // the prompt
		_ = term.Restore(fd, before)
	}, nil
}

// terminal says whether f is one, and its file descriptor.
func terminal(f any) (int, bool) {
	file, ok := f.(*os.File)
	if !ok {
		return 0, false
	}
	fd := int(file.Fd())
	return fd, term.IsTerminal(fd)
}

// reader gives the person's lines; plain is used where there is no terminal.
func (s *screen) reader(plain *bufio.Reader) func() (string, error) {
	if s.term != nil {
		return func() (string, error) {
			line, err := s.term.ReadLine()
			if err == term.ErrPasteIndicator { // where an earlier program left that mode on
				err = nil
			}
			s.typed.Add(1)
			return line, err
		}
	}
	return func() (string, error) { return plain.ReadString('\n') }
}

func (s *screen) prompt(text string) {
	if s.term != nil {
		s.term.SetPrompt(text)
		s.write("") // draws it
	}
}

// pressed hears of each key from the reader of lines. Only a line that is no
// command, or a reply, becomes a message.
func (s *screen) pressed(line string, _ int, _ rune) (string, int, bool) {
	if line != "" && (!strings.HasPrefix(line, "/") || strings.HasPrefix(line, "//") || strings.HasPrefix(line, "/reply ")) {
		select {
		case s.keys <- struct{}{}:
		default:
		}
	}
	return "", 0, false // the key does what it does
}

// line shows a line.
func (s *screen) line(format string, args ...any) {
	s.fade()
	s.last = ""
	s.write(fmt.Sprintf(format, args...) + "\n")
}

// lines shows a text that may have several.
func (s *screen) lines(text string) {
	for line := range strings.SplitSeq(text, "\n") {
		s.line("%s", line)
	}
}

// pass shows a line that is soon out of date: on a terminal it goes away with
// fade, or when another one comes.
func (s *screen) pass(text string) {
	s.line("%s", text)
	s.passing, s.lastRow = s.term != nil, s.typed.Load()
}

// fade takes a passing line away, if it can still be found.
func (s *screen) fade() {
	if s.passing && s.lastRow == s.typed.Load() {
		s.write("\x1b[1A\r\x1b[K")
	}
	s.passing = false
}

// mark shows how far a sent message has got. On a terminal, where it stands right
// below what was typed, that is a row of its own, and the next mark of the same
// message replaces it if nothing came between.
func (s *screen) mark(id schemas.MessageID, sign, text string) {
	text = clean(text)
	if s.term == nil {
		s.line("%s %s", sign, text)
		return
	}
	row := fmt.Sprintf("  %-2s %s", sign, short(text))
	if typed := s.typed.Load(); s.last == id && s.lastRow == typed {
		s.write("\x1b[1A\r\x1b[K" + row + "\n")
	} else {
		s.line("%s", row)
		s.last, s.lastRow = id, typed
	}
}

func (s *screen) write(text string) {
	if s.err != nil {
		return
	}
	if s.term != nil {
		if width, height, err := term.GetSize(s.fd); err == nil && width > 0 {
			_ = s.term.SetSize(width, height)
		}
	}
	_, s.err = io.WriteString(s.out, text)
}

// short keeps a row from wrapping.
func short(text string) string {
	const most = 30
	text, _, _ = strings.Cut(text, "\n")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// clean takes from what others wrote all that would command the terminal, and
// indents further lines, so that none passes for a message.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return '\uFFFD'
		}
		return r
	}, text)
	return strings.ReplaceAll(text, "\n", "\n    ")
}

// clock is the local time of t, with the day if that is another.
func clock(t schemas.Timestamp) string {
	local := t.Time().Local()
	if now := time.Now(); local.YearDay() == now.YearDay() && local.Year() == now.Year() {
		return local.Format("15:04")
	}
	return local.Format("2006-01-02 15:04")
}
