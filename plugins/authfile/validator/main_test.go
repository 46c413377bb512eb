package validator

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehouse-mqtt/gatehouse/internal/password"
	"github.com/gatehouse-mqtt/gatehouse/plugins/authfile/users"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hashOf hashes a password as cheaply as can be.
func hashOf(tb testing.TB, secret string) string {
	tb.Helper()
	stored, err := password.Hash([]byte(secret), password.Params{Memory: 32, Time: 1, Threads: 1})
	if err != nil {
		tb.Fatal(err)
	}
	return stored
}

// usersFile is a file with one user for each name; the password is the name
// with "-pw" behind.
func usersFile(tb testing.TB, names ...string) string {
	tb.Helper()
	var b strings.Builder
	b.WriteString("users:\n")
	for _, name := range names {
		fmt.Fprintf(&b, "  - name: %s\n    password: %s\n    allow: {both: \"%s/#\"}\n", name, hashOf(tb, name+"-pw"), name)
	}
	return b.String()
}

func parse(tb testing.TB, file string) *users.Set {
	tb.Helper()
	set, err := users.Parse("users.yaml", []byte(file))
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

func write(tb testing.TB, path, content string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// logbook is a log that tests wait for.
type logbook struct {
	lines chan string
}

func newLogbook() *logbook { return &logbook{lines: make(chan string, 1000)} }

func (l *logbook) logger() *slog.Logger { return slog.New(l) }

func (l *logbook) Enabled(context.Context, slog.Level) bool { return true }

func (l *logbook) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Level.String() + " " + r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%q", a.Key, a.Value.String())
		return true
	})
	l.lines <- b.String()
	return nil
}

func (l *logbook) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *logbook) WithGroup(string) slog.Handler      { return l }

// await returns the next line that contains text.
func (l *logbook) await(tb testing.TB, text string) string {
	tb.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case line := <-l.lines:
			if strings.Contains(line, text) {
				return line
			}
		case <-deadline:
			tb.Fatalf("nothing in the log contains %q", text)
		}
	}
}

// drain returns the lines that were written up to now.
func (l *logbook) drain() []string {
	var lines []string
	for {
		select {
		case line := <-l.lines:
			lines = append(lines, line)
		default:
			return lines
		}
	}
}

func replaceAll(s string, values map[string]string) string {
	for from, to := range values {
		s = strings.ReplaceAll(s, from, to)
	}
	return s
}
