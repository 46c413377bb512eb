package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// dialect is the JSON Schema that is written.
const dialect = "https://json-schema.org/draft/2020-12/schema"

// schema is the part of JSON Schema that a struct needs.
type schema struct {
	Dialect     string          `json:"$schema,omitempty"`
	Description string          `json:"description,omitempty"`
	Type        any             `json:"type,omitempty"` // a name or a list of names
	Enum        []any           `json:"enum,omitempty"`
	Minimum     json.Number     `json:"minimum,omitempty"`
	Maximum     json.Number     `json:"maximum,omitempty"`
	Default     json.RawMessage `json:"default,omitempty"`
	Items       *schema         `json:"items,omitempty"`
	MinItems    int             `json:"minItems,omitempty"`
	MaxItems    int             `json:"maxItems,omitempty"`
	Properties  properties      `json:"properties,omitempty"`
	Required    []string        `json:"required,omitempty"`
	// Additional is false, or the schema of a map's values.
	Additional any `json:"additionalProperties,omitempty"`
}

// properties keep the order of the fields.
type properties []property

type property struct {
	name   string
	schema *schema
}

// MarshalJSON writes an object.
func (ps properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, p := range ps {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(p.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(p.schema)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Schema describes what [Decode] takes for the struct that defaults points to,
// whose values become the defaults. nil describes an object without keys.
func Schema(defaults any) (json.RawMessage, error) {
	if defaults == nil {
		defaults = &struct{}{}
	}
	v := reflect.ValueOf(defaults)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("config is a %T, not a pointer to a struct", defaults)
	}
	d := describer{}
	s, err := d.describe("", v.Elem().Type(), v.Elem(), nil)
	if err != nil {
		return nil, err
	}
	s.Dialect = dialect
	return json.Marshal(s)
}

// describer remembers the structs it is inside of, so that a type that contains
// itself comes to an end.
type describer []reflect.Type

// describe describes a type; v holds its default and is invalid where there can
// be none. Every schema but a required field's also takes null, which Decode
// takes for "not set".
func (d *describer) describe(path string, t reflect.Type, v reflect.Value, enum []string) (*schema, error) {
	if t.Kind() == reflect.Pointer {
		elem := reflect.Value{}
		if v.IsValid() && !v.IsNil() {
			elem = v.Elem()
		}
		return d.describe(path, t.Elem(), elem, enum)
	}
	switch {
	case t == durationType:
		s := &schema{Type: "string"}
		if v.IsValid() {
			s.Default = mustEncode(time.Duration(v.Int()).String())
		}
		return s, nil
	case implements(t, jsonUnmarshalerType):
		return &schema{Default: encoded(v)}, nil
	case implements(t, textUnmarshalerType):
		return &schema{Type: "string", Enum: words(enum), Default: encoded(v)}, nil
	}
	switch t.Kind() {
	case reflect.Struct:
		return d.object(path, t, v)
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return nil, fmt.Errorf("config%s: a map needs strings as keys", path)
		}
		elem, err := d.describe(path+"/*", t.Elem(), reflect.Value{}, enum)
		if err != nil {
			return nil, err
		}
		elem.orNull()
		return &schema{Type: "object", Additional: elem, Default: encoded(v)}, nil
	case reflect.Slice, reflect.Array:
		return d.list(path, t, v, enum)
	case reflect.Interface:
		return &schema{Default: encoded(v)}, nil
	default:
		return scalar(path, t, v, enum)
	}
}

// object describes a struct.
func (d *describer) object(path string, t reflect.Type, v reflect.Value) (*schema, error) {
	if slices.Contains(*d, t) {
		return &schema{Type: "object"}, nil
	}
	*d = append(*d, t)
	defer func() { *d = (*d)[:len(*d)-1] }()

	s := &schema{Type: "object", Additional: false}
	for _, f := range fieldsOf(t) {
		value := reflect.Value{}
		if v.IsValid() {
			value = v.FieldByIndex(f.index)
		}
		sub, err := d.describe(path+"/"+f.name, f.typ, value, f.enum)
		if err != nil {
			return nil, err
		}
		sub.Description = f.doc
		if f.required {
			s.Required = append(s.Required, f.name)
		} else {
			sub.orNull()
		}
		s.Properties = append(s.Properties, property{f.name, sub})
	}
	return s, nil
}

// list describes a slice or an array. Bytes are a string of base64.
func (d *describer) list(path string, t reflect.Type, v reflect.Value, enum []string) (*schema, error) {
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
		return &schema{Type: "string", Default: encoded(v)}, nil
	}
	elem, err := d.describe(path+"/*", t.Elem(), reflect.Value{}, enum)
	if err != nil {
		return nil, err
	}
	s := &schema{Type: "array", Items: elem, Default: encoded(v)}
	if t.Kind() == reflect.Array {
		s.MinItems, s.MaxItems = t.Len(), t.Len()
	}
	return s, nil
}

// orNull lets a key be null, which is how YAML writes a key without a value.
func (s *schema) orNull() {
	if name, ok := s.Type.(string); ok {
		s.Type = []string{name, "null"}
	}
	if s.Enum != nil {
		s.Enum = append(s.Enum, nil)
	}
}

// scalar describes strings, booleans and numbers with the range of their type.
func scalar(path string, t reflect.Type, v reflect.Value, enum []string) (*schema, error) {
	s := &schema{Default: encoded(v)}
	bits := 0
	if k := t.Kind(); k >= reflect.Int && k <= reflect.Float64 {
		bits = t.Bits()
	}
	switch k := t.Kind(); {
	case k == reflect.String:
		s.Type, s.Enum = "string", words(enum)
	case k == reflect.Bool:
		s.Type = "boolean"
	case k >= reflect.Int && k <= reflect.Int64:
		s.Type = "integer"
		s.Minimum = json.Number(fmt.Sprint(int64(-1) << (bits - 1)))
		s.Maximum = json.Number(fmt.Sprint(int64(1)<<(bits-1) - 1))
	case k >= reflect.Uint && k <= reflect.Uintptr:
		s.Type = "integer"
		s.Minimum = "0"
		s.Maximum = json.Number(fmt.Sprint(^uint64(0) >> (64 - bits)))
	case k == reflect.Float32 || k == reflect.Float64:
		s.Type = "number"
	default:
		return nil, fmt.Errorf("config%s: a %s cannot be configured", path, t)
	}
	return s, nil
}

// encoded is a default, or nil for none: what is empty says nothing.
func encoded(v reflect.Value) json.RawMessage {
	if !v.IsValid() {
		return nil
	}
	switch v.Kind() {
	case reflect.String, reflect.Struct, reflect.Interface:
		if v.IsZero() {
			return nil
		}
	case reflect.Slice, reflect.Map:
		if v.Len() == 0 {
			return nil
		}
	}
	return mustEncode(v.Interface())
}

// mustEncode is nil for what JSON has no form for.
func mustEncode(x any) json.RawMessage {
	b, err := json.Marshal(x)
	if err != nil {
		return nil
	}
	return b
}

func words(enum []string) []any {
	var all []any
	for _, e := range enum {
		all = append(all, e)
	}
	return all
}
