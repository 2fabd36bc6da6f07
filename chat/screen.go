package chat

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"golang.org/x/term"

	"roost/schemas"
)

// screen shows a chat line by line, on a terminal above the line that the user types. The
// goroutine of the session owns it.
type screen struct {
	out  io.Writer
	term *term.Terminal // nil: there is no terminal
	fd   int

	typed atomic.Int64  // rows that the user typed, counted by the reader of lines
	keys  chan struct{} // 1 long; written for a key of a line that becomes a message, read by the session; when full it knows already

	last    schemas.MessageID // on a terminal, the newest row is the mark of this message; empty: it is not
	fading  bool              // the newest row is temporary
	lastRow int64             // typed after the newest row; if typed has grown, that row is out of reach
	err     error             // of the first write that failed; the screen writes nothing after it
}

// newScreen takes the terminal over if stdin and stdout are one; restore gives it back.
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

// terminal returns the file descriptor of f, and whether f is a terminal.
func terminal(f any) (int, bool) {
	file, ok := f.(*os.File)
	if !ok {
		return 0, false
	}
	fd := int(file.Fd())
	return fd, term.IsTerminal(fd)
}

// reader returns a function that reads the user's lines, from plain if there is no terminal.
func (s *screen) reader(plain *bufio.Reader) func() (string, error) {
	if s.term != nil {
		return func() (string, error) {
			line, err := s.term.ReadLine()
			if err == term.ErrPasteIndicator { // an earlier program left that mode on
				err = nil
			}
			s.typed.Add(1)
			return line, err
		}
	}
	return func() (string, error) { return plain.ReadString('\n') }
}

// prompt shows a text in front of the line that the user types.
func (s *screen) prompt(text string) {
	if s.term != nil {
		s.term.SetPrompt(text)
		s.write("") // draws it
	}
}

// pressed takes note of a key. The reader of lines calls it. A line becomes a message if it
// is no command, or a reply.
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

// lines shows a text of one line or more.
func (s *screen) lines(text string) {
	for line := range strings.SplitSeq(text, "\n") {
		s.line("%s", line)
	}
}

// temporary shows a line that is soon stale: on a terminal, fade or the next line removes
// it.
func (s *screen) temporary(text string) {
	s.line("%s", text)
	s.fading, s.lastRow = s.term != nil, s.typed.Load()
}

// fade removes a temporary line if it is still in reach.
func (s *screen) fade() {
	if s.fading && s.lastRow == s.typed.Load() {
		s.write("\x1b[1A\r\x1b[K")
	}
	s.fading = false
}

// mark shows how far a sent message has got, in a row of its own. On a terminal the next
// mark of the same message replaces that row if no other line came between.
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
