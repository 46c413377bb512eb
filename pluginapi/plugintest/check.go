package plugintest

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/conformance"
)

// checkSettings are what options set for [Check].
type checkSettings struct {
	only               []string
	clientID           string
	username, password string
	topics             int
	callTimeout        time.Duration
	stopTimeout        time.Duration
}

// KnownUser tells [Check] of a client that the plugin lets in, so that it can try
// everything that is almost the password.
func KnownUser(clientID, username, password string) Option {
	return func(s *settings) { s.check.clientID, s.check.username, s.check.password = clientID, username, password }
}

// Only has [Check] run the cases of these names alone, with the wildcards of
// path.Match: "store/*".
func Only(cases ...string) Option {
	return func(s *settings) { s.check.only = append(s.check.only, cases...) }
}

// Topics sets how many topics [Check] has a store keep. Without it, 5,000.
func Topics(n int) Option { return func(s *settings) { s.check.topics = n } }

// Check runs the conformance cases of package conformance against the program at
// path, each as a subtest: what "broker plugin check" runs. Of the options those
// of a process count (Config, Env), KnownUser, Only and Topics.
//
//	func TestConformance(t *testing.T) {
//		plugintest.Check(t, plugintest.Install(t, t.TempDir(), "my-auth"), plugintest.Config(`{"url": "..."}`))
//	}
//
// The command sees more: only it has the broker's guard, and so can tell whether
// children of the plugin outlive it.
func Check(t *testing.T, path string, opts ...Option) {
	t.Helper()
	for _, r := range checkProgram(t, path, opts) {
		t.Run(r.Case, func(t *testing.T) {
			switch r.Status {
			case conformance.Failed:
				t.Errorf("expected: %s\nhappened: the plugin %s\nto do:    %s", r.Expected, r.Happened, r.Do)
			case conformance.Skipped:
				t.Log("not judged: " + r.Happened)
			}
		})
	}
}

// checkProgram returns the result of each case.
func checkProgram(t testing.TB, path string, opts []Option) []conformance.Result {
	t.Helper()
	s := apply(t, opts)
	config, err := encodeConfig(s.config)
	if err != nil {
		t.Fatal(err)
	}
	described := exec.Command(path, "describe")
	described.Env = append(described.Environ(), s.env...)
	text, err := described.Output()
	if err != nil {
		t.Fatalf("%s describe: %v", path, err)
	}
	manifest, err := pluginapi.ParseManifest(text)
	if err != nil {
		t.Fatalf("%s describe: %v", path, err)
	}
	var results []conformance.Result
	_, err = conformance.Run(t.Context(), conformance.Options{
		Launcher: launcher(path, &s), Manifest: manifest, Config: config, Only: s.check.only,
		ClientID: s.check.clientID, Username: s.check.username, Password: s.check.password, Topics: s.check.topics,
		CallTimeout: s.check.callTimeout, StopTimeout: s.check.stopTimeout,
		Report: func(r conformance.Result) { results = append(results, r) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// launcher starts processes for the conformance cases.
func launcher(path string, s *settings) conformance.Launcher {
	return conformance.LauncherFunc(func(_ context.Context, output *conformance.Output) (*conformance.Process, error) {
		greeted := false // only the reader of standard output looks at it
		p, err := launch(path, s, func(line []byte, stderr bool) {
			switch {
			case stderr:
				output.Line(line, conformance.Log)
			case greeted:
				output.Line(line, conformance.Stray)
			default:
				greeted = strings.Count(string(line), "|") >= 4
				output.Line(line, conformance.Early)
			}
		})
		if err != nil {
			return nil, err
		}
		terminate := func() { _ = p.Signal(syscall.SIGTERM) }
		if runtime.GOOS == "windows" { // which has no such signal
			terminate = nil
		}
		return &conformance.Process{
			Conn: p.conn, PID: p.PID(), Exited: p.exited, Exit: p.exit,
			Terminate: terminate, Kill: func() { _ = p.cmd.Process.Kill() }, Release: p.release,
		}, nil
	})
}

// exit says how the process ended, and whether all is well with that.
func (p *Process) exit() (what string, well bool) {
	all, _ := p.stderr.all()
	what = p.cmd.ProcessState.String()
	if n := len(all); n > 0 {
		what += fmt.Sprintf("; its last output was %q", all[max(0, n-3):])
	}
	return what, p.cmd.ProcessState.Success()
}
