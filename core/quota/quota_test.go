package quota_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/quota"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const none = quota.Unlimited

// clock is one that tests set.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func open(t *testing.T, o quota.Options) *quota.Ledger {
	t.Helper()
	l, err := quota.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func meter(t *testing.T, l *quota.Ledger, g quota.Grant) *quota.Meter {
	t.Helper()
	m, err := l.Open(g)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func byDay(bytes uint64) quota.Grant {
	return quota.Grant{
		Account: "a", Day: quota.Amount{Bytes: bytes, Messages: none}, Month: quota.Amount{Bytes: none, Messages: none},
	}
}

func wants(t *testing.T, m interface{ Take(time.Time, int) bool }, at time.Time, bytes int, want bool) {
	t.Helper()
	if got := m.Take(at, bytes); got != want {
		t.Errorf("taking %d bytes at %v: %v, want %v", bytes, at, got, want)
	}
}

func date(y int, m time.Month, d, hour, minute int) time.Time {
	return time.Date(y, m, d, hour, minute, 0, 0, time.UTC)
}

func TestLimits(t *testing.T) {
	t.Parallel()
	now := date(2026, 3, 31, 12, 0)
	for _, c := range []struct {
		name       string
		day, month quota.Amount
		takes      []int
		want       string // one letter for each: y or n
	}{
		{"bytes by day", quota.Amount{Bytes: 100, Messages: none}, quota.Amount{Bytes: none, Messages: none}, []int{60, 60, 40, 1, 0}, "ynyny"},
		{"messages by day", quota.Amount{Bytes: none, Messages: 2}, quota.Amount{Bytes: none, Messages: none}, []int{1, 1, 1}, "yyn"},
		{"bytes by month", quota.Amount{Bytes: none, Messages: none}, quota.Amount{Bytes: 10, Messages: none}, []int{11, 10, 1}, "nyn"},
		{"messages by month", quota.Amount{Bytes: none, Messages: none}, quota.Amount{Bytes: none, Messages: 1}, []int{5, 5}, "yn"},
		{"the smaller one", quota.Amount{Bytes: 10, Messages: none}, quota.Amount{Bytes: 20, Messages: none}, []int{15, 10}, "ny"},
		{"nothing", quota.Amount{}, quota.Amount{Bytes: none, Messages: none}, []int{0}, "n"},
		{"anything", quota.Amount{Bytes: none, Messages: none}, quota.Amount{Bytes: none, Messages: none}, []int{1 << 40, 1 << 40}, "yy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := meter(t, open(t, quota.Options{}), quota.Grant{Account: "a", Day: c.day, Month: c.month})
			for i, n := range c.takes {
				wants(t, m, now, n, c.want[i] == 'y')
			}
		})
	}
}

