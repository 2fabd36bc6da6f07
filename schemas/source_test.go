package schemas_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"roost/schemas"
)

// source parses the package, so the tests find a new type or constant without a schema.
func source(t *testing.T) []*ast.File {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	fset := token.NewFileSet()
	for _, p := range paths {
		if strings.HasSuffix(p, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, p, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// sourceConstants returns the constants of a named type, by their values in JSON without quotes.
func sourceConstants(t *testing.T, typ string) map[string]string {
	t.Helper()
	constants := map[string]string{}
	for _, file := range source(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != typ {
				return true
			}
			for i, name := range spec.Names {
				if i >= len(spec.Values) {
					continue // it is a variable
				}
				literal, ok := spec.Values[i].(*ast.BasicLit)
				if !ok {
					t.Errorf("%s is not a literal, so this test cannot read it", name.Name)
					continue
				}
				value := literal.Value
				if s, err := strconv.Unquote(value); err == nil {
					value = s
				}
				constants[value] = name.Name
			}
			return true
		})
	}
	if len(constants) == 0 {
		t.Fatalf("no constants of type %s", typ)
	}
	return constants
}

// sourceStructs returns the exported structs with JSON names.
func sourceStructs(t *testing.T) map[string]bool {
	t.Helper()
	structs := map[string]bool{}
	for _, file := range source(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || !spec.Name.IsExported() {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok && slices.ContainsFunc(s.Fields.List, func(f *ast.Field) bool {
				return f.Tag != nil && strings.Contains(f.Tag.Value, "json:")
			}) {
				structs[spec.Name.Name] = true
			}
			return true
		})
	}
	return structs
}

func TestEveryConstantHasItsEntry(t *testing.T) {
	codes := func(name string) []string {
		var values []string
		for _, s := range schema(t, name).OneOf {
			values = append(values, literal(*s.Const))
			if s.Description == "" {
				t.Errorf("%s: %v has no description", name, *s.Const)
			}
		}
		return values
	}
	enum := func(name string) []string {
		var values []string
		for _, v := range schema(t, name).Enum.Values {
			if v != nil {
				values = append(values, literal(v))
			}
		}
		return values
	}
	var frames []string
	for _, name := range schemaNames() {
		if dir, frame, ok := strings.Cut(name, "/"); ok && (dir == "client" || dir == "server") && !slices.Contains(frames, frame) {
			frames = append(frames, frame)
		}
	}
	tests := []struct {
		typ   string
		where string
		have  []string
	}{
		{"FrameType", "json/client and json/server", frames},
		{"Code", "codes", codes("codes#/$defs/error_code")},
		{"CloseCode", "codes", codes("codes#/$defs/close_code")},
		{"Status", "http/answer", enum("http/answer#/properties/status")},
		{"LastSeen", "record/settings", enum("record/settings#/properties/last_seen")},
		{"LastSeen", "http/user_settings", enum("http/user_settings#/properties/last_seen")},
		{"LastSeen", "http/settings_change", enum("http/settings_change#/properties/last_seen")},
		{"Role", "ids", enum("ids#/$defs/role")},
		{"GroupChangeKind", "record/group_change", enum("record/group_change#/properties/change")},
	}
	for _, tt := range tests {
		want := sourceConstants(t, tt.typ)
		if w := slices.Sorted(maps.Keys(want)); !slices.Equal(w, slices.Sorted(slices.Values(tt.have))) {
			t.Errorf("%s: constants %q\n%s: %q", tt.typ, w, tt.where, tt.have)
		}
	}
}

func literal(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	n, _ := v.(interface{ String() string })
	return n.String()
}

// TestDecodersKnowTheFramesOfTheSchemas: exactly the frames that the decoders know have a schema.
func TestDecodersKnowTheFramesOfTheSchemas(t *testing.T) {
	names := schemaNames()
	for typ := range sourceConstants(t, "FrameType") {
		data := []byte(`{"type":"` + typ + `"}`)
		_, _, e := schemas.DecodeClientFrame(data)
		if known := e == nil || e.Code != schemas.CodeUnknownType; known != slices.Contains(names, "client/"+typ) {
			t.Errorf("DecodeClientFrame knows %s: %v, the schemas: %v", typ, known, !known)
		}
		_, err := schemas.DecodeServerFrame(data)
		if known := err == nil; known != slices.Contains(names, "server/"+typ) {
			t.Errorf("DecodeServerFrame knows %s: %v, the schemas: %v", typ, known, !known)
		}
	}
}
