package main

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/internal/password"
)

// typed is a command that somebody typed. It runs in the test's own process.
type typed struct {
	t         testing.TB
	args      []string
	out, err  words
	done      chan struct{}
	exit      int // once done is closed
	inputText string
}

// words are what a command has written so far.
type words struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// typeIn begins a command for the site's broker.
func (s *site) typeIn(input string, args ...string) *typed {
	c := &typed{t: s.t, args: args, done: make(chan struct{}), inputText: input}
	go func() {
		defer close(c.done)
		c.exit = run(append(args, "--run-dir", s.path("run")), strings.NewReader(input), &c.out, &c.err)
	}()
	return c
}

// wait waits until the command is over, and returns its exit status.
func (c *typed) wait() int {
	c.t.Helper()
	select {
	case <-c.done:
		return c.exit
	case <-time.After(patience):
		c.t.Fatalf("%q goes on:\n%s\n%s", c.args, &c.out, &c.err)
		return 0
	}
}

// waitErr waits until the command has written a text to standard error.
func (c *typed) waitErr(text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	for !strings.Contains(c.err.String(), text) {
		select {
		case <-c.done:
			c.t.Fatalf("%q ended with %d:\n%s\n%s", c.args, c.exit, &c.out, &c.err)
		case <-ctx.Done():
			c.t.Fatalf("%q did not say %q:\n%s", c.args, text, &c.err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// does runs a command to its end, which has to be a good one, and returns what
// it printed.
func (s *site) does(args ...string) string {
	s.t.Helper()
	c := s.typeIn("", args...)
	if c.wait() != 0 {
		s.t.Fatalf("%q ended with %d: %s", args, c.exit, &c.err)
	}
	return c.out.String()
}

// refusesTo runs a command that has to fail, and returns what it said.
func (s *site) refusesTo(args ...string) string {
	s.t.Helper()
	c := s.typeIn("", args...)
	if c.wait() == 0 {
		s.t.Fatalf("%q succeeded: %s", args, &c.out)
	}
	return c.err.String()
}

// alice writes a users file with one user, whose password is "secret".
func (s *site) alice() {
	s.t.Helper()
	hash, err := password.Hash([]byte("secret"), password.Params{Memory: 8, Time: 1, Threads: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("users.yaml", "anonymous:\n  allow: {both: '#'}\nusers:\n  - name: alice\n    password: '"+hash+"'\n    allow: {both: 'stamp/#'}\n")
}
