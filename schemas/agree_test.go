package schemas_test

import (
	"encoding/json"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"roost/schemas"
)

// named has the properties that no struct has, each with the reason.
var named = map[string]string{
	"client/*/type":                    "the decoder reads it before it knows the struct",
	"client/*/action":                  "what a client may call type",
	"server/*/type":                    "EncodeFrame writes it",
	"record/inbox_entry/type":          "StoredMessage writes it, so that a frame is a copy and a suffix",
	"record/inbox_update/type":         "StoredUpdate writes it, likewise",
	"record/inbox_message_update/type": "StoredMessage writes it",
	"record/inbox_chat_update/type":    "StoredUpdate writes it",
	"record/inbox_user_deleted/type":   "StoredUpdate writes it",
}

// optionalThough has the fields whose omitempty and required differ, each with the reason.
// There is none now. The test refuses unnecessary entries.
var optionalThough = map[string]string{}

// views has the structs that read a part of another struct's output.
var views = map[string]any{
	"record/inbox_entry": schemas.EntryHead{}, // the part that a gateway reads
}

func TestSchemasAgreeWithTypes(t *testing.T) {
	a := agreement{T: t, unused: maps.Clone(optionalThough), seen: map[string]bool{}}
	for _, e := range catalog {
		typ := reflect.TypeOf(e.value)
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		a.object(e.schema(), schema(t, e.schema()), typ)
	}
	for name := range a.unused {
		t.Errorf("optionalThough[%q] is not needed", name)
	}
	for name, v := range views {
		properties, _ := propertiesOf(schema(t, name))
		typ := reflect.TypeOf(v)
		a.seen[typ.Name()] = true
		for _, f := range jsonFields(typ) {
			if p := properties[f.name]; p == nil {
				t.Errorf("%s: %v reads %s, which is not in the schema", name, typ, f.name)
			} else {
				a.value(name+"/"+f.name, p, f.Type)
			}
		}
	}
	for name := range sourceStructs(t) {
		if !a.seen[name] {
			t.Errorf("struct %s has JSON names but no schema; give it one, and an example in the catalog", name)
		}
	}
}

// agreement compares schemas with Go types and records which ones it has compared.
type agreement struct {
	*testing.T
	unused map[string]string
	seen   map[string]bool // names of structs
}

// object compares an object's schema with a struct.
func (a *agreement) object(where string, s *jsonschema.Schema, typ reflect.Type) {
	a.seen[typ.Name()] = true
	properties, required := propertiesOf(s)
	inStruct := map[string]bool{}
	for _, f := range jsonFields(typ) {
		inStruct[f.name] = true
		at := where + "/" + f.name
		p := properties[f.name]
		if p == nil {
			a.Errorf("%s: %v has the field, the schema has not", at, typ)
			continue
		}
		if f.optional == required[f.name] {
			if _, ok := optionalThough[at]; !ok {
				a.Errorf("%s: omitempty is %v and required is %v", at, f.optional, required[f.name])
			}
			delete(a.unused, at)
		}
		a.value(at, p, f.Type)
	}
	for name := range properties {
		dir, _, _ := strings.Cut(where, "/")
		_, exact := named[where+"/"+name]
		_, every := named[dir+"/*/"+name]
		if !inStruct[name] && !exact && !every {
			a.Errorf("%s/%s: the schema has the property, %v has not", where, name, typ)
		}
	}
	for name := range required {
		if properties[name] == nil {
			a.Errorf("%s/%s: required, but no property", where, name)
		}
	}
}

// value compares the JSON types of a schema with those that a Go type reads and writes.
func (a *agreement) value(at string, s *jsonschema.Schema, typ reflect.Type) {
	if typ == reflect.TypeFor[json.RawMessage]() {
		return
	}
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	kinds := map[reflect.Kind]string{
		reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer",
		reflect.Slice: "array", reflect.Map: "object", reflect.Struct: "object",
	}
	want, ok := kinds[typ.Kind()]
	if !ok {
		a.Errorf("%s: no JSON type is known for %v", at, typ)
		return
	}
	got := jsonTypes(s)
	delete(got, "null") // Go reads it as absent
	if len(got) != 1 || !got[want] {
		a.Errorf("%s: the schema allows %v, %v is %s", at, slices.Sorted(maps.Keys(got)), typ, want)
		return
	}
	s = target(s)
	switch typ.Kind() {
	case reflect.Slice:
		a.value(at+"[]", s.Items2020, typ.Elem())
	case reflect.Map:
		a.value(at+"{}", s.AdditionalProperties.(*jsonschema.Schema), typ.Elem())
	case reflect.Struct:
		a.object(at, s, typ)
	}
}

// target follows a plain $ref.
func target(s *jsonschema.Schema) *jsonschema.Schema {
	for s.Ref != nil {
		s = s.Ref
	}
	return s
}

// propertiesOf returns the properties of a schema and of the schemas that it includes, and which
// of them are required.
func propertiesOf(s *jsonschema.Schema) (properties map[string]*jsonschema.Schema, required map[string]bool) {
	properties, required = maps.Clone(s.Properties), map[string]bool{}
	if properties == nil {
		properties = map[string]*jsonschema.Schema{}
	}
	for _, name := range s.Required {
		required[name] = true
	}
	included := s.AllOf
	if s.Ref != nil {
		included = append(slices.Clone(included), s.Ref)
	}
	for _, part := range included {
		p, r := propertiesOf(part)
		maps.Copy(properties, p)
		maps.Copy(required, r)
	}
	return properties, required
}

var allTypes = []string{"null", "boolean", "integer", "number", "string", "array", "object"}

// jsonTypes returns the JSON types that a schema allows, by its own keywords and by those of the
// schemas that it refers to.
func jsonTypes(s *jsonschema.Schema) map[string]bool {
	got := set(allTypes...)
	keep := func(allowed map[string]bool) {
		maps.DeleteFunc(got, func(typ string, _ bool) bool { return !allowed[typ] })
	}
	if s.Types != nil {
		keep(set(s.Types.ToStrings()...))
	}
	if s.Const != nil {
		keep(set(typeOf(*s.Const)))
	}
	if s.Enum != nil {
		allowed := map[string]bool{}
		for _, v := range s.Enum.Values {
			allowed[typeOf(v)] = true
		}
		keep(allowed)
	}
	if s.Ref != nil {
		keep(jsonTypes(s.Ref))
	}
	for _, part := range s.AllOf {
		keep(jsonTypes(part))
	}
	for _, alternatives := range [][]*jsonschema.Schema{s.AnyOf, s.OneOf} {
		if len(alternatives) == 0 {
			continue
		}
		allowed := map[string]bool{}
		for _, one := range alternatives {
			maps.Copy(allowed, jsonTypes(one))
		}
		keep(allowed)
	}
	return got
}

func set(names ...string) map[string]bool {
	s := map[string]bool{}
	for _, name := range names {
		s[name] = true
	}
	return s
}

func typeOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number:
		if r, ok := new(big.Rat).SetString(v.String()); ok && r.IsInt() {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

type jsonField struct {
	reflect.StructField
	name     string
	optional bool
}

// jsonFields returns the fields of a struct, and of its embedded structs, by their JSON names.
func jsonFields(typ reflect.Type) []jsonField {
	var fields []jsonField
	for _, f := range reflect.VisibleFields(typ) {
		if tag, ok := f.Tag.Lookup("json"); ok {
			name, options, _ := strings.Cut(tag, ",")
			fields = append(fields, jsonField{f, name, strings.Contains(options, "omitempty")})
		}
	}
	return fields
}
