package mongotest

import "testing"

func TestWithDatabase(t *testing.T) {
	for uri, want := range map[string]string{
		"mongodb://localhost":                            "mongodb://localhost/new",
		"mongodb://localhost/":                           "mongodb://localhost/new",
		"mongodb://a:1,b:2/old?replicaSet=rs":            "mongodb://a:1,b:2/new?replicaSet=rs",
		"mongodb://u:p@a/old":                            "mongodb://u:p@a/new?authSource=old",
		"mongodb://u:p@a/old?w=1":                        "mongodb://u:p@a/new?w=1&authSource=old",
		"mongodb://u:p@a/old?authSource=admin":           "mongodb://u:p@a/new?authSource=admin",
		"mongodb+srv://u:p@cluster.example.org/?w=1&j=1": "mongodb+srv://u:p@cluster.example.org/new?w=1&j=1",
	} {
		if got := withDatabase(uri, "new"); got != want {
			t.Errorf("%s: got %s, want %s", uri, got, want)
		}
	}
}
