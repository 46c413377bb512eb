package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi/internal/strictjson"
)

type level int

func (l *level) UnmarshalText(b []byte) error {
	switch string(b) {
	case "low":
		*l = 1
	case "high":
		*l = 2
	default:
		return errors.New("must be low or high")
	}
	return nil
}

func (l level) MarshalText() ([]byte, error) { return []byte([]string{"", "low", "high"}[l]), nil }

type common struct {
	Name string `json:"name" doc:"who it is"`
}

type user struct {
	common
	Password string   `json:"password" required:"true"`
	Roles    []string `json:"roles" enum:"reader,writer"`
}

type config struct {
	common
	File     string            `json:"file" doc:"the users file"`
	Port     uint16            `json:"port"`
	Offset   int8              `json:"offset"`
	Ratio    float64           `json:"ratio"`
	On       bool              `json:"on"`
	Mode     string            `json:"mode" enum:"fast,safe"`
	Timeout  time.Duration     `json:"timeout"`
	Level    level             `json:"level"`
	Users    []user            `json:"users"`
	Labels   map[string]string `json:"labels"`
	Limit    *int32            `json:"limit"`
	Nested   *common           `json:"nested"`
	Free     any               `json:"free"`
	Key      []byte            `json:"key"`
	Pair     [2]int            `json:"pair"`
	Hidden   string            `json:"-"`
	Fallback string
}

func defaults() config {
	limit := int32(7)
	return config{
		common: common{"anna"}, File: "users.yaml", Port: 1883, Ratio: 0.5, On: true, Mode: "safe",
		Timeout: 10 * time.Second, Level: 1, Users: []user{{Password: "x"}},
		Labels: map[string]string{"a": "1"}, Limit: &limit, Nested: &common{"in"},
	}
}

