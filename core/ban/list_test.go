package ban

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCanonical(t *testing.T) {
	for _, c := range []struct {
		kind        Kind
		value, want string // "" for an error
	}{
		{ClientID, "sensor-1", "sensor-1"},
		{ClientID, "", ""},
		{ClientID, strings.Repeat("x", 65536), ""},
		{Username, "müller", "müller"},
		{Username, "a\x00b", ""},
		{Username, "\xff", ""},
		{Address, "192.0.2.7", "192.0.2.7"},
		{Address, "192.0.2.7/32", "192.0.2.7"},
		{Address, "192.0.2.7/24", "192.0.2.0/24"},
		{Address, "::ffff:192.0.2.7", "192.0.2.7"},
		{Address, "::ffff:192.0.2.7/120", "192.0.2.0/24"},
		{Address, "2001:DB8::1", "2001:db8::1"},
		{Address, "fe80::1%eth0", "fe80::1"},
		{Address, "2001:db8:0:1::7/64", "2001:db8:0:1::/64"},
		{Address, "0.0.0.0/0", ""},
		{Address, "::/0", ""},
		{Address, "example.org", ""},
		{Address, "192.0.2.7/33", ""},
		{"topic", "a", ""},
	} {
		got, err := Ban{Kind: c.kind, Value: c.value}.Canonical()
		if c.want == "" {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%s %.20q: %v", c.kind, c.value, err)
			}
		} else if err != nil || got.Value != c.want {
			t.Errorf("%s %q is %q, %v; want %q", c.kind, c.value, got.Value, err, c.want)
		}
	}
}

func TestAddresses(t *testing.T) {
	var l List
	for _, v := range []string{"192.0.2.7", "192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32"} {
		if _, err := l.Ban(Ban{Kind: Address, Value: v}); err != nil {
			t.Fatal(err)
		}
	}
	for addr, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "192.0.2.8": "192.0.2.0/24", "192.0.3.8": "", "10.255.0.1": "10.0.0.0/8",
		"::ffff:10.0.0.1": "10.0.0.0/8", "2001:db8:ffff::1%eth0": "2001:db8::/32", "2001:db9::1": "", "::1": "",
	} {
		got, ok := l.Address(netip.MustParseAddr(addr))
		if got.Value != want || ok != (want != "") {
			t.Errorf("%s is under %q, %v; want %q", addr, got.Value, ok, want)
		}
	}
	if _, ok := l.Address(netip.Addr{}); ok {
		t.Error("the address of a Unix socket is banned")
	}
	if had, err := l.Unban(Address, "192.0.2.99/24"); !had || err != nil {
		t.Errorf("unban: %v, %v", had, err)
	}
	if _, ok := l.Address(netip.MustParseAddr("192.0.2.8")); ok {
		t.Error("still banned")
	}
	if _, ok := l.Address(netip.MustParseAddr("192.0.2.7")); !ok {
		t.Error("the other ban went too")
	}
}

func TestNamesAreKeptApart(t *testing.T) {
	var l List
	if _, err := l.Ban(Ban{Kind: Username, Value: "bob"}); err != nil {
		t.Fatal(err)
	}
	if _, ok := l.Name(ClientID, "bob"); ok {
		t.Error("a user's ban holds for a client identifier")
	}
	if _, ok := l.Name(Username, "bob"); !ok {
		t.Error("not banned")
	}
	if had, err := l.Unban(Username, "alice"); had || err != nil {
		t.Errorf("unban of nobody: %v, %v", had, err)
	}
}

