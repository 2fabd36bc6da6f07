package schemas

import (
	"unicode"
	"unicode/utf8"
)

// ValidateName accepts what a user may call a device or a group: 1 to most bytes, in one
// line, with a character that can be seen, and with none that changes the direction of
// the text around it.
func ValidateName(field, name string, most int) *Error {
	if name == "" || len(name) > most {
		return InvalidField(field, "has 1 to %d bytes, this one has %d.", most, len(name))
	}
	if !utf8.ValidString(name) {
		return InvalidField(field, "is not valid UTF-8.")
	}
	visible := false
	for _, r := range name {
		if unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
			return InvalidField(field, "has U+%04X: a name has no control characters, line breaks or marks of direction.", r)
		}
		visible = visible || isVisible(r)
	}
	if !visible {
		return InvalidField(field, "has no character that can be seen.")
	}
	return nil
}

// isVisible says whether a character shows where it stands alone: a letter, number,
// mark of punctuation or symbol, but for those that are blank all the same.
func isVisible(r rune) bool {
	switch r {
	case '\u2800', '\U0001D159': // a pattern of braille without dots, a note without a head
		return false
	}
	return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}
