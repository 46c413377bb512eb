package pluginapi_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

func TestManifestText(t *testing.T) {
	p := gatePlugin()
	m, err := p.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
 "schema": 1,
 "name": "gate",
 "version": "1.2.3",
 "summary": "lets some clients in",
 "api": [
  "gatehouse.plugin.v1"
 ],
 "services": [
  "gatehouse.plugin.v1.ConnectionValidatorService"
 ],
 "config_schema": {
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
   "allow": {
    "description": "client identifiers that may connect",
    "type": [
     "array",
     "null"
    ],
    "items": {
     "type": "string"
    }
   },
   "mode": {
    "description": "what to do when stopped",
    "type": [
     "string",
     "null"
    ],
    "enum": [
     "flush",
     "hang",
     "fail",
     null
    ],
    "default": "flush"
   },
   "timeout": {
    "type": [
     "string",
     "null"
    ],
    "default": "10s"
   }
  },
  "additionalProperties": false
 },
 "env": [
  "GATE_*"
 ]
}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	again, err := pluginapi.ParseManifest(got)
	if err != nil {
		t.Fatal(err)
	}
	if again.Name != m.Name || again.Env[0] != m.Env[0] {
		t.Errorf("read back: %+v", again)
	}
}

type nothing struct{}

// onPointer has its hook on the pointer.
type onPointer struct{}

func (*onPointer) Observe(context.Context, []pluginapi.Event, uint64) error { return nil }

func TestMistakesOfTheAuthor(t *testing.T) {
	cases := map[string]pluginapi.Plugin{
		`name "My Plugin": use up to 63 lower-case letters`: {Name: "My Plugin", Hooks: abstain},
		`name ""`:                           {Hooks: abstain},
		`version "1": write a semantic`:     {Name: "p", Version: "1", Hooks: abstain},
		`summary: must be one line`:         {Name: "p", Summary: "a\nb", Hooks: abstain},
		`env: "A B"`:                        {Name: "p", Env: []string{"A B"}, Hooks: abstain},
		`env: "*"`:                          {Name: "p", Env: []string{"*"}, Hooks: abstain},
		`Plugin.Config: config is a string`: {Name: "p", Config: "x", Hooks: abstain},
		`Plugin.Hooks is nil`:               {Name: "p"},
		`which has none of the hooks`:       {Name: "p", Hooks: nothing{}},
		`give a pointer`:                    {Name: "p", Hooks: onPointer{}},
		`and Plugin.New is nil`:             {Name: "p", Hooks: (*onPointer)(nil)},
		`is a nil pluginapi.ValidatorFunc`:  {Name: "p", Hooks: pluginapi.ValidatorFunc(nil)},
	}
	for want, p := range cases {
		m, err := p.Manifest()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "plugin "+p.Name) {
			t.Errorf("manifest %+v, error %v; want %q", m, err, want)
		}
		if _, err := pluginapi.NewServer(p, nil); err == nil {
			t.Errorf("NewServer serves what has the mistake %q", want)
		}
	}
}

const goodManifest = `{"schema":1,"name":"a-1","version":"1.0.0+x","api":["gatehouse.plugin.v1"],"services":["a.B"],
	"exec":{"linux/amd64":["./bin/a","-x"],"*":["python3","main.py"]},"interest":[{"hook":"publish","filters":["#"]}],"later":{"a":1}}`

func TestParseManifest(t *testing.T) {
	m, err := pluginapi.ParseManifest([]byte(goodManifest))
	if err != nil {
		t.Fatal(err)
	}
	if m.Exec["*"][0] != "python3" || m.Interest[0].Hook != pluginapi.HookPublish {
		t.Errorf("manifest %+v", m)
	}
	cases := map[string][2]string{ // problem: what to replace by what
		"schema is 2, only 1 is known":                 {`"schema":1`, `"schema":2`},
		"schema is 0":                                  {`"schema":1,`, ``},
		`name "../a"`:                                  {`a-1`, `../a`},
		`name "-a"`:                                    {`a-1`, `-a`},
		`version "v1.0.0"`:                             {`1.0.0+x`, `v1.0.0`},
		"api: is empty":                                {`"gatehouse.plugin.v1"`, ``},
		"services: is empty":                           {`"a.B"`, ``},
		`services: "B" is not the full name`:           {`a.B`, `B`},
		`exec: "linux" is neither`:                     {`linux/amd64`, `linux`},
		"exec: linux/amd64 names no program":           {`"./bin/a","-x"`, ``},
		`exec: "../a" is not inside`:                   {`./bin/a`, `../a`},
		`exec: "/bin/a" is not inside`:                 {`./bin/a`, `/bin/a`},
		"exec: linux/amd64 contains a zero byte":       {`-x`, `\u0000`},
		`interest 0: unknown hook "p"`:                 {`"hook":"publish"`, `"hook":"p"`},
		`interest 0: unknown payload mode "x"`:         {`"hook":"publish"`, `"hook":"publish","payload":"x"`},
		"interest 0: head_size is negative":            {`"hook":"publish"`, `"hook":"publish","head_size":-1`},
		"interest 0: a filter is empty":                {`"#"`, `""`},
		"config_schema: must be a JSON Schema object":  {`"later":{"a":1}`, `"config_schema":[]`},
		"cannot unmarshal number into Go struct field": {`"a-1"`, `1`},
		"unexpected end of JSON input":                 {`{"a":1}}`, ``},
	}
	for want, c := range cases {
		text := strings.Replace(goodManifest, c[0], c[1], 1)
		if m, err := pluginapi.ParseManifest([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("manifest %+v, error %v; want %q", m, err, want)
		}
	}
	// All that is wrong is told at once.
	_, err = pluginapi.ParseManifest([]byte(`{"schema":1}`))
	if got := strings.Count(err.Error(), "\n"); got != 3 {
		t.Errorf("error %q, want 4 lines", err)
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(goodManifest))
	f.Add([]byte(`{"schema":1,"exec":{"*":[]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := pluginapi.ParseManifest(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pluginapi.ParseManifest(text); err != nil {
			t.Errorf("%s was read and cannot be read again: %v", text, err)
		}
	})
}