func TestPeriods(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	santiago, err := time.LoadLocation("America/Santiago") // its clocks change at midnight
	if err != nil {
		t.Fatal(err)
	}
	type step struct {
		at   time.Time
		want bool
	}
	for _, c := range []struct {
		name  string
		month bool // else by day
		zone  *time.Location
		steps []step
	}{
		{"days end at midnight", false, nil, []step{{date(2026, 1, 1, 23, 59), true}, {date(2026, 1, 1, 23, 59), false}, {date(2026, 1, 2, 0, 0), true}, {date(2026, 1, 2, 23, 0), false}}},
		{"midnight is that of the zone", false, berlin, []step{{date(2026, 1, 1, 22, 59), true}, {date(2026, 1, 1, 22, 59), false}, {date(2026, 1, 1, 23, 0), true}, {date(2026, 1, 2, 22, 59), false}}},
		{"in summer too", false, berlin, []step{{date(2026, 7, 1, 21, 59), true}, {date(2026, 7, 1, 22, 0), true}, {date(2026, 7, 2, 21, 59), false}}},
		{"a day of 23 hours", false, berlin, []step{{date(2026, 3, 28, 23, 0), true}, {date(2026, 3, 29, 21, 59), false}, {date(2026, 3, 29, 22, 0), true}}},
		{"a day without midnight", false, santiago, []step{{date(2026, 9, 6, 3, 59), true}, {date(2026, 9, 6, 4, 0), true}, {date(2026, 9, 6, 5, 0), false}, {date(2026, 9, 7, 2, 59), false}, {date(2026, 9, 7, 3, 0), true}}},
		{"months end on their last day", true, nil, []step{{date(2026, 1, 1, 0, 0), true}, {date(2026, 1, 31, 23, 59), false}, {date(2026, 2, 1, 0, 0), true}, {date(2026, 2, 28, 23, 59), false}, {date(2026, 3, 1, 0, 0), true}}},
		{"a month of the zone", true, berlin, []step{{date(2026, 1, 31, 22, 59), true}, {date(2026, 1, 31, 23, 0), true}, {date(2026, 2, 1, 12, 0), false}}},
		{"the year ends", true, nil, []step{{date(2026, 12, 31, 23, 59), true}, {date(2027, 1, 1, 0, 0), true}}},
		{"a clock that is put back over midnight gives nothing twice", false, nil, []step{{date(2026, 1, 1, 23, 59), true}, {date(2026, 1, 2, 0, 0), true}, {date(2026, 1, 1, 23, 59), false}, {date(2026, 1, 2, 0, 0), false}, {date(2026, 1, 3, 0, 0), true}}},
		{"a clock that was far ahead takes nothing away for long", false, nil, []step{{date(2036, 1, 1, 0, 0), true}, {date(2026, 1, 1, 0, 0), false}, {date(2026, 1, 1, 23, 59), false}, {date(2026, 1, 2, 0, 0), true}}},
		{"a month that was far ahead", true, nil, []step{{date(2036, 1, 1, 0, 0), true}, {date(2026, 1, 1, 0, 0), false}, {date(2026, 2, 1, 0, 0), true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			once, all := quota.Amount{Bytes: none, Messages: 1}, quota.Amount{Bytes: none, Messages: none}
			g := quota.Grant{Account: "a", Zone: c.zone, Day: once, Month: all}
			if c.month {
				g.Day, g.Month = all, once
			}
			m := meter(t, open(t, quota.Options{}), g)
			for _, s := range c.steps {
				wants(t, m, s.at, 1, s.want)
			}
		})
	}
}

func TestMetersShareAnAccount(t *testing.T) {
	t.Parallel()
	l := open(t, quota.Options{})
	now := date(2026, 1, 1, 0, 0)
	const each, takers = 1000, 8
	var taken [takers]int
	var wg sync.WaitGroup
	for i := range takers {
		m := meter(t, l, byDay(each*takers/2))
		wg.Go(func() {
			for range each {
				if m.Take(now, 1) {
					taken[i]++
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range taken {
		sum += n
	}
	if sum != each*takers/2 {
		t.Errorf("%d were taken, want %d", sum, each*takers/2)
	}
}

// TestAllOrNone is about several meters on one message: what one of them refuses
// is not counted by the others.
func TestAllOrNone(t *testing.T) {
	t.Parallel()
	c := clock{date(2026, 1, 1, 0, 0)}
	l := open(t, quota.Options{Now: c.now})
	wide, narrow := byDay(100), byDay(5)
	narrow.Account = "b"
	ms := quota.Meters{meter(t, l, wide), meter(t, l, narrow)}
	wants(t, ms, c.at, 5, true)
	for range 50 {
		wants(t, ms, c.at, 5, false)
	}
	if u := l.List()[0]; u.Account != "a" || u.Day != (quota.Amount{Bytes: 5, Messages: 1}) {
		t.Errorf("used %+v", u)
	}
	wants(t, quota.Meters(nil), c.at, 1<<40, true)
}

func TestFile(t *testing.T) {
	t.Parallel()
	c := clock{date(2026, 1, 31, 12, 0)}
	path := filepath.Join(t.TempDir(), "quotas.json")
	var log bytes.Buffer
	o := quota.Options{Path: path, Now: c.now, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	grant := quota.Grant{Account: "a", Day: quota.Amount{Bytes: 100, Messages: none}, Month: quota.Amount{Bytes: 150, Messages: none}}
	l := open(t, o)
	m := meter(t, l, grant)
	wants(t, m, c.at, 95, true)
	if err := l.Save(); err != nil {
		t.Fatal(err)
	}

	l = open(t, o)
	m = meter(t, l, grant)
	wants(t, m, c.at, 6, false)
	wants(t, m, c.at, 5, true)
	if n := strings.Count(log.String(), "nearly used up"); n != 1 {
		t.Errorf("%d warnings before and after the restart, want one:\n%s", n, &log)
	}
	if err := l.Save(); err != nil {
		t.Fatal(err)
	}

	c.at = date(2026, 2, 1, 0, 0) // both are over
	l = open(t, o)
	m = meter(t, l, grant)
	wants(t, m, c.at, 100, true)
	want := []quota.Usage{{
		Account: "a", Zone: "UTC", Day: quota.Amount{Bytes: 100, Messages: 1}, Month: quota.Amount{Bytes: 100, Messages: 1},
		DayLimit: grant.Day, MonthLimit: grant.Month,
	}}
	if diff := cmp.Diff(want, l.List()); diff != "" {
		t.Error(diff)
	}
}

// TestSweep is about accounts that nothing is to be remembered of, and their
// meters, which go on.
func TestSweep(t *testing.T) {
	t.Parallel()
	c := clock{date(2026, 1, 1, 0, 0)}
	path := filepath.Join(t.TempDir(), "quotas.json")
	l := open(t, quota.Options{Path: path, Now: c.now})
	first, second := meter(t, l, byDay(10)), meter(t, l, byDay(10))
	wants(t, first, c.at, 10, true)
	c.at = date(2026, 2, 1, 0, 0)
	if err := l.Save(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), `"a"`) {
		t.Errorf("%v, the file has\n%s", err, text)
	}
	wants(t, first, c.at, 6, true)
	wants(t, second, c.at, 6, false) // they share an account again
}

func TestReset(t *testing.T) {
	t.Parallel()
	c := clock{date(2026, 1, 1, 0, 0)}
	l := open(t, quota.Options{Now: c.now})
	m := meter(t, l, byDay(10))
	wants(t, m, c.at, 10, true)
	wants(t, m, c.at, 1, false)
	if known, err := l.Reset("a"); !known || err != nil {
		t.Fatal(known, err)
	}
	wants(t, m, c.at, 10, true)
	if known, _ := l.Reset("b"); known {
		t.Error("an account that there is not was reset")
	}
}

// TestTold is about what is logged: once for each period, whatever comes.
func TestTold(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	l := open(t, quota.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	m := meter(t, l, byDay(100))
	expect := func(nearly, used int) {
		t.Helper()
		if a, b := strings.Count(log.String(), "nearly used up"), strings.Count(log.String(), "is used up"); a != nearly || b != used {
			t.Errorf("%d and %d lines, want %d and %d:\n%s", a, b, nearly, used, &log)
		}
	}
	day := date(2026, 1, 1, 0, 0)
	m.Take(day, 89)
	expect(0, 0)
	m.Take(day, 1)
	expect(1, 0)
	m.Take(day, 1)
	expect(1, 0)
	for range 10 {
		m.Take(day, 50)
	}
	expect(1, 1)
	m.Take(day, 9)
	expect(1, 1)
	next := day.AddDate(0, 0, 1)
	m.Take(next, 200) // larger than all that there is
	expect(1, 2)
	m.Take(next, 95)
	expect(2, 2)
}

func TestUnusableFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"no JSON":     {"{", ""},
		"a wrong day": {`{"version":1,"accounts":[{"account":"a","day":{"is":"2026-13-01"},"month":{"is":"2026-01"}}]}`, ""},
		"empty":       {"", ""},
		"newer":       {`{"version":2,"accounts":7}`, "written by a newer broker"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "quotas.json")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := quota.Open(quota.Options{Path: path})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("opening: %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if kept, err := os.ReadFile(path + ".corrupt"); err != nil || string(kept) != c.text {
				t.Errorf("what could not be read was not kept: %q, %v", kept, err)
			}
		})
	}
}

// TestRun is about how often the file is written.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "quotas.json")
		l := open(t, quota.Options{Path: path})
		m := meter(t, l, byDay(none))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		written := func() string {
			text, err := os.ReadFile(path)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			return string(text)
		}
		m.Take(time.Now(), 7)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if s := written(); s != "" {
			t.Errorf("written at once:\n%s", s)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s := written(); !strings.Contains(s, `"bytes": 7`) {
			t.Errorf("after 6 s the file has %q", s)
		}
		m.Take(time.Now(), 1)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if s := written(); !strings.Contains(s, `"bytes": 8`) {
			t.Errorf("at the end the file has %q", s)
		}
	})
}

// TestModel holds a ledger against sums: whatever is taken when, saved and opened
// anew, no day and no month has more than its limit, and nothing is refused that
// fits.
func TestModel(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		c := clock{date(2026, 1, 30, 0, 0)}
		o := quota.Options{Path: filepath.Join(dir, fmt.Sprint(runs)), Now: c.now}
		g := quota.Grant{
			Account: "a",
			Day:     quota.Amount{Bytes: rapid.Uint64Range(0, 200).Draw(t, "day"), Messages: none},
			Month:   quota.Amount{Bytes: rapid.Uint64Range(0, 400).Draw(t, "month"), Messages: none},
		}
		l, err := quota.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		m, err := l.Open(g)
		if err != nil {
			t.Fatal(err)
		}
		used := map[string]uint64{}
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				n := rapid.IntRange(0, 90).Draw(t, "bytes")
				day, month := c.at.Format("2006-01-02"), c.at.Format("2006-01")
				want := used[day]+uint64(n) <= g.Day.Bytes && used[month]+uint64(n) <= g.Month.Bytes
				if got := m.Take(c.at, n); got != want {
					t.Fatalf("taking %d with %d and %d used: %v", n, used[day], used[month], got)
				} else if got {
					used[day] += uint64(n)
					used[month] += uint64(n)
				}
			},
			"wait": func(t *rapid.T) {
				c.at = c.at.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "hours")) * time.Hour)
			},
			"restart": func(t *rapid.T) {
				if err := l.Save(); err != nil {
					t.Fatal(err)
				}
				if l, err = quota.Open(o); err != nil {
					t.Fatal(err)
				}
				if m, err = l.Open(g); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
}

func TestTakeAllocatesNothing(t *testing.T) {
	l := open(t, quota.Options{})
	ms := quota.Meters{meter(t, l, byDay(1000))}
	now := date(2026, 1, 1, 0, 0)
	ms.Take(now, 1000)
	ms.Take(now, 1)
	if n := testing.AllocsPerRun(100, func() { ms.Take(now, 1) }); n != 0 {
		t.Errorf("a refusal allocates %v times", n)
	}
	now = now.AddDate(0, 0, 1)
	if n := testing.AllocsPerRun(100, func() { ms.Take(now, 1) }); n != 0 {
		t.Errorf("taking allocates %v times", n)
	}
}

func BenchmarkTake(b *testing.B) {
	l, err := quota.Open(quota.Options{})
	if err != nil {
		b.Fatal(err)
	}
	m, err := l.Open(byDay(none))
	if err != nil {
		b.Fatal(err)
	}
	now := date(2026, 1, 1, 0, 0)
	b.ReportAllocs()
	for b.Loop() {
		m.Take(now, 100)
	}
}
