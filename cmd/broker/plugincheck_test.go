//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/conformance"
)

func init() { brokenPlugins["straggler"] = stragglerMain }

// straggler starts a child that leaves the group of its plugin.
func stragglerMain() {
	serve(pluginapi.Plugin{Name: "straggler", Hooks: (*watches)(nil), Config: &struct{}{}, New: func(context.Context, *pluginapi.Setup) (any, error) {
		child := exec.Command("/bin/sleep", "1000")
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		return &watches{}, child.Start()
	}})
}

// checked runs "broker plugin check --json" and returns its report.
func checked(t *testing.T, status int, args ...string) checkReport {
	t.Helper()
	var out, errs bytes.Buffer
	if got := run(append([]string{"plugin", "check", "--json"}, args...), strings.NewReader(""), &out, &errs); got != status {
		t.Fatalf("exit status %d, want %d; it said %s%s", got, status, &errs, &out)
	}
	var report checkReport
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	return report
}

func (r *checkReport) failures() []string {
	var names []string
	for _, result := range r.Results {
		if result.Status == conformance.Failed {
			names = append(names, result.Case)
		}
	}
	return names
}

// The plugins that ship pass when they are run as the broker runs them.
func TestCheckShippedPlugins(t *testing.T) {
	s := newSite(t, "", "retainjson", "interceptlog", "authfile")
	s.write("users.yaml", "users: [{name: anna, password: '"+"$2y$04$PvBJHjRyLH2cUVIA9VEs.u3OYq0DMKZhG1WpVDLyDSBgVj1mWE8Oq"+"', allow: {both: a}}]\n")
	s.write("auth.json", `{"file": "`+s.path("users.yaml")+`"}`)
	for name, args := range map[string][]string{
		"retainjson":   {"--only", "store/own,store/kill,store/stale,plugin/*"},
		"interceptlog": nil,
		"authfile":     {"--config", s.path("auth.json")},
	} {
		t.Run(name, func(t *testing.T) {
			report := checked(t, 0, append(args, filepath.Join(s.dir, "plugins", name))...)
			if report.Plugin != name || report.Failed != 0 || report.Passed < 10 {
				t.Errorf("%+v", report)
			}
		})
	}
}

// A child that outlives its plugin is found, and is gone afterwards.
func TestCheckFindsChildren(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	s := newSite(t, "", "straggler")
	report := checked(t, 1, filepath.Join(s.dir, "plugins", "straggler"))
	if got := report.failures(); !slices.Equal(got, []string{"plugin/children"}) {
		t.Errorf("failed %q", got)
	}
}

// A folder with a manifest, and its program's arguments.
func TestCheckFolder(t *testing.T) {
	s := newSite(t, "", "authfile")
	folder := s.path("folder/authfile")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(s.dir, "plugins", "authfile")
	text, err := exec.Command(program, "describe").Output()
	if err != nil {
		t.Fatal(err)
	}
	s.write("folder/authfile/plugin.json", strings.Replace(string(text), `"version": "0.1.0"`, `"version": "0.0.9"`, 1))
	s.link("folder/authfile/authfile")
	s.write("users.yaml", "users: [{name: anna, password: '"+"$2y$04$PvBJHjRyLH2cUVIA9VEs.u3OYq0DMKZhG1WpVDLyDSBgVj1mWE8Oq"+"'}]\n")
	s.write("auth.yaml", "file: "+s.path("users.yaml")+"\n")
	report := checked(t, 1, "--config", s.path("auth.yaml"), "--only", "plugin/describe", folder)
	if got := report.failures(); !slices.Equal(got, []string{"plugin/describe"}) {
		t.Errorf("failed %q", got)
	}
	if !strings.Contains(report.Results[1].Happened, "0.0.9") {
		t.Errorf("%+v", report.Results[1])
	}
}

// The source of a plugin is not a plugin, and the message says where that is.
func TestCheckSourceFolder(t *testing.T) {
	source := filepath.Join(t.TempDir(), "my-auth")
	if err := os.Mkdir(source, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"check", "bench"} {
		var out, errs words
		status := run([]string{"plugin", command, source}, strings.NewReader(""), &out, &errs)
		if want := source + " has no plugin.json: is it the source of a plugin? build it, and name the folder of its build, such as " +
			filepath.Join(source, "build", "my-auth"); status == 0 || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: status %d, %s", command, status, &errs)
		}
	}
}

// A plugin that somebody else runs is checked, and goes on running.
func TestCheckEndpoint(t *testing.T) {
	s := newSite(t, "", "interceptlog")
	cmd := exec.Command(filepath.Join(s.dir, "plugins", "interceptlog"), "-standalone", s.path("attach"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
	})
	var at pluginapi.Attach
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(s.path("attach/interceptlog/" + pluginapi.AttachFile))
		if err == nil && json.Unmarshal(text, &at) == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the plugin does not say where it is")
		}
	}
	for range 2 {
		report := checked(t, 0, "--endpoint", at.Address)
		if report.Passed < 15 {
			t.Errorf("%d passed", report.Passed)
		}
	}
	select {
	case err := <-done:
		t.Errorf("the plugin ended: %v", err)
	default:
	}
}
