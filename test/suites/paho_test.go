package suites

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

const pahoPackage = "github.com/eclipse/paho.mqtt.golang"

// TestPaho runs the functional tests of paho.mqtt.golang. They are test files
// of a dependency, so go test runs them as they are in the module cache. They
// go to port 1883 of the host that they are told.
func TestPaho(t *testing.T) {
	t.Parallel()
	b := program.Gatehouse(t, program.Options{Addr: loopback1883(t)})
	host, _ := b.HostPort()
	results := runPaho(t, host, pahoTests)
	for _, name := range pahoTests {
		t.Run(name, func(t *testing.T) {
			r := results[name]
			for range pahoAgain {
				why, races := pahoRaces[name]
				if r.passed() || !races {
					break
				}
				t.Logf("again, for %s: %v", why, r)
				r = runPaho(t, host, []string{name})[name]
			}
			if !r.passed() {
				t.Errorf("%v", r)
			}
		})
	}
}

// pahoRaces are tests that depend on who is faster, and why. One that fails is
// run again by itself, for nothing that the broker does makes it pass always.
var pahoRaces = map[string]string{
	"Test_cleanUpMids_2": "it publishes, disconnects at once, and wants the broker not to have answered by then",
	"Test_ResumeSubs": "it takes its connection for subscribed when the SUBSCRIBE was handed to the goroutine " +
		"that writes, and another connection may publish before that goroutine has run",
}

// pahoAgain is how often a test that races is run again.
const pahoAgain = 4

// runPaho runs tests of paho.mqtt.golang against the broker on a host's port
// 1883.
func runPaho(t *testing.T, host string, tests []string) map[string]*pahoResult {
	t.Helper()
	cmd := exec.Command("go", "test", "-json", "-count=1", "-timeout=5m",
		"-run", "^("+strings.Join(tests, "|")+")$", pahoPackage)
	cmd.Env = append(os.Environ(), "TEST_FVT_ADDR="+host)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	results := make(map[string]*pahoResult)
	for sc := bufio.NewScanner(out); sc.Scan(); {
		readPahoEvent(t, results, tests, sc.Bytes())
	}
	var failed *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &failed) {
		t.Errorf("go test: %v", err)
	}
	return results
}

// pahoResult is what go test says about one test.
type pahoResult struct {
	action string
	output strings.Builder
}

func (r *pahoResult) passed() bool { return r != nil && r.action == "pass" }

// String gives the last word and what was printed.
func (r *pahoResult) String() string {
	if r == nil {
		return "did not run"
	}
	return r.action + "\n" + r.output.String()
}

func readPahoEvent(t *testing.T, results map[string]*pahoResult, tests []string, line []byte) {
	t.Helper()
	var e struct{ Action, Test, Output string }
	if err := json.Unmarshal(line, &e); err != nil {
		t.Logf("%s", line)
		return
	}
	if !slices.Contains(tests, e.Test) {
		return
	}
	r := results[e.Test]
	if r == nil {
		r = new(pahoResult)
		results[e.Test] = r
	}
	switch e.Action {
	case "output":
		r.output.WriteString(e.Output)
	case "pass", "fail", "skip":
		r.action = e.Action
	}
}

// loopback1883 returns a loopback address whose port 1883 is free: there are
// sixteen million of them.
func loopback1883(t *testing.T) string {
	t.Helper()
	for i := range 100 {
		addr := fmt.Sprintf("127.%d.%d.%d:1883", 18+i, os.Getpid()>>8&0xff, os.Getpid()&0xff|1)
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
	t.Fatal("no loopback address has a free port 1883")
	return ""
}
