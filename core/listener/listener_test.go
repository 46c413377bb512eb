package listener_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/listener"
)

func TestOpen(t *testing.T) {
	for _, rawURL := range []string{"tcp://127.0.0.1:0", "unix://" + filepath.Join(t.TempDir(), "s")} {
		l, err := listener.Open(t.Context(), rawURL, listener.Options{Name: "n"})
		if err != nil {
			t.Fatal(err)
		}
		if l.Name() != "n" || !strings.HasPrefix(l.URL(), l.Transport()+"://") || strings.HasSuffix(l.URL(), ":0") {
			t.Errorf("%s: name %q, URL %q, transport %q", rawURL, l.Name(), l.URL(), l.Transport())
		}
		c, err := net.Dial(l.Addr().Network(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What a killed broker left is no obstacle; a living one and a file are.
func TestUnixSocketInTheWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	_ = stale.Close()
	l, err := listener.Open(t.Context(), "unix://"+path, listener.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := listener.Open(t.Context(), "unix://"+path, listener.Options{}); err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("a second one: %v", err)
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listener.Open(t.Context(), "unix://"+file, listener.Options{}); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a file: %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Error("the file was touched")
	}
}

func TestPortInUse(t *testing.T) {
	l, err := listener.Open(t.Context(), "tcp://127.0.0.1:0", listener.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, err = listener.Open(t.Context(), l.URL(), listener.Options{})
	if err == nil || !strings.Contains(err.Error(), l.URL()) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
}

func TestParse(t *testing.T) {
	for rawURL, want := range map[string]string{
		"tcp://127.0.0.1:1883":   "",
		"tcp://:1883":            "",
		"tcp://[::1]:1883":       "",
		"unix:///run/x.sock":     "",
		"tcp://127.0.0.1":        "no port",
		"127.0.0.1:1883":         "not a URL",
		"mqtt://127.0.0.1:1883":  "scheme",
		"unix://run/x.sock":      "three slashes",
		"tcp://127.0.0.1:1883/x": "nothing else",
	} {
		_, err := listener.Parse(rawURL)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", rawURL, err, want)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for rawURL, want := range map[string]bool{
		"tcp://127.0.0.1:1": true, "tcp://[::1]:1": true, "tcp://localhost:1": true, "unix:///x": true,
		"tcp://:1": false, "tcp://0.0.0.0:1": false, "tcp://[::]:1": false, "tcp://192.0.2.1:1": false, "tcp://example.org:1": false,
	} {
		u, err := listener.Parse(rawURL)
		if err != nil {
			t.Fatal(err)
		}
		if got := listener.IsLoopback(u); got != want {
			t.Errorf("%s: %v", rawURL, got)
		}
	}
}
