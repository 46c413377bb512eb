package main

import (
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// completesInZsh presses the key in a zsh that runs in a terminal, with the script
// where zsh looks for it, and reads what the shell is offered.
func completesInZsh(t *testing.T, zsh string, s *site) {
	t.Helper()
	s.write("zsh/_broker", zshCompletion)
	screen, tty := terminalPair(t)
	cmd := exec.Command(zsh, "-f", "-i")
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.dir, tty, tty, tty
	cmd.Env = append(os.Environ(), "TERM=dumb")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said words
	go func() { _, _ = io.Copy(&said, screen) }() // ends when the terminal is closed
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	types := func(keys string) {
		t.Helper()
		if _, err := io.WriteString(screen, keys); err != nil {
			t.Fatal(err)
		}
	}
	offered := func(want ...string) {
		t.Helper()
		deadline := time.Now().Add(patience)
		for {
			got, _ := os.ReadFile(s.path("offered"))
			if slices.Equal(strings.Fields(string(got)), want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("offered %q, want %q\n%s", got, want, &said)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	types("PS1=; fpath=(" + s.path("zsh") + " $fpath); autoload -Uz compinit; compinit -u -d " + s.path("zdump") + "\n" +
		`compadd() { local -a hits; builtin compadd -A hits "$@"; print -rl -- $hits > offered; builtin compadd "$@" }` + "\n" +
		"print begun > offered\n")
	offered("begun")
	types("broker client get --run-dir " + s.path("run") + " lamp\t")
	offered("lamp-1", "lamp-2")
	types("\x15broker serve --log-level=w\t")
	offered("--log-level=warn")
	types("\x15broker serve --config gate\t")
	offered("gatehouse.yaml")
}
