package schemas

import (
	"bytes"
	"encoding/json"
	"maps"
	"testing"
)

var objects = []string{
	`{}`,
	` { } `,
	`{"a":1}`,
	`{"a":1,"b":"two","c":[3,{"d":4}],"e":{"f":[]},"g":null,"h":true,"i":-1.5e+3}`,
	"\t{\r\n\"a\" : 1 ,\n\"b\" : [ ] } ",
	`{"":""}`,
	`{"\"}":"{\"","\\":"\\\\","\u0061":"\u005c\""}`,
	`{"a":"]},:","b":["]"],"c":{"}":"{"}}`,
	"{\"\xff\":\"\xfe\"}",
	`{"\ud83d":"\ud83d\udc4b"}`,
}

// FuzzMembers: members yields the same names as json.Unmarshal, and the same last value of each.
func FuzzMembers(f *testing.F) {
	for _, s := range objects {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want map[string]json.RawMessage
		if checkObject(data) != nil || json.Unmarshal(data, &want) != nil {
			return
		}
		got := map[string]json.RawMessage{}
		for name, value := range members(data) {
			got[string(name)] = value
		}
		if !maps.EqualFunc(got, want, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
			t.Errorf("%q\nmembers  %q\nUnmarshal %q", data, got, want)
		}
	})
}

func TestMembersStopsWhenAsked(t *testing.T) {
	n := 0
	for range members([]byte(`{"a":1,"b":2}`)) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d members", n)
	}
}

// TestHasLoneSurrogate: hasLoneSurrogate reports the strings that change when they are decoded and
// encoded again.
func TestHasLoneSurrogate(t *testing.T) {
	tests := map[string]bool{
		`""`:                   false,
		`"👋"`:                  false,
		`"\n\\\"\/"`:           false,
		`"\u0000\uffff\uFFFD"`: false,
		`"\ud7ff\ue000"`:       false,
		`"\ud800\udc00"`:       false,
		`"\udbff\udfff"`:       false,
		`"\uD83D\uDC4b"`:       false,
		`"\\ud83d"`:            false,
		`"\\\ud83d"`:           true,
		`"\ud83d"`:             true,
		`"\ud83d\\udc4b"`:      true,
		`"\ud83d\n"`:           true,
		`"\ud83d\u0041"`:       true,
		`"\ud83d\ud83d"`:       true,
		`"\udc4b"`:             true,
		`"\udc4b\ud83d"`:       true,
		`"\ud83d\udc4b\ud83d"`: true,
		`["\ud83d","\udc4b"]`:  true,
		`{"\ud83d":1}`:         true,
	}
	for value, want := range tests {
		if !json.Valid([]byte(value)) {
			t.Fatalf("%s is no JSON", value)
		}
		if got := hasLoneSurrogate([]byte(value)); got != want {
			t.Errorf("%s: %v, want %v", value, got, want)
		}
	}
}
