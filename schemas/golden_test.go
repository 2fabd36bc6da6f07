package schemas_test

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/golden from the catalog")

func goldenPath(e example) string {
	return filepath.Join("testdata", "golden", filepath.FromSlash(e.golden)+".json")
}

func TestGolden(t *testing.T) {
	for _, e := range catalog {
		t.Run(e.golden, func(t *testing.T) {
			got := append(e.encode(), '\n')
			file := goldenPath(e)
			if *update {
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatalf("%v (go test ./schemas -update writes it)", err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("encoded:\n%swant, by %s:\n%s", got, file, want)
			}
			back, err := e.decode(want)
			if err != nil {
				t.Fatalf("decode: %v", err)
			}
			if !reflect.DeepEqual(back, e.value) {
				t.Errorf("decoded:\n%#v\nwant:\n%#v", back, e.value)
			}
			if err := validate(schema(t, e.schema()), want); err != nil {
				t.Errorf("schema: %v", err)
			}
		})
	}
}

func TestGoldenFilesAndSchemasAreAllInTheCatalog(t *testing.T) {
	files, covered := map[string]bool{}, map[string]bool{}
	for _, e := range catalog {
		files[goldenPath(e)] = true
		covered[e.schema()] = true
	}
	err := filepath.WalkDir(filepath.Join("testdata", "golden"), func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !files[p] {
			t.Errorf("%s belongs to no example", p)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for _, name := range schemaNames() {
		if strings.Contains(name, "/") && !covered[name] {
			t.Errorf("schema %s has no example", name)
		}
	}
}

// TestFramesValidateAsTheUnion: each frame is valid by exactly one schema of the union.
func TestFramesValidateAsTheUnion(t *testing.T) {
	for _, e := range catalog {
		if side, _, _ := strings.Cut(e.golden, "/"); side == "client" || side == "server" {
			if err := validate(schema(t, side+"_frame"), e.encode()); err != nil {
				t.Errorf("%s: %v", e.golden, err)
			}
		}
	}
}
