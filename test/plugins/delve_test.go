package plugins

import (
	"net/rpc/jsonrpc"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// delve speaks with a headless one; its JSON-RPC is that of dlv connect.
type delve struct {
	*testing.T
	call func(method string, args, answer any) error
}

// stopped is as much of the debugger's state as the test looks at.
type stopped struct {
	State struct {
		Exited        bool `json:"exited"`
		CurrentThread struct {
			Breakpoint *struct {
				FunctionName string `json:"functionName"`
			} `json:"breakPoint"`
		} `json:"currentThread"`
	}
}

// command has the debugger do something, and returns how the program stops then.
func (d *delve) command(name string) (out stopped) {
	d.Helper()
	if err := d.call("Command", map[string]string{"name": name}, &out); err != nil {
		d.Errorf("%s: %v", name, err)
	}
	return out
}

// connectDelve connects to a debugger that is there already.
func connectDelve(t *testing.T, address string) *delve {
	t.Helper()
	client, err := jsonrpc.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return &delve{t, func(method string, args, answer any) error { return client.Call("RPCServer."+method, args, answer) }}
}

// A plugin under a real debugger: "plugin debug" has delve run it, the broker
// attaches it, and a client whose CONNECT comes to a breakpoint waits, however long
// its author looks around. When the debugger goes away, the broker's own is back.
func TestDelve(t *testing.T) {
	t.Parallel()
	dlv := program.Tool(t, "dlv")
	const deadline = "200ms"
	s := authfile(t, "    validator: {timeout: "+deadline+"}\n")
	own := s.status().PID
	address := program.FreeAddr(t, "127.0.0.1:0")
	debug := program.Start(t, s.b.Dir, "/usr/bin/env", "PATH="+filepath.Dir(dlv)+":"+path, "HOME="+t.TempDir(),
		program.Ours(t, "./cmd/broker"), "plugin", "debug", s.plugin, "--run-dir", "run", "--listen", address)
	out := debug.WaitOutput("that the plugin runs under the debugger", func(out string) bool {
		return strings.Contains(out, "runs under the debugger") || strings.Contains(out, "operation not permitted") || strings.Contains(out, "could not launch process")
	})
	if !strings.Contains(out, "runs under the debugger") {
		if strings.Contains(out, "not permitted") {
			t.Skipf("this machine does not permit ptrace, without which there is no debugger: %s", out)
		}
		t.Fatal(out)
	}
	d := connectDelve(t, address)
	d.command("halt")
	const function = "github.com/gatehouse-mqtt/gatehouse/plugins/authfile/validator.(*Authfile).ValidateConnection"
	var made struct{ Breakpoint struct{ ID int } }
	if err := d.call("CreateBreakpoint", map[string]any{"Breakpoint": map[string]any{"functionName": function}}, &made); err != nil {
		t.Fatal(err)
	}
	hit := make(chan stopped, 1)
	goOn := func() { hit <- d.command("continue") }
	go goOn()
	client := s.run("mosquitto_pub", "-d", "-i", "lamp", "-u", "alice", "-P", "secret", "-q", "1", "-t", "a", "-m", "1")
	select {
	case at := <-hit:
		if b := at.State.CurrentThread.Breakpoint; b == nil || b.FunctionName != function {
			t.Fatalf("it stopped, but not at the breakpoint: %+v", at)
		}
	case <-time.After(program.Patience):
		t.Fatal("the breakpoint was not reached")
	}
	// The deadline of the policy passes several times over, and the client still
	// waits: that nothing happens can only be seen by waiting.
	time.Sleep(time.Second)
	if out := client.Output(); !strings.Contains(out, "sending CONNECT") || strings.Contains(out, "received CONNACK") {
		t.Fatalf("the client does not wait:\n%s", out)
	}
	if err := d.call("ClearBreakpoint", map[string]int{"Id": made.Breakpoint.ID}, new(any)); err != nil {
		t.Fatal(err)
	}
	go goOn()
	if out, code := client.Wait(); code != 0 || !strings.Contains(out, "received CONNACK (0)") {
		t.Errorf("after the breakpoint: exit code %d\n%s", code, out)
	}
	debug.Signal(os.Interrupt)
	if out, code := debug.Wait(); code != 0 {
		t.Errorf("plugin debug ends with %d:\n%s", code, out)
	}
	s.await("the broker's own", func(st *status) bool { return st.ready() && st.PID == own })
	s.answers("mosquitto_pub", "-u", "alice", "-P", "secret", "-q", "1", "-t", "a", "-m", "1")
	if err := syscall.Kill(s.status().pid(t), 0); err != nil {
		t.Error(err)
	}
}
