package docs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const schemaSuffix = ".schema.json"

// noLoader refuses a $ref to a schema that is not in the tree.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) { return nil, errors.New("no schema file is " + url) }

// schemaCompiler holds every schema of schemas/json under its $id.
var schemaCompiler = sync.OnceValues(func() (*jsonschema.Compiler, error) {
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	tree := os.DirFS(filepath.Join(root, "schemas", "json"))
	return c, fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			return err
		}
		return c.AddResource(document.(map[string]any)["$id"].(string), document)
	})
})

// fits validates JSON text against the schema of that name, such as "client/hello".
func fits(name, text string) error {
	c, err := schemaCompiler()
	if err != nil {
		return err
	}
	compiled, err := c.Compile("https://roost.example/schemas/" + name + schemaSuffix)
	if err != nil {
		return err
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	return compiled.Validate(document)
}

// block is a fenced block of a document.
type block struct {
	line  int
	info  []string // the words after the fence: the language first
	lines []string
}

func blocks(t *testing.T, document string) (all []block) {
	t.Helper()
	data, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var open *block
	for n, line := range strings.Split(string(data), "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && open == nil:
			open = &block{line: n + 1, info: strings.Fields(fence)}
		case isFence:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.lines = append(open.lines, line)
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: the block does not end", document, open.line)
	}
	return all
}

var (
	// frameLine is a line of a block of frames: who, the direction, the frame.
	frameLine = regexp.MustCompile(`^(?:[a-z]+ )?(→|←) (\{.*\})$`)
	curlBody  = regexp.MustCompile(`/([a-z]+) .*-d '(\{.*\})'$`)
)

// bodySchemas are the schemas of the bodies that the guide posts, by path.
var bodySchemas = map[string]string{"accounts": "http/credentials", "sessions": "http/login", "groups": "http/new_group"}

// TestExamples validates each JSON example of the documents against its schema, and
// finds one of each frame in the guide. A block of frames says by its arrows which side
// sends; a block of json names its schema after the language, and after that the schema
// of its member data.
func TestExamples(t *testing.T) {
	documents, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	missing := make(map[string]bool)
	for _, side := range []string{"client", "server"} {
		files, err := filepath.Glob(filepath.Join(root, "schemas", "json", side, "*"+schemaSuffix))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			missing[side+"/"+strings.TrimSuffix(filepath.Base(f), schemaSuffix)] = true
		}
	}
	examples := 0
	for _, document := range documents {
		check := func(line int, schema, text string) {
			examples++
			if err := fits(schema, text); err != nil {
				t.Errorf("%s:%d: not of %s: %v", document, line, schema, err)
			}
		}
		for _, b := range blocks(t, document) {
			if len(b.info) == 0 {
				continue
			}
			text := strings.Join(b.lines, "\n")
			switch b.info[0] {
			case "frames":
				for i, line := range b.lines {
					m := frameLine.FindStringSubmatch(line)
					if m == nil {
						t.Errorf("%s:%d: not an arrow and a frame: %s", document, b.line+1+i, line)
						continue
					}
					var frame struct {
						Type string `json:"type"`
					}
					if err := json.Unmarshal([]byte(m[2]), &frame); err != nil {
						t.Errorf("%s:%d: %v", document, b.line+1+i, err)
						continue
					}
					schema := map[string]string{"→": "client/", "←": "server/"}[m[1]] + frame.Type
					check(b.line+1+i, schema, m[2])
					delete(missing, schema)
				}
			case "json":
				if len(b.info) < 2 {
					t.Errorf("%s:%d: the block of json names no schema", document, b.line)
					continue
				}
				check(b.line, b.info[1], text)
				if len(b.info) > 2 {
					var answer struct {
						Data json.RawMessage `json:"data"`
					}
					if err := json.Unmarshal([]byte(text), &answer); err != nil {
						t.Errorf("%s:%d: %v", document, b.line, err)
						continue
					}
					check(b.line, b.info[2], string(answer.Data))
				}
			case "sh":
				for i, line := range b.lines {
					if m := curlBody.FindStringSubmatch(line); m != nil {
						schema, ok := bodySchemas[m[1]]
						if !ok {
							t.Errorf("%s:%d: bodySchemas lacks %q", document, b.line+1+i, m[1])
							continue
						}
						check(b.line+1+i, schema, m[2])
					} else if strings.Contains(line, " -d ") {
						t.Errorf("%s:%d: a body that the test cannot find: %s", document, b.line+1+i, line)
					}
				}
			}
		}
	}
	for schema := range missing {
		t.Errorf("guide.md has no example of %s", schema)
	}
	t.Logf("%d examples", examples)
}
