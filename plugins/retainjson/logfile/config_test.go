package logfile

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

func TestConfig(t *testing.T) {
	tests := map[string]struct{ config, err string }{
		"nothing":        {``, ""},
		"empty":          {`{}`, ""},
		"all":            {`{"file":"a.jsonl","fsync":"never","fsync_interval":"5s","compact_garbage":0.2,"compact_min_bytes":1}`, ""},
		"absolute":       {`{"file":"/var/lib/x.jsonl"}`, ""},
		"unknown key":    {`{"fsink":"always"}`, "fsync"},
		"unknown policy": {`{"fsync":"sometimes"}`, "/fsync"},
		"no file":        {`{"file":""}`, "/file"},
		"a folder":       {`{"file":".."}`, "/file"},
		"leaves":         {`{"file":"../x"}`, "leaves the data folder"},
		"interval":       {`{"fsync_interval":"0s"}`, "/fsync_interval"},
		"share":          {`{"compact_garbage":50}`, "/compact_garbage"},
		"bytes":          {`{"compact_min_bytes":0}`, "/compact_min_bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := checkConfig(t.Context(), pluginapi.NewSetup([]byte(test.config)))
			if (test.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("error %v, want %q in it", err, test.err)
			}
		})
	}
}

func readme(t *testing.T, kind string) []string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```"+kind+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// TestReadmeConfigs loads every configuration of README.md.
func TestReadmeConfigs(t *testing.T) {
	blocks := readme(t, "yaml")
	if len(blocks) < 3 {
		t.Fatalf("%d examples", len(blocks))
	}
	for i, text := range blocks {
		json, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		c, err := readConfig(pluginapi.NewSetup(json))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if i == 0 { // says that it is the defaults
			if diff := cmp.Diff(defaultConfig(), c); diff != "" {
				t.Error(diff)
			}
		}
	}
}

// TestReadmeFile reads the lines that README.md shows as a file.
func TestReadmeFile(t *testing.T) {
	file := strings.Join(readme(t, "json"), "")
	s := mustOpen(t, onDisk(diskWith([]byte(file))))
	if n := s.Numbers(); s.Problems() != nil || n.Revision != 4 {
		t.Errorf("%v, %+v", s.Problems(), n)
	}
}

func TestReadmeSections(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []string{"# retainjson\n", "## Name\n", "## Description\n", "## Syntax\n", "## Examples\n"} {
		if !strings.Contains(string(text), h) {
			t.Errorf("no section %q", h)
		}
	}
	for _, m := range []string{"messages", "tombstones", "file_bytes", "garbage_bytes", "changes_total", "failures_total", "compactions_total"} {
		if !strings.Contains(string(text), "retainjson_"+m) || !strings.Contains(string(Numbers{}.prometheus()), "retainjson_"+m+" 0\n") {
			t.Errorf("metric %s", m)
		}
	}
}

// TestKeeper is the life of the plugin in one process.
func TestKeeper(t *testing.T) {
	dir := t.TempDir()
	start := func() *keeper {
		setup := pluginapi.NewSetup([]byte(`{"fsync":"interval","fsync_interval":"1h"}`))
		setup.DataDir = dir
		// Init's context ends with the call.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		k, err := Plugin().New(ctx, setup)
		if err != nil {
			t.Fatal(err)
		}
		return k.(*keeper)
	}
	k := start()
	mustApply(t, k.Store, put1("a", "1", 1))
	if err := k.Health(t.Context()); err != nil {
		t.Errorf("Health: %v", err)
	}
	stats, err := k.Stats(t.Context())
	if err != nil || stats.Messages != 1 || stats.Revision != 1 || stats.Bytes == 0 || stats.Details["fsync"] != "interval" {
		t.Errorf("Stats = %+v, %v", stats, err)
	}
	text, err := k.Metrics(t.Context())
	if err != nil || !strings.Contains(string(text), "retainjson_messages 1\n") {
		t.Errorf("Metrics: %s, %v", text, err)
	}
	if err := k.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}

	file := filepath.Join(dir, "retained.jsonl")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append([]byte("rubbish\n"), data...), 0o600); err != nil {
		t.Fatal(err)
	}
	k = start()
	wantContents(t, k.Store, map[string]string{"a": "1@1"})
	if err := k.Health(t.Context()); err == nil || !strings.Contains(err.Error(), "could not be read") {
		t.Errorf("Health of a damaged store: %v", err)
	}
	if err := k.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
}
