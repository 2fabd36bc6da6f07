package main

import (
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, events string
		want         count
	}{
		{"nothing", ``, count{}},
		{"a package without tests", `{"Action":"start","Package":"a"}{"Action":"skip","Package":"a"}`, count{}},
		{"a pass, a skip, a subtest", `
			{"Action":"run","Package":"a","Test":"T"}
			{"Action":"output","Package":"a","Test":"T","Output":"\"Action\":\"fail\"\n"}
			{"Action":"pass","Package":"a","Test":"T/s"}
			{"Action":"pass","Package":"a","Test":"T"}
			{"Action":"skip","Package":"a","Test":"U"}
			{"Action":"pass","Package":"a"}`, count{passed: 2, skipped: 1}},
		{"a failed test and its package count once", `
			{"Action":"fail","Package":"a","Test":"T"}
			{"Action":"fail","Package":"a"}`, count{failed: 1}},
		{"a package fails alone", `
			{"Action":"pass","Package":"a","Test":"T"}
			{"Action":"fail","Package":"a"}`, count{passed: 1, failed: 1}},
	} {
		got, err := read(strings.NewReader(c.events))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
	if _, err := read(strings.NewReader("panic")); err == nil {
		t.Error("no error for input that is not JSON")
	}
}
