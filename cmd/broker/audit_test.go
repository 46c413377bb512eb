package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// Every change is written down with who made it, and no reading is.
func TestAudit(t *testing.T) {
	s := newSite(t, "log: {audit: audit.jsonl, level: warn}\n")
	p := s.start()
	b := brokertest.At(t, p.addr)
	b.Connect("c")
	s.does("retained", "list")
	s.does("log", "level", "info")
	s.refusesTo("plugin", "reload", "nobody")
	if err := os.Rename(s.path("audit.jsonl"), s.path("audit.1")); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	s.waitFile("audit.jsonl")
	s.does("log", "level", "debug", "--for", "1h")
	type line struct{ Msg, Call, Result, Request, By, Caller, Error string }
	read := func(name string) (lines []line) {
		for text := range bytes.Lines(s.read(name)) {
			var l line
			if err := json.Unmarshal(text, &l); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			lines = append(lines, l)
		}
		return lines
	}
	first := read("audit.1")
	if len(first) != 2 {
		t.Fatalf("%d lines: %+v", len(first), first)
	}
	if l := first[0]; l.Msg != "admin call" || l.Call != "/gatehouse.admin.v1.LogService/SetLogLevel" || l.Result != "ok" ||
		l.Request != `{"level":"info"}` || l.By != "unix" || !regexp.MustCompile(`^(uid=\d+( pid=\d+)?)?$`).MatchString(l.Caller) {
		t.Errorf("%+v", l)
	}
	if l := first[1]; l.Result != "not_found" || !strings.Contains(l.Error, "nobody") || l.Request != `{"name":"nobody"}` {
		t.Errorf("%+v", l)
	}
	if second := read("audit.jsonl"); len(second) != 1 || second[0].Request != `{"level":"debug","forSeconds":3600}` {
		t.Errorf("after it was moved: %+v", second)
	}
	if strings.Contains(p.log(), "admin call") {
		t.Error("it is in the log too")
	}
}

// Without a file of its own it is in the log.
func TestAuditInLog(t *testing.T) {
	s := newSite(t, "")
	p := s.start()
	s.does("log", "level", "info")
	p.waitLog(`msg="admin call" call=/gatehouse.admin.v1.LogService/SetLogLevel result=ok`)
}

func (s *site) waitFile(name string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(s.path(name)); err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("there is no %s", name)
		}
	}
}

// The level changes while the broker runs, and reading the configuration again
// puts things back.
func TestLogLevelCommand(t *testing.T) {
	s := newSite(t, "log: {level: warn}\n")
	p := s.start()
	if got := s.does("log", "level"); got != "warn\n" {
		t.Errorf("got %q", got)
	}
	brokertest.At(t, p.addr).Connect("unseen").Disconnect()
	if got := s.does("log", "level", "debug", "--for", "1h"); !regexp.MustCompile(`^debug; the configuration says warn, which holds again from \d\d:\d\d:\d\d\n$`).MatchString(got) {
		t.Errorf("got %q", got)
	}
	brokertest.At(t, p.addr).Connect("seen")
	p.waitLog(`msg="client connected" client=seen`)
	if strings.Contains(p.log(), "client=unseen") {
		t.Error("logged below the level")
	}
	if got := s.does("log", "level", "--json"); !strings.Contains(got, `"level":"debug","configured":"warn","until_unix_nanos":"`) {
		t.Errorf("got %q", got)
	}
	if got := s.does("log", "level", "configured"); got != "warn\n" {
		t.Errorf("got %q", got)
	}
	s.does("log", "level", "info")
	p.signal(syscall.SIGHUP)
	for deadline := time.Now().Add(patience); s.does("log", "level") != "warn\n"; {
		if time.Now().After(deadline) {
			t.Fatal("the level that was set outlives the reading of the configuration")
		}
	}
}

func TestLogLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, l := newLogger(new(bytes.Buffer), "text", "warn")
		set := func(level string, lasts time.Duration) {
			t.Helper()
			if err := l.SetLogLevel(level, lasts); err != nil {
				t.Fatal(err)
			}
		}
		want := func(level slog.Level) {
			t.Helper()
			if l.current() != level || !log.Enabled(t.Context(), level) || log.Enabled(t.Context(), level-1) {
				t.Errorf("the level is %v, want %v", l.current(), level)
			}
		}
		want(slog.LevelWarn)
		set("debug", time.Minute)
		time.Sleep(59 * time.Second)
		want(slog.LevelDebug)
		set("info", time.Minute) // the later one counts
		time.Sleep(59 * time.Second)
		want(slog.LevelInfo)
		time.Sleep(2 * time.Second)
		want(slog.LevelWarn)
		set("error", 0)
		time.Sleep(24 * time.Hour)
		want(slog.LevelError)
		l.configure("")
		want(slog.LevelInfo)
		set("debug", time.Minute)
		set("", 0)
		want(slog.LevelInfo)
		if err := l.SetLogLevel("loud", 0); err == nil {
			t.Error("loud is a level")
		}
	})
}
