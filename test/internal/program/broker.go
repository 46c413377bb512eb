package program

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Broker is a broker that runs for the length of a test.
type Broker struct {
	*Process
	// Addr is its address, HOST:PORT on loopback.
	Addr string
	// URLs are the addresses of Options.Listeners.
	URLs []string
	// Dir is the folder of its files.
	Dir string

	crashed bool
}

// Crash ends the broker as a power cut does.
func (b *Broker) Crash() {
	b.crashed = true
	b.Kill()
}

// HostPort returns the two halves of the address.
func (b *Broker) HostPort() (host, port string) {
	host, port, err := net.SplitHostPort(b.Addr)
	if err != nil {
		b.t.Fatal(err)
	}
	return host, port
}

// Options say how the broker is started.
type Options struct {
	// Addr is where it listens; "" means a free port.
	Addr string
	// Listeners are further ones, each as a map of the configuration file. Their
	// addresses are in Broker.URLs.
	Listeners []string
	// Config is more of the configuration file.
	Config string
	// Plugins are those of plugins/ to build and run; their files go into
	// Files. Without a validator among them everyone may do everything.
	Plugins []string
	// Folders are plugins that are no program of ours: they are copied into the
	// plugin folder under their own names.
	Folders []string
	// Files are put beside the configuration.
	Files map[string]string
}

// Gatehouse starts our broker and waits until it is ready.
func Gatehouse(t testing.TB, o Options) *Broker {
	t.Helper()
	dir := folder(t)
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	listeners := append([]string{"{url: 'tcp://" + o.Addr + "'}"}, o.Listeners...)
	write(t, dir, "gatehouse.yaml", fmt.Sprintf(
		"listeners: [%s]\nplugin_dir: plugins\ndata_dir: data\nrun_dir: run\n%s", strings.Join(listeners, ", "), o.Config))
	for name, text := range o.Files {
		write(t, dir, name, text)
	}
	install(t, dir, o.Plugins)
	for _, from := range o.Folders {
		Copy(t, from, filepath.Join(dir, "plugins", filepath.Base(from)))
	}
	p := Start(t, dir, Ours(t, "./cmd/broker"), "serve", "--config", "gatehouse.yaml", "--log-level", "warn")
	const ready = "ready tcp://"
	out := p.WaitOutput("that it is ready", func(out string) bool {
		_, rest, ok := strings.Cut(out, ready)
		return ok && strings.Contains(rest, "\n")
	})
	_, rest, _ := strings.Cut(out, ready)
	line, _, _ := strings.Cut(rest, "\n")
	urls := strings.Fields(line)
	b := &Broker{Process: p, Addr: urls[0], URLs: urls[1:], Dir: dir}
	t.Cleanup(b.stop)
	return b
}

// stop ends the broker as an operator would, and holds it to ending well.
func (b *Broker) stop() {
	b.Signal(syscall.SIGTERM)
	select {
	case <-b.done:
		if b.err != nil && !b.crashed {
			b.t.Errorf("the broker ended badly: %v", b.err)
		}
	case <-time.After(Patience):
		b.t.Error("the broker did not stop in time")
	}
	if strings.Contains(b.Output(), "panic") {
		b.t.Error("the broker's log mentions a panic")
	}
}

// folder makes one with a short path: sockets live below it.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// install puts plugins into the plugin folder.
func install(t testing.TB, dir string, plugins []string) {
	t.Helper()
	for _, name := range append([]string{""}, plugins...) {
		if err := os.MkdirAll(filepath.Join(dir, "plugins", name), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range plugins {
		exe, err := os.ReadFile(Ours(t, "./plugins/"+name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "plugins", name, name)
		if err := os.WriteFile(path, exe, 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
		manifest := Run(t, "", nil, path, "describe")
		write(t, filepath.Dir(path), "plugin.json", string(manifest))
	}
}

// Copy copies a folder.
func Copy(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// Mosquitto starts Debian's mosquitto and waits until it takes connections.
func Mosquitto(t testing.TB, config string) *Broker {
	t.Helper()
	path := Need(t, "mosquitto", "mosquitto")
	dir := folder(t)
	addr := FreeAddr(t, "127.0.0.1:0")
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "mosquitto.conf", fmt.Sprintf("listener %s %s\nallow_anonymous true\npersistence false\nuser root\nlog_type error\nlog_type warning\nlog_type information\nlog_type notice\nconnection_messages false\n%s", port, host, config))
	b := &Broker{Process: Start(t, dir, path, "-c", "mosquitto.conf"), Addr: addr, Dir: dir}
	b.WaitOutput("that it runs", func(out string) bool { return strings.Contains(out, " running") })
	return b
}

// FreeAddr returns a TCP address on which nothing listens; want may leave the
// port open with 0.
func FreeAddr(t testing.TB, want string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", want)
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	return addr
}
