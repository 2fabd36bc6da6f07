package schemas_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"math/big"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"roost/schemas"
)

const suffix = ".schema.json"

// noLoader returns an error for a $ref outside the embedded tree.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) { return nil, errors.New("no schema file is " + url) }

var compiler = sync.OnceValue(func() *jsonschema.Compiler {
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	for _, name := range schemaNames() {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaFile(name)))
		if err != nil {
			panic(name + ": " + err.Error())
		}
		if err := c.AddResource(schemas.SchemaBase+name+suffix, doc); err != nil {
			panic(name + ": " + err.Error())
		}
	}
	return c
})

var compileMutex sync.Mutex

// schema compiles the schema of that name, for example "client/hello", or a part of one, for
// example "ids#/$defs/cursor".
func schema(t testing.TB, name string) *jsonschema.Schema {
	t.Helper()
	compileMutex.Lock()
	defer compileMutex.Unlock()
	file, fragment, _ := strings.Cut(name, "#")
	s, err := compiler().Compile(schemas.SchemaBase + file + suffix + "#" + fragment)
	if err != nil {
		t.Fatalf("schema %s: %v", name, err)
	}
	return s
}

// schemaNames returns the names of all schema files, without the suffix.
func schemaNames() []string {
	var names []string
	err := fs.WalkDir(schemas.JSON, "json", func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimSuffix(strings.TrimPrefix(p, "json/"), suffix))
		}
		return err
	})
	if err != nil {
		panic(err)
	}
	return names
}

func schemaFile(name string) []byte {
	data, err := schemas.JSON.ReadFile("json/" + name + suffix)
	if err != nil {
		panic(err)
	}
	return data
}

// validate checks data, JSON text, against s.
func validate(s *jsonschema.Schema, data []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

func TestSchemasAreWellFormed(t *testing.T) {
	for _, name := range schemaNames() {
		t.Run(name, func(t *testing.T) {
			schema(t, name) // it compiles against the meta-schema and resolves each $ref
			var doc map[string]any
			if err := json.Unmarshal(schemaFile(name), &doc); err != nil {
				t.Fatal(err)
			}
			for key, want := range map[string]string{
				"$schema": "https://json-schema.org/draft/2020-12/schema",
				"$id":     schemas.SchemaBase + name + suffix,
				"title":   path.Base(name),
			} {
				if doc[key] != want {
					t.Errorf("%s is %q, want %q", key, doc[key], want)
				}
			}
			if s, _ := doc["description"].(string); s == "" {
				t.Error("no description")
			}
			for def := range object(doc["$defs"]) {
				if s := schema(t, name+"#/$defs/"+def); s.Description == "" {
					t.Errorf("$defs/%s has no description", def)
				}
			}
			for property := range object(doc["properties"]) {
				s := schema(t, name+"#/properties/"+property)
				if s.Description == "" && (s.Ref == nil || s.Ref.Description == "") && s.Const == nil {
					t.Errorf("property %s has no description", property)
				}
			}
		})
	}
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func TestUnionsListEveryFrame(t *testing.T) {
	for _, side := range []string{"client", "server"} {
		listed := map[string]bool{}
		for _, s := range schema(t, side+"_frame").OneOf {
			listed[s.Ref.Title] = true
		}
		for _, name := range schemaNames() {
			if frame, ok := strings.CutPrefix(name, side+"/"); ok && !listed[frame] {
				t.Errorf("%s_frame does not list %s", side, frame)
			}
		}
	}
}

func TestLimitsAgree(t *testing.T) {
	number := func(p *int) int {
		if p == nil {
			return -1
		}
		return *p
	}
	tests := []struct {
		name   string
		schema int
		want   int
	}{
		{"content", number(schema(t, "ids#/$defs/content").MaxLength), schemas.MaxContentRunes},
		{"device name", number(schema(t, "ids#/$defs/name").MaxLength), schemas.MaxDeviceNameByte},
		{"presence users", number(schema(t, "client/presence_subscribe#/properties/user_ids").MaxItems), schemas.MaxPresenceUsers},
		{"receipt items", number(schema(t, "server/receipts#/properties/items").MaxItems), schemas.MaxReceiptItems},
		{"history page", number(schema(t, "record/history_reply#/properties/messages").MaxItems), schemas.HistoryPageSize},
		{"chats", number(schema(t, "record/chats_reply#/properties/chats").MaxItems), schemas.MaxChats},
		{"read marks", number(schema(t, "http/read_marks#/properties/items").MaxItems), schemas.MaxReadMarks},
		{"requests", number(schema(t, "record/requests#/properties/requests").MaxItems), schemas.MaxRequests},
		{"removed devices", number(schema(t, "record/devices#/properties/removed").MaxItems), schemas.MaxRemoved},
		{"password", number(schema(t, "http/credentials#/properties/password").MaxLength), schemas.MaxPasswordBytes},
	}
	for _, tt := range tests {
		if tt.schema != tt.want {
			t.Errorf("%s: the schema says %d, the constant is %d", tt.name, tt.schema, tt.want)
		}
	}
	for _, name := range []string{"ids#/$defs/message_id_by_client", "ids#/$defs/timestamp", "optional#/$defs/timestamp",
		"server/welcome#/properties/last_message_id_by_client"} {
		if most := schema(t, name).Maximum; most == nil || most.Cmp(big.NewRat(schemas.MaxNumber, 1)) != 0 {
			t.Errorf("%s: the schema says %v, the constant is %d", name, most, schemas.MaxNumber)
		}
	}
	for _, name := range []string{"record/settings", "http/user_settings", "http/settings_change"} {
		s := schema(t, name+"#/properties/history_storage")
		for days, want := range map[string]bool{"0": true, "90": true, "1": false} {
			if ok := validate(s, []byte(days)) == nil; ok != want {
				t.Errorf("%s: history_storage %s is allowed: %v, want %v", name, days, ok, want)
			}
		}
	}
}
