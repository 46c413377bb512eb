package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestPluginBench(t *testing.T) {
	s := newSite(t, "", "interceptlog")
	path := filepath.Join(s.dir, "plugins", "interceptlog")
	bench := func(args ...string) (out, errs string, status int) {
		var o, e bytes.Buffer
		status = run(append([]string{"plugin", "bench"}, args...), strings.NewReader(""), &o, &e)
		return o.String(), e.String(), status
	}
	out, errs, status := bench("--json", "--duration", "20ms", path)
	var report benchReport
	if err := json.Unmarshal([]byte(out), &report); status != 0 || err != nil {
		t.Fatalf("exit status %d, %v: %s%s", status, err, errs, out)
	}
	if report.Plugin != "interceptlog" || len(report.Rows) != 15 {
		t.Errorf("%+v", report)
	}
	for _, r := range report.Rows {
		if known := r.OwnCPU >= 0 && r.PluginCPU >= 0; r.Error != "" || r.Items == 0 || known != (runtime.GOOS == "linux") {
			t.Errorf("%+v", r)
		}
	}
	if out, errs, status := bench("--duration", "20ms", path); status != 0 || strings.Count(out, "\n") != 18 || !strings.Contains(out, "plugin CPU") {
		t.Errorf("exit status %d: %s%s", status, errs, out)
	}
	for want, args := range map[string][]string{
		"name the plugin's folder": nil,
		"no such file":             {s.path("nowhere")},
		"can't be negative":        {"--payload=-1", path},
		"it refused its configuration: /colour: unknown": {"--config", s.path("bad.yaml"), path},
	} {
		s.write("bad.yaml", "colour: red\n")
		if _, errs, status := bench(args...); status == 0 || !strings.Contains(errs, want) {
			t.Errorf("%v: exit status %d, %s, want %q", args, status, errs, want)
		}
	}
}
