//go:build unix

package main

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// under has a broker start under a limit of open files, "-n 200" or
// "-S -n 200".
func under(limit string) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-c", "ulimit " + limit + ` && exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
	}
}

// crowd opens connections and says of each whether the broker closed it.
func (p *proc) crowd(n int) []net.Conn {
	p.t.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		nc, err := net.DialTimeout("tcp", p.addr, patience)
		if err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup(func() { _ = nc.Close() })
		conns[i] = nc
	}
	return conns
}

// closed reports whether the broker closes a connection within a time.
func closed(nc net.Conn, within time.Duration) bool {
	_ = nc.SetReadDeadline(time.Now().Add(within))
	_, err := nc.Read(make([]byte, 1))
	return errors.Is(err, io.EOF) || err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// A broker without file descriptors turns connections away, says so once, goes
// on for those who are there, and recovers by itself.
func TestOutOfDescriptors(t *testing.T) {
	s := newSite(t, "limits: {connect_timeout: 5m}\n")
	s.prepare = under("-n 200")
	p := s.start()
	sub, pub := p.connect3("sub"), p.connect5("pub")
	sub.subscribe("#", 1)
	crowd := p.crowd(400)
	if !closed(crowd[len(crowd)-1], patience) {
		t.Fatal("the last connection is left to wait")
	}
	p.waitLog("no file descriptors left")
	for range 3 {
		more := p.crowd(1)[0]
		if !closed(more, patience) {
			t.Error("a further connection is left to wait")
		}
	}
	pub.publish("a", 1, false, "served")
	expect(t, sub.got, message{"a", "served", 1, false})
	if n := strings.Count(p.log(), "no file descriptors left"); n != 1 {
		t.Errorf("it was logged %d times", n)
	}
	if !strings.Contains(p.log(), "LimitNOFILE") {
		t.Error("the log does not say what to do")
	}
	for _, nc := range crowd {
		_ = nc.Close()
	}
	for end := time.Now().Add(patience); ; {
		nc := p.crowd(1)[0]
		if !closed(nc, 200*time.Millisecond) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("nobody gets in any more")
		}
	}
	p.stop()
}

// The soft limit of open files is raised to the hard one at the start.
func TestRaisesDescriptorLimit(t *testing.T) {
	s := newSite(t, "")
	s.prepare = under("-S -n 100")
	p := s.start()
	for i, nc := range p.crowd(200) {
		if i%50 == 0 && closed(nc, 10*time.Millisecond) {
			t.Fatalf("connection %d was closed", i)
		}
	}
	p.connect3("c").subscribe("#", 1)
	p.stop()
}

// Limits, and more, follow the configuration while clients stay connected.
func TestReloadLimits(t *testing.T) {
	s := newSite(t, "limits: {}\n")
	p := s.start()
	sub, pub := p.connect3("sub"), p.connect5("pub")
	sub.subscribe("#", 1)
	s.write("gatehouse.yaml", strings.Replace(string(s.read("gatehouse.yaml")), "limits: {}",
		"limits: {connect_rate_per_address: 0.001, connect_burst_per_address: 1}\nlog: {format: json}\nmqtt: {shared_strategy: sticky}\nsys_interval: 1h", 1))
	p.signal(syscall.SIGHUP)
	p.waitLog(`"msg":"configuration reloaded"`)
	if strings.Contains(p.log(), "take effect at the next start") {
		t.Error("some changes wait for the next start")
	}
	if closed(p.crowd(1)[0], 50*time.Millisecond) {
		t.Error("the first connection was closed")
	}
	if !closed(p.crowd(1)[0], patience) {
		t.Error("the second connection was not closed")
	}
	p.waitLog(`"cause":"address_connect_rate"`)
	pub.publish("a", 1, false, "x")
	expect(t, sub.got, message{"a", "x", 1, false})
	p.stop()
}
