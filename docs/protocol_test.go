package docs_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sections are the text of a document under each heading, up to the next one.
func sections(t *testing.T, document string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	heading := ""
	for line := range strings.Lines(string(data)) {
		switch {
		case strings.HasPrefix(line, "##"):
			heading = strings.TrimSpace(line)
			all[heading] = ""
		case heading != "":
			all[heading] += line
		}
	}
	return all
}

// rows are the cells of the tables in a text, without their heads.
func rows(text string) (all [][]string) {
	head := true
	for line := range strings.Lines(text) {
		switch {
		case !strings.HasPrefix(line, "|"):
			head = true
		case strings.HasPrefix(line, "|---"):
			head = false
		case !head:
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			all = append(all, cells)
		}
	}
	return all
}

// document is the part of a JSON Schema that the tests read.
type document struct {
	Properties map[string]any `json:"properties"`
	AllOf      []struct {
		Ref string `json:"$ref"`
	} `json:"allOf"`
	Defs map[string]struct {
		OneOf []struct {
			Const any `json:"const"`
		} `json:"oneOf"`
	} `json:"$defs"`
}

func schemaFile(t *testing.T, name string) (d document) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "schemas", "json", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

// fields are the properties of a schema and of those it refers to as a whole.
func fields(t *testing.T, name string) []string {
	t.Helper()
	d := schemaFile(t, name)
	all := slices.Collect(maps.Keys(d.Properties))
	for _, other := range d.AllOf {
		if file, _, part := strings.Cut(other.Ref, "#"); !part {
			all = append(all, fields(t, filepath.Join(filepath.Dir(name), file))...)
		}
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(s string) bool { return s == "type" || s == "action" })
}

// never are fields that a frame's schema has because a message and an update are one
// record, and that the frame never has.
var never = map[string][]string{
	"server/incoming_message.schema.json": {"change", "target_message_id"},
	"server/message_update.schema.json":   {"reply_to"},
}

// Each frame has its row, and the row has the fields of the schema.
func TestFramesOfTheProtocol(t *testing.T) {
	name := regexp.MustCompile(`[a-z_]+`)
	for folder, heading := range map[string]string{"client": "### Frames of the client", "server": "### Frames of the server"} {
		files, err := filepath.Glob(filepath.Join(root, "schemas", "json", folder, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		frames := make(map[string]bool)
		for _, f := range files {
			frames[strings.TrimSuffix(filepath.Base(f), ".schema.json")] = false
		}
		for _, row := range rows(sections(t, "protocol.md")[heading]) {
			frame := strings.Trim(row[0], "`")
			if done, ok := frames[frame]; !ok || done {
				t.Errorf("%s: %q has no schema, or occurs twice", heading, frame)
				continue
			}
			frames[frame] = true
			var said []string
			for i, part := range strings.Split(row[1], "`") {
				if i%2 == 0 {
					continue // between the names
				}
				part, _, _ = strings.Cut(part, "[") // of a list its name alone
				said = append(said, name.FindAllString(part, -1)...)
			}
			slices.Sort(said)
			schema := folder + "/" + frame + ".schema.json"
			want := slices.DeleteFunc(fields(t, schema), func(f string) bool { return slices.Contains(never[schema], f) })
			if !slices.Equal(slices.Compact(said), want) {
				t.Errorf("%s: %s has the fields %v, and the schema %v", heading, frame, said, want)
			}
		}
		for frame, said := range frames {
			if !said {
				t.Errorf("%s: %s is missing", heading, frame)
			}
		}
	}
}

// The codes of the tables are those of the schema.
func TestCodesOfTheProtocol(t *testing.T) {
	defs := schemaFile(t, "codes.schema.json").Defs
	for heading, def := range map[string]string{"## Error codes": "error_code", "## Close codes": "close_code"} {
		var said, want []string
		for _, row := range rows(sections(t, "protocol.md")[heading]) {
			for code := range strings.SplitSeq(row[0], ",") {
				said = append(said, strings.Trim(code, " `"))
			}
		}
		for _, c := range defs[def].OneOf {
			data, err := json.Marshal(c.Const)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, strings.Trim(string(data), `"`))
		}
		slices.Sort(said)
		slices.Sort(want)
		if len(want) == 0 || !slices.Equal(said, want) {
			t.Errorf("%s are %v, and those of the schema %v", heading, said, want)
		}
	}
}
