//go:build unix

package pluginapi_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

func TestProcessEndsWithItsLifeline(t *testing.T) {
	dir := t.TempDir()
	p := launch(t, plugintest.DataDir(dir))
	if err := p.Abandon(); err != nil {
		t.Fatal(err)
	}
	wantExit(t, p, 0)
	wantFlushed(t, dir)
}

// TestProcessEndsAlthoughStopHangs: the lifeline has ended, and nobody is there
// to kill a plugin that does not want to go.
func TestProcessEndsAlthoughStopHangs(t *testing.T) {
	t.Parallel() // it takes as long as a plugin is given
	p := launch(t, plugintest.Config(`{"mode": "hang"}`))
	if err := p.Abandon(); err != nil {
		t.Fatal(err)
	}
	wantExit(t, p, 1)
}

// TestProcessFlushesAlthoughNobodyReads: the broker was killed, so that the log
// is broken before the lifeline tells.
func TestProcessFlushesAlthoughNobodyReads(t *testing.T) {
	dir, run := t.TempDir(), t.TempDir()
	logReader, logWriter, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	lifelineReader, lifeline, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(plugintest.Install(t, t.TempDir(), "gate"))
	cmd.Stderr = logWriter
	cmd.ExtraFiles = []*os.File{lifelineReader}
	cmd.Env = append(quiet(t), "GATEHOUSE_LIFELINE_FD=3", "PLUGIN_UNIX_SOCKET_DIR="+run,
		pluginapi.Handshake.MagicCookieKey+"="+pluginapi.Handshake.MagicCookieValue)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = logWriter.Close(), lifelineReader.Close()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("unix://"+strings.Split(line, "|")[3], pluginapi.DialOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := pluginv1.NewPluginServiceClient(conn).Init(t.Context(), &pluginv1.InitRequest{DataDir: dir}); err != nil {
		t.Fatal(err)
	}
	_, _, _ = logReader.Close(), stdout.Close(), conn.Close()
	_ = lifeline.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the plugin ended with %v", err)
	}
	wantFlushed(t, dir)
}

// TestProcessWithoutLifeline notices by its parent's process id that the broker
// is gone. The shell in between is the broker.
func TestProcessWithoutLifeline(t *testing.T) {
	dir := t.TempDir()
	program := plugintest.Install(t, t.TempDir(), "gate")
	shell := exec.Command("/bin/sh", "-c", `"$0" >"$1/out" 2>"$1/err" & read x`, program, dir)
	shell.Env = append(quiet(t), "PLUGIN_UNIX_SOCKET_DIR="+dir, "PATH="+os.Getenv("PATH"),
		pluginapi.Handshake.MagicCookieKey+"="+pluginapi.Handshake.MagicCookieValue)
	stdin, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	var socket string
	waitFor(t, "the handshake", func() bool {
		out, _ := os.ReadFile(filepath.Join(dir, "out"))
		f := strings.Split(string(out), "|")
		if len(f) < 5 {
			return false
		}
		socket = f[3]
		return true
	})
	_ = stdin.Close()
	_ = shell.Wait()
	waitFor(t, "the exit", func() bool {
		log, _ := os.ReadFile(filepath.Join(dir, "err"))
		_, err := os.Stat(socket)
		return strings.Contains(string(log), "the broker is gone") && os.IsNotExist(err)
	})
}

// waitFor polls what happens in another process.
func waitFor(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !happened(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
