package schemas

import (
	"strconv"
	"unicode/utf8"
)

// appendObject is the object that has the members of v alone.
func appendObject(v appended) []byte {
	out := v.appendMembers(make([]byte, 0, v.size()+1))
	if len(out) == 0 {
		return []byte("{}")
	}
	out[0] = '{' // in place of the first comma
	return append(out, '}')
}

// appendFrame is the object that has a type and the members of v.
func appendFrame(typ FrameType, v appended) []byte {
	const head = `{"type":"`
	out := make([]byte, 0, len(head)+len(typ)+len(`"}`)+v.size())
	out = append(out, head...)
	out = append(out, typ...)
	out = append(out, '"')
	out = v.appendMembers(out)
	return append(out, '}')
}

// Room for a member beside what is counted by its length: comma, quotes and
// colon, and the longest number.
const (
	textRoom   = len(`,"":""`)
	numberRoom = len(`,"":-9223372036854775808`)
)

func optionalRoom(name, value string) int {
	if value == "" {
		return 0
	}
	return textRoom + len(name) + len(value)
}

// appendName takes a name that needs no escapes.
func appendName(dst []byte, name string) []byte {
	dst = append(dst, `,"`...)
	dst = append(dst, name...)
	return append(dst, `":`...)
}

func appendText(dst []byte, name, value string) []byte {
	return appendString(appendName(dst, name), value)
}

func appendOptionalText(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return appendText(dst, name, value)
}

func appendNumber(dst []byte, name string, value int64) []byte {
	return strconv.AppendInt(appendName(dst, name), value, 10)
}

func appendOptionalNumber(dst []byte, name string, value int64) []byte {
	if value == 0 {
		return dst
	}
	return appendNumber(dst, name, value)
}

// appendString appends s as encoding/json writes it where it does not escape for
// HTML: what is no UTF-8 becomes U+FFFD, and the two line separators of
// JavaScript are escaped.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if special[c] {
				dst = append(dst, s[done:i]...)
				dst = appendEscape(dst, c)
				done = i + 1
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			dst = append(dst, s[done:i]...)
			dst = append(dst, `\ufffd`...)
			done = i + n
		case r == '\u2028' || r == '\u2029':
			dst = append(dst, s[done:i]...)
			dst = append(dst, `\u202`...)
			dst = append(dst, hexDigits[r&15])
			done = i + n
		}
		i += n
	}
	dst = append(dst, s[done:]...)
	return append(dst, '"')
}

const hexDigits = "0123456789abcdef"

// appendEscape appends a quote, a backslash or a control character.
func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
