//go:build unix

package main

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The broker takes the sockets that systemd opened, by their names, and tells it
// how it does.
func TestSystemd(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	passed, err := socket.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer passed.Close()
	s := newSite(t, "")
	s.write("gatehouse.yaml", "listeners: [{url: 'tcp://:1', systemd: front}]\nallow_anonymous: true\ndata_dir: data\nrun_dir: run\n")
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.path("notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	s.prepare = func(cmd *exec.Cmd) {
		// Only the process itself knows its identifier.
		cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
		sh, err := exec.LookPath("sh")
		if err != nil {
			t.Fatal(err)
		}
		cmd.Path = sh
		cmd.ExtraFiles = []*os.File{passed}
		cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=front", "NOTIFY_SOCKET="+s.path("notify"), "WATCHDOG_USEC=200000")
	}
	p := s.start()
	// want reads until something is told, other things between.
	want := func(state string) {
		t.Helper()
		_ = told.SetReadDeadline(time.Now().Add(patience))
		b := make([]byte, 4096)
		for {
			n, err := told.Read(b)
			if err != nil {
				t.Fatalf("%s: %v", state, err)
			}
			if strings.HasPrefix(string(b[:n]), state) {
				return
			}
		}
	}
	want("READY=1")
	if p.addr != socket.Addr().String() {
		t.Errorf("the broker is ready at %s, the socket is at %s", p.addr, socket.Addr())
	}
	if _, err := p.dial3("c", "", ""); err != nil {
		t.Error(err)
	}
	want("WATCHDOG=1")
	p.signal(syscall.SIGHUP)
	want("RELOADING=1\nMONOTONIC_USEC=")
	want("READY=1")
	if _, err := p.dial3("d", "", ""); err != nil {
		t.Errorf("after a reload: %v", err)
	}
	p.signal(syscall.SIGTERM)
	want("STOPPING=1")
	p.wait()

	s.prepare = nil
	if status, text := s.fails(); status != 1 || !strings.Contains(text, "systemd has passed no sockets") {
		t.Errorf("without systemd: %d, %s", status, text)
	}
}
