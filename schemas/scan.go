package schemas

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A scanner reads without reflection the frames and records of every message, if they have
// the plain form in which clients and servers usually write them. In that form, a frame
// starts with its type. Then come members that the schema knows, each at most once and
// without escapes in its name. Their values are positive whole numbers or text that is not
// empty.
//
// The scanner gives up at any other form, also at invalid input. Then encoding/json decodes
// the input and strict.go checks it, so only they decide what it means and which error it
// gets.
type scanner struct {
	rest   []byte // the unread input; nil after the scanner gave up
	opened bool   // the opening brace is read
	name   []byte // the name of the member whose value comes next
}

// next reads the name of the next member. It returns false at the end of the object, and
// after the scanner gave up.
func (s *scanner) next() bool {
	if !s.opened {
		s.opened = true
		s.cutByte('{')
	} else {
		s.rest = skipSpace(s.rest)
		if len(s.rest) == 0 || s.rest[0] != ',' {
			return false // done reports whether this is the end
		}
		s.rest = s.rest[1:]
	}
	quoted := s.cutString()
	s.cutByte(':')
	if s.rest == nil {
		return false
	}
	s.name = quoted[1 : len(quoted)-1]
	return true
}

// done reports whether the scanner has read the whole object, and only white space follows.
func (s *scanner) done() bool {
	s.cutByte('}')
	return s.rest != nil && len(skipSpace(s.rest)) == 0
}

// giveUp ends the scan: next and done return false from now on.
func (s *scanner) giveUp() { s.rest = nil }

// frameType reads the first member, which is the type of the frame.
func (s *scanner) frameType() []byte {
	if !s.next() || string(s.name) != "type" && string(s.name) != "action" {
		s.giveUp()
		return nil
	}
	quoted := s.cutString()
	if quoted == nil {
		return nil
	}
	return quoted[1 : len(quoted)-1]
}

// text reads a value into dst. If dst is set already, the member is repeated, and the
// scanner gives up.
func (s *scanner) text(dst *string) {
	quoted := s.cutString()
	if len(quoted) <= len(`""`) || *dst != "" || !utf8.Valid(quoted) {
		s.giveUp()
		return
	}
	inside := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inside, '\\') < 0 {
		*dst = string(inside)
		return
	}
	var ok bool
	if *dst, ok = resolve(inside); !ok {
		s.giveUp()
	}
}

// number reads a value into dst, as text does.
func (s *scanner) number(dst *int64) {
	const most = 18 // this many digits always fit
	data := skipSpace(s.rest)
	var n int64
	i := 0
	for ; i < len(data) && i <= most && '0' <= data[i] && data[i] <= '9'; i++ {
		n = n*10 + int64(data[i]-'0')
	}
	if i == 0 || i > most || data[0] == '0' || *dst != 0 {
		s.giveUp()
		return
	}
	*dst, s.rest = n, data[i:]
}

// skipText reads a text and drops it.
func (s *scanner) skipText() { s.cutString() }

// skipNumber reads a number and drops it.
func (s *scanner) skipNumber() {
	var dropped int64
	s.number(&dropped)
}

func (s *scanner) cutByte(c byte) {
	data := skipSpace(s.rest)
	if len(data) == 0 || data[0] != c {
		s.giveUp()
		return
	}
	s.rest = data[1:]
}

// cutString reads a JSON string and returns it with its quotes and escapes. It returns nil
// if the scanner gives up.
func (s *scanner) cutString() []byte {
	data := skipSpace(s.rest)
	if len(data) == 0 || data[0] != '"' {
		s.giveUp()
		return nil
	}
	for i := 1; i < len(data); i++ {
		c := data[i]
		if !special[c] {
			continue
		}
		switch c {
		case '"':
			s.rest = data[i+1:]
			return data[:i+1]
		case '\\':
			n := escapeLen(data[i:])
			if n == 0 {
				s.giveUp()
				return nil
			}
			i += n - 1
		default:
			s.giveUp()
			return nil
		}
	}
	s.giveUp()
	return nil
}

// special has the bytes that a JSON string must escape, and the quote.
var special = func() (t [256]bool) {
	for c := range 0x20 {
		t[c] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

// escapeLen returns the length of the escape at the start of data, or 0 if it is not valid.
func escapeLen(data []byte) int {
	if len(data) < 2 {
		return 0
	}
	if data[1] == 'u' {
		if _, ok := escapedRune(data); !ok {
			return 0
		}
		return 6
	}
	if strings.IndexByte(`"\/bfnrt`, data[1]) < 0 {
		return 0
	}
	return 2
}

// resolve replaces the escapes inside a JSON string of valid syntax. ok is false if one of
// them is half of a surrogate pair.
func resolve(inside []byte) (text string, ok bool) {
	var b strings.Builder
	b.Grow(len(inside))
	for {
		i := bytes.IndexByte(inside, '\\')
		if i < 0 {
			b.Write(inside)
			return b.String(), true
		}
		b.Write(inside[:i])
		inside = inside[i:]
		n := 2
		switch c := inside[1]; c {
		case 'u':
			r, _ := escapedRune(inside)
			if n = 6; utf16.IsSurrogate(r) {
				other, _ := escapedRune(inside[n:])
				if r = utf16.DecodeRune(r, other); r == utf8.RuneError {
					return "", false
				}
				n *= 2
			}
			b.WriteRune(r)
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		default: // a quote, a backslash or a slash
			b.WriteByte(c)
		}
		inside = inside[n:]
	}
}

// skipSpace returns data without its leading white space. nil stays nil.
func skipSpace(data []byte) []byte {
	for len(data) > 0 && data[0] <= ' ' && (data[0] == ' ' || data[0] == '\n' || data[0] == '\t' || data[0] == '\r') {
		data = data[1:]
	}
	return data
}
