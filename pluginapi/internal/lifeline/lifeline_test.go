//go:build unix

package lifeline_test

import (
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi/internal/lifeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipe returns the write end of a pipe and the number of its read end, which
// belongs to nobody, as in a new process.
func pipe(t *testing.T) (w *os.File, fd string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	n, err := syscall.Dup(int(r.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	t.Cleanup(func() { _ = w.Close() })
	return w, strconv.Itoa(n)
}

func TestEndOfThePipe(t *testing.T) {
	w, fd := pipe(t)
	got := make(chan string, 1)
	go func() {
		got <- lifeline.Watch(t.Context(), fd, os.Getppid(), func(err error) { t.Error(err) })
	}()
	if _, err := w.WriteString("noise is not the end"); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	if why := <-got; !strings.Contains(why, "lifeline") {
		t.Errorf("Watch = %q, want the lifeline's end", why)
	}
}

func TestContext(t *testing.T) {
	_, fd := pipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if why := lifeline.Watch(ctx, fd, 0, func(err error) { t.Error(err) }); why != "" {
		t.Errorf("Watch = %q, want nothing", why)
	}
}

func TestAnotherParent(t *testing.T) {
	why := lifeline.Watch(t.Context(), "", os.Getppid()+1, func(err error) { t.Error(err) })
	if !strings.Contains(why, "no longer "+strconv.Itoa(os.Getppid()+1)) {
		t.Errorf("Watch = %q, want another parent", why)
	}
}

func TestBadNumber(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	for _, fd := range []string{"x", "1", "-1", "987654"} {
		var problem error
		if why := lifeline.Watch(ctx, fd, 0, func(err error) { problem = err }); why != "" || problem == nil {
			t.Errorf("Watch with %q = %q, problem %v; want a problem and no end", fd, why, problem)
		}
	}
}
