package schemas

import (
	"strconv"
	"unicode/utf8"
)

// appendObject returns the object with the members of v.
func appendObject(v appended) []byte {
	out := v.appendMembers(make([]byte, 0, v.size()+1))
	if len(out) == 0 {
		return []byte("{}")
	}
	out[0] = '{' // in place of the first comma
	return append(out, '}')
}

// appendFrame returns the object with a type and the members of v.
func appendFrame(typ FrameType, v appended) []byte {
	const head = `{"type":"`
	out := make([]byte, 0, len(head)+len(typ)+len(`"}`)+v.size())
	out = append(out, head...)
	out = append(out, typ...)
	out = append(out, '"')
	out = v.appendMembers(out)
	return append(out, '}')
}

// textRoom and numberRoom are the sizes of a member without its name, and without its text.
// The longest common number is a timestamp of 13 digits.
const (
	textRoom   = len(`,"":""`)
	numberRoom = len(`,"":1760000000000`)
)

func optionalRoom(name, value string) int {
	if value == "" {
		return 0
	}
	return textRoom + len(name) + len(value)
}

// appendName appends a name that needs no escapes.
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

// separator is U+2028; U+2029 differs in the last bit.
const separator = "\u2028"

// appendString appends s as encoding/json does with SetEscapeHTML(false), which still
// escapes the two line separators of JavaScript. It leaves invalid UTF-8 to encoding/json.
func appendString(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		return append(dst, marshalAny(s)...)
	}
	dst = append(dst, '"')
	for done, i := 0, 0; ; {
		i += plainLen(s[i:])
		if i == len(s) {
			dst = append(dst, s[done:]...)
			return append(dst, '"')
		}
		n := 1
		if s[i] == separator[0] {
			n = len(separator)
			if s[i+1] != separator[1] || s[i+2]&^1 != separator[2] {
				i += n
				continue
			}
		}
		dst = append(dst, s[done:i]...)
		dst = appendEscape(dst, s[i:i+n])
		i += n
		done = i
	}
}

// plainLen returns the number of bytes at the start of s that need no escape and do not begin
// a line separator. Most bytes of a frame are content, so it checks eight at a time.
func plainLen(s string) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		b := s[i : i+8]
		x := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		// Each term has the highest bit of a wanted byte set, and perhaps that of later
		// bytes.
		quote, backslash, first := x^ones*'"', x^ones*'\\', x^ones*uint64(separator[0])
		found := (x-ones*' ')&^x | (quote-ones)&^quote | (backslash-ones)&^backslash | (first-ones)&^first
		if found&highs != 0 {
			break
		}
	}
	for i < len(s) && !special[s[i]] && s[i] != separator[0] {
		i++
	}
	return i
}

const hexDigits = "0123456789abcdef"

// appendEscape appends a quote, a backslash, a control character or a line
// separator.
func appendEscape(dst []byte, char string) []byte {
	switch c := char[0]; c {
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
	r, _ := utf8.DecodeRuneInString(char)
	return append(dst, '\\', 'u', hexDigits[r>>12], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}
