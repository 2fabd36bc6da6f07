package schemas

import (
	"unicode"
	"unicode/utf8"
)

// ValidateName accepts names of devices and groups. A name has 1 to most bytes, one line, at
// least one visible character, and no character that changes the direction of text.
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
			return InvalidField(field, "has U+%04X. A name has no control characters, line breaks or marks of direction.", r)
		}
		visible = visible || isVisible(r)
	}
	if !visible {
		return InvalidField(field, "has no visible character.")
	}
	return nil
}

// isVisible reports whether a character is visible by itself: a letter, number, punctuation
// mark or symbol that is not blank.
func isVisible(r rune) bool {
	switch r {
	case '\u2800', '\U0001D159': // a braille pattern without dots, and a note without a head
		return false
	}
	return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}
