//go:build unix

package pluginhost

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hostMain is a broker's process: it starts the plugins of ROOT/plugins, tells
// their statuses as one line of JSON, and waits to be killed.
func hostMain(args []string) {
	root := args[0]
	h, err := New(hostOptions(root))
	if err == nil {
		_, err = h.Start(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// The plugin tells of its child before its handshake.
	for len(h.Plugins()[0].Output) == 0 {
		time.Sleep(time.Millisecond)
	}
	text, _ := json.Marshal(h.Plugins())
	fmt.Println(string(text))
	time.Sleep(time.Hour)
}

func hostOptions(root string) Options {
	return Options{
		PluginDir: filepath.Join(root, "plugins"), RunDir: filepath.Join(root, "run"), DataDir: filepath.Join(root, "data"),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
}

// A broker that is killed leaves no process behind, children of plugins
// included, and the next one clears the run directory.
func TestKilledHostLeavesNothing(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth", "grandchild")
	root := filepath.Dir(th.dir)
	host, statuses := startHostProcess(t, root)
	plugin := statuses[0].PID
	var grandchild int
	if _, err := fmt.Sscanf(statuses[0].Output[0], "grandchild %d", &grandchild); err != nil {
		t.Fatalf("output is %q", statuses[0].Output)
	}
	if plugin == 0 || !alive(plugin) || !alive(grandchild) {
		t.Fatalf("plugin %d, grandchild %d do not run", plugin, grandchild)
	}

	// The directory of a broker that lives is not touched.
	if _, err := th.Start(context.Background()); err == nil || !strings.Contains(err.Error(), "another broker uses it") ||
		!strings.Contains(err.Error(), fmt.Sprint(host.Process.Pid)) {
		t.Errorf("a second broker on the same run directory: %v", err)
	}
	if !alive(plugin) || !answers(statuses[0].Socket) {
		t.Fatal("the second broker harmed the first")
	}

	must(t, host.Process.Signal(syscall.SIGKILL))
	_ = host.Wait()
	pollUntil(t, "the plugin's death", func() bool { return !alive(plugin) })
	pollUntil(t, "the grandchild's death", func() bool { return !alive(grandchild) })

	next, err := New(hostOptions(root))
	must(t, err)
	if _, err := next.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(filepath.Join(root, "run", socketsName))
	if len(entries) != 1 {
		t.Errorf("%d run directories, want that of the new plugin only", len(entries))
	}
	must(t, next.Stop(context.Background()))
}

func startHostProcess(t *testing.T, root string) (*exec.Cmd, []Status) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "host")
	linkSelf(t, program)
	cmd := exec.Command(program, root)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the host process says %q: %v", line, err)
	}
	var statuses []Status
	must(t, json.Unmarshal([]byte(line), &statuses))
	return cmd, statuses
}
