package schemas_test

import (
	"strings"
	"testing"

	"roost/schemas"
)

func TestValidateName(t *testing.T) {
	accepted := []string{
		"phone", "x", strings.Repeat("x", 128), strings.Repeat("é", 64), "Alice's phone", "7", "?", "+", "  padded  ",
		"王小明", "한국", "می\u200cخواهم" /* joined by U+200C */, "👨\u200d👩\u200d👧" /* by U+200D */, "❤️", "e\u0301", "🏴\U000E0067\U000E0062\U000E007F",
		"\u200bx", "x\u3164", "مجموعة", "\U0001F1E9\U0001F1EA",
	}
	refused := []string{
		"", strings.Repeat("x", 129), strings.Repeat("é", 65), " ", "\u00a0", "\u3000", "\u200b", "\u200b\u200b", "\u3164", "\u115f", "\u1160", "\uffa0",
		"\u2800", "\U0001D159", "\u00ad", "\u034f", "\u180e", "\u2060", "\ufeff", "\u200d", "\ufe0f", "\u0301", "\U000E0001", "\U000E0100", "\ue000",
		"a\nb", "a\rb", "a\tb", "a\x00b", "a\x7fb", "a\u0085b", "a\u2028b", "a\u2029b",
		"a\u202ab", "a\u202eb", "a\u2066b", "a\u2069b", "a\u200eb", "a\u200fb", "a\u061cb",
	}
	name := schema(t, "ids#/$defs/name")
	for _, s := range accepted {
		check(t, schemas.ValidateName("group_name", s, schemas.MaxGroupNameBytes), "")
		if err := validate(name, schemas.Encode(s)); err != nil {
			t.Errorf("the schema refuses %q: %v", s, err)
		}
	}
	for _, s := range refused {
		e := schemas.ValidateName("group_name", s, schemas.MaxGroupNameBytes)
		check(t, e, "group_name")
		if e == nil {
			t.Errorf("%q is a name", s)
		}
		if len(s) < 129 && validate(name, schemas.Encode(s)) == nil {
			t.Errorf("the schema accepts %q", s)
		}
	}
	if e := schemas.ValidateName("device_name", "a\xff", 128); e == nil || e.Field != "device_name" {
		t.Errorf("no UTF-8: %v", e)
	}
}