func TestDecode(t *testing.T) {
	cases := []struct {
		name, in string
		want     func(*config)
	}{
		{"nothing", ``, func(*config) {}},
		{"empty", `{}`, func(*config) {}},
		{"embedded", `{"name":"bob"}`, func(c *config) { c.Name = "bob" }},
		{"scalars", `{"file":"f","port":1,"offset":-128,"ratio":2e3,"on":false,"mode":"fast"}`, func(c *config) {
			c.File, c.Port, c.Offset, c.Ratio, c.On, c.Mode = "f", 1, -128, 2000, false, "fast"
		}},
		{"leaves", `{"timeout":"1m30s","level":"high"}`, func(c *config) { c.Timeout, c.Level = 90*time.Second, 2 }},
		{"list replaces", `{"users":[{"name":"n","password":"p","roles":["reader"]}]}`, func(c *config) {
			c.Users = []user{{common{"n"}, "p", []string{"reader"}}}
		}},
		{"list does not see defaults", `{"users":[{"password":"p"}]}`, func(c *config) { c.Users = []user{{Password: "p"}} }},
		{"map adds", `{"labels":{"b":"2"}}`, func(c *config) { c.Labels = map[string]string{"a": "1", "b": "2"} }},
		{"pointers", `{"limit":8,"nested":{"name":"x"}}`, func(c *config) { l := int32(8); c.Limit, c.Nested = &l, &common{"x"} }},
		{"pointer keeps the rest", `{"nested":{}}`, func(*config) {}},
		{"null is not set", `{"file":null,"port":null,"limit":null,"users":null}`, func(c *config) { c.Limit, c.Users = nil, nil }},
		{"free", `{"free":{"a":[1,"b"]}}`, func(c *config) { c.Free = map[string]any{"a": []any{1.0, "b"}} }},
		{"bytes", `{"key":"AAE="}`, func(c *config) { c.Key = []byte{0, 1} }},
		{"array", `{"pair":[1,2]}`, func(c *config) { c.Pair = [2]int{1, 2} }},
		{"untagged", `{"Fallback":"f"}`, func(c *config) { c.Fallback = "f" }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, want := defaults(), defaults()
			if problems := strictjson.Decode([]byte(c.in), &got); problems != nil {
				t.Fatal(problems)
			}
			c.want(&want)
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(config{}, user{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeDoesNotTouchDefaults(t *testing.T) {
	base := defaults()
	c := base
	if p := strictjson.Decode([]byte(`{"labels":{"a":"9"},"users":[{"password":"q"}],"limit":9,"nested":{"name":"z"}}`), &c); p != nil {
		t.Fatal(p)
	}
	if diff := cmp.Diff(defaults(), base, cmp.AllowUnexported(config{}, user{})); diff != "" {
		t.Error(diff)
	}
}

func TestProblems(t *testing.T) {
	cases := []struct{ name, in, path, message string }{
		{"unknown", `{"prt":1}`, "/prt", `unknown key "prt": did you mean "port"? known keys: Fallback, file, free, key, labels, level, limit, mode, name, nested, offset, on, pair, port, ratio, timeout, users`},
		{"case", `{"Port":1}`, "/Port", `did you mean "port"?`},
		{"far", `{"something":1}`, "/something", `unknown key "something": known keys:`},
		{"hidden", `{"Hidden":"x"}`, "/Hidden", "unknown key"},
		{"nested", `{"users":[{"password":"p"},{"pasword":"p"}]}`, "/users/1/password", "is missing"},
		{"required null", `{"users":[{"password":null}]}`, "/users/0/password", "is missing"},
		{"enum", `{"mode":"slow"}`, "/mode", `must be one of fast, safe, not "slow"`},
		{"enum in list", `{"users":[{"password":"","roles":["reader","king"]}]}`, "/users/0/roles/1", "must be one of reader, writer"},
		{"string", `{"file":1}`, "/file", "must be a string, not a number"},
		{"bool", `{"on":"yes"}`, "/on", "must be true or false, not a string"},
		{"range", `{"port":65536}`, "/port", "must be a whole number from 0 to 65535, not 65536"},
		{"fraction", `{"offset":1.5}`, "/offset", "must be a whole number from -128 to 127, not 1.5"},
		{"float", `{"ratio":1e999}`, "/ratio", "too large"},
		{"duration", `{"timeout":10}`, "/timeout", `must be a duration such as "10s"`},
		{"text", `{"level":"middle"}`, "/level", "must be low or high"},
		{"text kind", `{"level":1}`, "/level", "must be a string"},
		{"list", `{"users":{}}`, "/users", "must be a list, not an object"},
		{"null element", `{"users":[null]}`, "/users/0", "must not be null"},
		{"object", `{"nested":[]}`, "/nested", "must be an object, not a list"},
		{"map", `{"labels":true}`, "/labels", "must be an object, not a boolean"},
		{"map value", `{"labels":{"a/b~c":1}}`, "/labels/a~1b~0c", "must be a string"},
		{"array", `{"pair":[1]}`, "/pair", "must have 2 elements, not 1"},
		{"base64", `{"key":"#"}`, "/key", "is not base64"},
		{"top", `[]`, "", "must be an object, not a list"},
		{"syntax", `{"a":`, "", "not a JSON document: unexpected EOF"},
		{"trailing", `{} {}`, "", "not a JSON document: there is something behind it"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := defaults()
			problems := strictjson.Decode([]byte(c.in), &got)
			found := false
			for _, p := range problems {
				found = found || p.Path == c.path && strings.Contains(p.Message, c.message)
			}
			if !found {
				t.Errorf("problems %q, want %q at %q", problems, c.message, c.path)
			}
			if diff := cmp.Diff(defaults(), got, cmp.AllowUnexported(config{}, user{})); diff != "" {
				t.Errorf("a bad configuration changed something:\n%s", diff)
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	c := defaults()
	if got := strictjson.Decode([]byte(`{"port":-1,"on":0,"x":0,"users":[{}]}`), &c); len(got) != 4 {
		t.Errorf("%d problems, want 4: %q", len(got), got)
	}
}

func TestDecodeNeedsAPointer(t *testing.T) {
	for _, into := range []any{nil, config{}, (*config)(nil)} {
		if got := strictjson.Decode([]byte(`{}`), into); len(got) != 1 {
			t.Errorf("Decode into %T: %q, want one problem", into, got)
		}
	}
}

func compile(t interface {
	Helper()
	Fatal(...any)
}, defaults any,
) *jsonschema.Schema {
	t.Helper()
	raw, err := strictjson.Schema(defaults)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchemaText(t *testing.T) {
	type inner struct {
		Topic string `json:"topic" required:"true"`
	}
	got, err := strictjson.Schema(&struct {
		Zeta  string        `json:"zeta" doc:"the last letter" enum:"a,b"`
		Alpha uint8         `json:"alpha"`
		Wait  time.Duration `json:"wait"`
		Rules []inner       `json:"rules"`
	}{Zeta: "a", Alpha: 3, Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{` +
		`"zeta":{"description":"the last letter","type":["string","null"],"enum":["a","b",null],"default":"a"},` +
		`"alpha":{"type":["integer","null"],"minimum":0,"maximum":255,"default":3},` +
		`"wait":{"type":["string","null"],"default":"1m0s"},` +
		`"rules":{"type":["array","null"],"items":{"type":"object","properties":{"topic":{"type":"string"}},"required":["topic"],"additionalProperties":false}}` +
		`},"additionalProperties":false}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestSchemaRefusesWhatCannotBeConfigured(t *testing.T) {
	for _, bad := range []any{
		config{},
		3, (*config)(nil),
		&struct{ F func() }{}, &struct{ M map[int]string }{}, &struct{ L []chan int }{},
		&struct{ M map[string]func() }{}, &struct{ S struct{ C complex64 } }{},
	} {
		if s, err := strictjson.Schema(bad); err == nil {
			t.Errorf("Schema(%T) = %s, want an error", bad, s)
		}
	}
}

func TestSchemaOfARecursiveType(t *testing.T) {
	type node struct {
		Children []node `json:"children"`
	}
	compile(t, &node{})
}

// TestSchemaAgreesWithDecode generates documents that are nearly right and
// wants the schema and the decoder to say the same of them.
func TestSchemaAgreesWithDecode(t *testing.T) {
	d := defaults()
	schema := compile(t, &d)
	leaf := func(good ...any) *rapid.Generator[any] {
		return rapid.OneOf(rapid.SampledFrom(good), rapid.SampledFrom(good), rapid.SampledFrom([]any{
			"other", 1, -1, 300, true, nil, []any{}, map[string]any{}, 1.5,
		}))
	}
	object := func(keys map[string]*rapid.Generator[any]) *rapid.Generator[any] {
		return rapid.Custom(func(t *rapid.T) any {
			m := map[string]any{}
			for k, g := range keys {
				if rapid.Bool().Draw(t, k+"?") {
					m[k] = g.Draw(t, k)
				}
			}
			if rapid.IntRange(0, 15).Draw(t, "unknown") == 0 {
				m["surplus"] = 1
			}
			return m
		})
	}
	list := func(g *rapid.Generator[any]) *rapid.Generator[any] {
		return rapid.Map(rapid.SliceOfN(g, 0, 3), func(l []any) any { return append([]any{}, l...) })
	}
	doc := object(map[string]*rapid.Generator[any]{
		"file": leaf("f"), "port": leaf(0, 65535), "offset": leaf(-128, 127), "ratio": leaf(1.5, 2),
		"on": leaf(true, false), "mode": leaf("fast", "safe"),
		"labels": object(map[string]*rapid.Generator[any]{"a": leaf("x")}),
		"limit":  leaf(1, 2), "nested": object(map[string]*rapid.Generator[any]{"name": leaf("x")}),
		"free": leaf("x"), "pair": leaf([]any{1, 2}),
		"users": list(object(map[string]*rapid.Generator[any]{
			"name": leaf("n"), "password": leaf("p"), "roles": list(leaf("reader", "writer")),
		})),
	})
	rapid.Check(t, func(t *rapid.T) {
		raw, err := json.Marshal(doc.Draw(t, "document"))
		if err != nil {
			t.Fatal(err)
		}
		tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		c := defaults()
		problems, invalid := strictjson.Decode(raw, &c), schema.Validate(tree)
		if (problems == nil) != (invalid == nil) {
			t.Fatalf("%s\ndecoder: %q\nschema: %v", raw, problems, invalid)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{}`, `{"users":[{"password":"p"}],"labels":{"a":"b"},"timeout":"3s"}`, `[`, `{"port":99999}`, `{"free":[[[]]]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := defaults()
		if problems := strictjson.Decode(data, &c); problems != nil {
			for _, p := range problems {
				if p.Message == "" || strings.ContainsRune(p.Message, '\n') {
					t.Errorf("problem %q is not one line", p)
				}
			}
			if diff := cmp.Diff(defaults(), c, cmp.AllowUnexported(config{}, user{})); diff != "" {
				t.Error(diff)
			}
		}
	})
}
