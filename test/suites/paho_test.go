package suites

import (
	"bufio"
	"encoding/json"
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
	cmd := exec.Command("go", "test", "-json", "-count=1", "-timeout=5m",
		"-run", "^("+strings.Join(pahoTests, "|")+")$", pahoPackage)
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
		readPahoEvent(t, results, sc.Bytes())
	}
	err = cmd.Wait()
	for _, name := range pahoTests {
		t.Run(name, func(t *testing.T) {
			r := results[name]
			switch {
			case r.tooSlow(name):
				t.Logf("%+v", r)
				err = nil // it is why go test failed; all others are looked at here
			case r == nil || r.action != "pass":
				t.Errorf("%+v", r)
			}
		})
	}
	if err != nil {
		t.Errorf("go test: %v", err)
	}
}

// pahoRaces are tests that publish and disconnect at once, and want the
// publish not to be complete by then: with what they say if the broker was
// faster, which is no fault of it.
var pahoRaces = map[string]string{
	"Test_cleanUpMids_2": "token should have received an error on connection loss",
}

// tooSlow reports whether a test failed because it lost its race.
func (r *pahoResult) tooSlow(name string) bool {
	said, races := pahoRaces[name]
	return r != nil && r.action == "fail" && races && strings.Contains(r.output.String(), said)
}

// pahoResult is what go test says about one test.
type pahoResult struct {
	action string
	output strings.Builder
}

// String gives the last word and what was printed.
func (r *pahoResult) String() string {
	if r == nil {
		return "did not run"
	}
	return r.action + "\n" + r.output.String()
}

func readPahoEvent(t *testing.T, results map[string]*pahoResult, line []byte) {
	t.Helper()
	var e struct{ Action, Test, Output string }
	if err := json.Unmarshal(line, &e); err != nil {
		t.Logf("%s", line)
		return
	}
	if !slices.Contains(pahoTests, e.Test) {
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
