package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The command line of the systemd unit is one that the broker understands, and
// systemd understands the units.
func TestSystemdUnits(t *testing.T) {
	const dir = "../../contrib/systemd/"
	text, err := os.ReadFile(dir + "gatehouse.service")
	if err != nil {
		t.Fatal(err)
	}
	_, line, found := strings.Cut(string(text), "\nExecStart=")
	line, _, _ = strings.Cut(line, "\n")
	args := strings.Fields(line)
	if !found || len(args) < 2 {
		t.Fatal("no ExecStart")
	}
	config := filepath.Join(t.TempDir(), "gatehouse.yaml")
	if err := os.WriteFile(config, []byte("listeners: [{url: 'tcp://:1883', systemd: mqtt}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range args {
		if args[i] == "/etc/gatehouse/gatehouse.yaml" {
			args[i] = config
		}
	}
	var out bytes.Buffer
	if status := run(append(args[1:], "--check-config"), strings.NewReader(""), &out, &out); status != 0 || !strings.Contains(out.String(), "is good") {
		t.Errorf("%s: %d, %s", line, status, out.String())
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("there is no systemd-analyze here")
		return
	}
	// What it says of files that are not installed here does not matter.
	said, _ := exec.Command(analyze, "verify", dir+"gatehouse.service", dir+"gatehouse.socket").CombinedOutput()
	for l := range strings.Lines(string(said)) {
		if strings.Contains(l, "Unknown") || strings.Contains(l, "Failed to parse") || strings.Contains(l, "ignoring") {
			t.Error(l)
		}
	}
}
