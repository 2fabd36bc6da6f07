package schemas

import (
	"bytes"
	"encoding/json"
	"iter"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// encoding/json accepts input that a contract must refuse: names in any case, repeated names,
// of which the last wins, and text that is not Unicode. It changes such text to U+FFFD, which
// would silently alter a message. The functions of this file refuse that input first.

// checkObject accepts exactly one JSON object in Unicode: it is valid UTF-8, and no escape is
// half of a surrogate pair.
func checkObject(data []byte) *Error {
	if !json.Valid(data) {
		err := json.Unmarshal(data, new(json.RawMessage))
		return &Error{Code: CodeBadFrame, Message: "Not valid JSON: " + err.Error() + ".", Cause: err}
	}
	if trimSpace(data)[0] != '{' {
		return Errorf(CodeBadFrame, "The input is JSON, but not one JSON object.")
	}
	if utf8.Valid(data) && !bytes.Contains(data, []byte(`\u`)) {
		return nil
	}
	for name, value := range members(data) {
		switch {
		case !utf8.Valid(name):
			return Errorf(CodeBadFrame, "The name of a field is not valid UTF-8.")
		case !utf8.Valid(value):
			return InvalidField(clip(string(name)), "is not valid UTF-8.")
		case hasLoneSurrogate(value):
			return InvalidField(clip(string(name)), "has a \\u escape that is half of a surrogate pair and not a character.")
		}
	}
	return nil
}

// checkNames refuses an object in which a known name is repeated or in another case. It
// ignores other names. data has passed checkObject.
func checkNames(data []byte, known []string) *Error {
	seen := make([]bool, len(known))
	for name := range members(data) {
		for i, k := range known {
			if string(name) == k {
				if seen[i] {
					return InvalidField(k, "occurs twice.")
				}
				seen[i] = true
			} else if strings.EqualFold(string(name), k) {
				return InvalidField(k, "is spelled %q. Names are in lower case.", clip(string(name)))
			}
		}
	}
	return nil
}

// fieldNames returns the JSON names of the struct that v points to.
func fieldNames(v any) []string {
	t := reflect.TypeOf(v)
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for _, f := range reflect.VisibleFields(t.Elem()) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// members iterates over the members of data, one valid JSON object. It unescapes the names and
// yields the values as they are written.
func members(data []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		rest := trimSpace(data)[1:]
		for {
			rest = trimSpace(rest)
			switch rest[0] {
			case '}':
				return
			case ',':
				rest = trimSpace(rest[1:])
			}
			end := stringEnd(rest)
			name := unescape(rest[:end])
			rest = trimSpace(trimSpace(rest[end:])[1:])
			end = valueEnd(rest)
			if !yield(name, rest[:end]) {
				return
			}
			rest = rest[end:]
		}
	}
}

// valueEnd returns the length of the JSON value at the start of data.
func valueEnd(data []byte) int {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i += stringEnd(data[i:]) - 1
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // the end of the object around the value
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(data)
}

// stringEnd returns the length of the JSON string at the start of data, with its quotes.
func stringEnd(data []byte) int {
	for i := 1; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

// unescape returns a JSON string without its quotes and escapes.
func unescape(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // it cannot fail, because the caller checked the syntax
	return []byte(s)
}

// hasLoneSurrogate reports whether a valid JSON value has a \u escape for half of a surrogate
// pair without the other half after it.
func hasLoneSurrogate(value []byte) bool {
	for {
		i := bytes.IndexByte(value, '\\')
		if i < 0 {
			return false
		}
		r, ok := escapedRune(value[i:])
		if !ok {
			value = value[i+2:]
			continue
		}
		value = value[i+6:]
		if !utf16.IsSurrogate(r) {
			continue
		}
		other, _ := escapedRune(value)
		if utf16.DecodeRune(r, other) == utf8.RuneError {
			return true
		}
		value = value[6:]
	}
}

// escapedRune reads the \uXXXX at the start of data, if there is one.
func escapedRune(data []byte) (r rune, ok bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	return rune(n), err == nil
}

func trimSpace(data []byte) []byte { return bytes.TrimLeft(data, " \t\r\n") }