func TestBansEnd(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l, err := Open(Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	until := now.Add(time.Hour)
	for _, b := range []Ban{
		{Kind: ClientID, Value: "c", Until: until},
		{Kind: Address, Value: "192.0.2.0/24", Until: until},
		{Kind: Address, Value: "192.0.0.0/16"},
	} {
		if _, err := l.Ban(b); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(l.List()); got != 3 {
		t.Errorf("%d bans", got)
	}
	now = until
	if _, ok := l.Name(ClientID, "c"); ok {
		t.Error("the ban outlasts its time")
	}
	if b, ok := l.Address(netip.MustParseAddr("192.0.2.1")); !ok || b.Value != "192.0.0.0/16" {
		t.Errorf("the wider ban does not show behind the ended one: %v, %v", b, ok)
	}
	if got := len(l.List()); got != 1 {
		t.Errorf("%d bans", got)
	}
	if had, _ := l.Unban(ClientID, "c"); had {
		t.Error("an ended ban was ended again")
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bans.json")
	open := func() *List {
		t.Helper()
		l, err := Open(Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := open()
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := []Ban{
		{Kind: Address, Value: "2001:db8::/32", Reason: "scans", Since: since},
		{Kind: ClientID, Value: "c", By: "admin", Since: since, Until: time.Now().Add(time.Hour).UTC().Round(0)},
	}
	for _, b := range append(want, Ban{Kind: ClientID, Value: "flaps", Transient: true}, Ban{Kind: Username, Value: "gone"}) {
		if _, err := l.Ban(b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Unban(Username, "gone"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, open().List()); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestFileThatIsNone(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		fails bool
		moved bool
		bans  int
	}{
		"torn":          {`{"version": 1, "bans": [{"kind": "client`, false, true, 0},
		"empty":         {``, false, true, 0},
		"newer":         {`{"version": 2, "bans": {}}`, true, false, 0},
		"newer alike":   {`{"version": 2, "bans": []}`, true, false, 0},
		"a wrong entry": {`{"version": 1, "bans": [{"kind": "x", "value": "y"}, {"kind": "username", "value": "z"}]}`, false, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bans.json")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := Open(Options{Path: path, Logger: slog.New(slog.DiscardHandler)})
			if (err != nil) != c.fails {
				t.Fatalf("open: %v", err)
			}
			if err == nil && len(l.List()) != c.bans {
				t.Errorf("%v", l.List())
			}
			if _, err := os.Stat(path + ".corrupt"); (err == nil) != c.moved {
				t.Errorf("moved aside: %v", err)
			}
		})
	}
}

func TestFileCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	l, err := Open(Options{Path: filepath.Join(dir, "bans.json")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.Ban(Ban{Kind: ClientID, Value: "c"})
	if !errors.Is(err, ErrNotKept) {
		t.Errorf("%v", err)
	}
	if _, ok := l.Name(ClientID, "c"); !ok {
		t.Error("not in force")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Ban(Ban{Kind: ClientID, Value: "d"}); err != nil {
		t.Error(err)
	}
	if l, err = Open(Options{Path: l.path}); err != nil || len(l.List()) != 2 {
		t.Errorf("the file has not caught up: %v, %v", l.List(), err)
	}
}

// What the broker bans by itself leaves room for what people ban, and does not
// change it.
func TestTransient(t *testing.T) {
	now := time.Now()
	l, err := Open(Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	until := now.Add(time.Minute)
	for i := range MaxEntries / 2 {
		if _, err := l.Ban(Ban{Kind: ClientID, Value: fmt.Sprint(i), Transient: true, Until: until}); err != nil {
			t.Fatal(i, err)
		}
	}
	if _, err := l.Ban(Ban{Kind: ClientID, Value: "x", Transient: true, Until: until}); !errors.Is(err, ErrFull) {
		t.Errorf("%v", err)
	}
	if _, err := l.Ban(Ban{Kind: ClientID, Value: "x"}); err != nil {
		t.Error(err)
	}
	if b, err := l.Ban(Ban{Kind: ClientID, Value: "x", Transient: true, Until: until}); err != nil || !b.Until.IsZero() {
		t.Errorf("a ban for ever was shortened: %v, %v", b, err)
	}
	now = until
	if _, err := l.Ban(Ban{Kind: ClientID, Value: "y", Transient: true, Until: now.Add(time.Minute)}); err != nil {
		t.Errorf("ended bans still take room: %v", err)
	}
}

func TestConcurrent(t *testing.T) {
	l, err := Open(Options{Path: filepath.Join(t.TempDir(), "bans.json")})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 5 {
				if _, err := l.Ban(Ban{Kind: Address, Value: fmt.Sprintf("192.0.2.%d", 10*i+j)}); err != nil {
					t.Error(err)
				}
				l.Address(netip.MustParseAddr("192.0.2.1"))
				l.Name(ClientID, "c")
				l.List()
			}
			if _, err := l.Unban(Address, fmt.Sprintf("192.0.2.%d", 10*i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	again, err := Open(Options{Path: l.path})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l.List(), again.List()); diff != "" || len(l.List()) != 16 {
		t.Errorf("%d bans: %s", len(l.List()), diff)
	}
}
