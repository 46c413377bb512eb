package conformance_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/listener"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// The memory that a broker takes can only be told of a process that does
// nothing else: the test binary runs itself once more, as a broker.

// roleVariable makes the test binary a broker.
const roleVariable = "GATEHOUSE_CONFORMANCE_BROKER"

// playBroker serves until standard input ends, if that is what this process is
// for, and says so.
func playBroker() bool {
	if os.Getenv(roleVariable) == "" {
		return false
	}
	if err := serveBroker(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// serveBroker runs a broker with default options. It tells its addresses first,
// for TCP and for WebSockets, and ends with stdin.
func serveBroker(stdin io.Reader, stdout io.Writer) error {
	b := broker.New(broker.Options{SysInterval: -1})
	l, err := listener.Open(context.Background(), "tcp://127.0.0.1:0", listener.Options{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	web, err := listener.Open(ctx, "ws://127.0.0.1:0/mqtt", listener.Options{})
	if err != nil {
		return err
	}
	done := make(chan struct{}, 3)
	go func() { _ = b.Serve(ctx, web); done <- struct{}{} }()
	go func() { _ = b.Serve(ctx, l); done <- struct{}{} }()
	go func() { _ = b.Run(ctx); done <- struct{}{} }()
	fmt.Fprintln(stdout, l.Addr(), web.Addr())
	if _, err := io.Copy(io.Discard, stdin); err != nil {
		return err
	}
	sctx, stop := context.WithTimeout(ctx, brokertest.Patience)
	defer stop()
	err = b.Shutdown(sctx)
	cancel()
	for range cap(done) {
		<-done
	}
	return err
}

// process is a broker in a process of its own.
type process struct {
	addr string
	web  string // for WebSockets
	pid  int
}

// startProcess runs a broker until the test ends, and expects it to end well.
func startProcess(t *testing.T) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), roleVariable+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the broker's process: %v", err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the broker's process tells no address: %v", err)
	}
	addr, web, _ := strings.Cut(strings.TrimSpace(line), " ")
	return &process{addr: addr, web: web, pid: cmd.Process.Pid}
}

// staysWithin attacks the broker and expects that it still serves others and
// that its resident memory never grew by more than so many megabytes. Where the
// memory can't be told, or counts a race detector's, it only attacks.
func (p *process) staysWithin(t *testing.T, megabytes int, attack func(b *brokertest.Broker)) {
	t.Helper()
	b := brokertest.At(t, p.addr)
	w := newWitness(b)
	w.testifies(t, b)
	before := p.resident(t)
	attack(b)
	w.testifies(t, b)
	after := p.resident(t)
	if before == (memory{}) {
		return
	}
	grown := (after.peak - before.now) >> 10
	t.Logf("resident memory: %d MB, then at most %d MB", before.now>>10, after.peak>>10)
	if grown > megabytes && !raced {
		t.Errorf("resident memory grew by %d MB, want at most %d MB", grown, megabytes)
	}
}

// memory is in kB.
type memory struct{ now, peak int }

// resident reads what Linux knows of the process's memory.
func (p *process) resident(t *testing.T) memory {
	t.Helper()
	if runtime.GOOS != "linux" {
		return memory{}
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	field := func(name string) int {
		_, rest, found := strings.Cut(string(status), name+":")
		fields := strings.Fields(rest)
		if !found || len(fields) == 0 {
			t.Fatalf("no %s in the process's status", name)
		}
		n, err := strconv.Atoi(fields[0])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return memory{now: field("VmRSS"), peak: field("VmHWM")}
}
