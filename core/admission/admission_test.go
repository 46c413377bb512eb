package admission

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// In any interval a bucket lets no more through than its burst and what the rate
// gives, and no less than the rate to who asks often enough.
func TestBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{PerSecond: rapid.Float64Range(0.5, 500).Draw(t, "rate"), Burst: rapid.IntRange(1, 20).Draw(t, "burst")}
		now := time.Now()
		start := now
		var b bucket
		taken := 0
		for range 200 {
			now = now.Add(time.Duration(rapid.IntRange(0, 50).Draw(t, "ms")) * time.Millisecond)
			if b.take(r, now) {
				taken++
			}
			most := float64(r.Burst) + now.Sub(start).Seconds()*r.PerSecond + 1
			if float64(taken) > most {
				t.Fatalf("%d in %v, at most %g", taken, now.Sub(start), most)
			}
		}
		if least := min(float64(r.Burst), 200); float64(taken) < least {
			t.Fatalf("%d, at least %g", taken, least)
		}
	})
}

func TestBucketDefaultBurst(t *testing.T) {
	for _, c := range []struct {
		rate float64
		want int
	}{{0.1, 10}, {10, 10}, {250, 250}} {
		var b bucket
		now, n := time.Now(), 0
		for b.take(Rate{PerSecond: c.rate}, now) {
			n++
		}
		if n != c.want {
			t.Errorf("%d at once at %g a second, want %d", n, c.rate, c.want)
		}
		if b.take(Rate{PerSecond: c.rate}, now.Add(time.Duration(float64(time.Second)/c.rate)*9/10)) {
			t.Error("one more before its time")
		}
		if !b.take(Rate{PerSecond: c.rate}, now.Add(time.Duration(float64(time.Second)/c.rate))) {
			t.Error("none when its time has come")
		}
	}
}

var (
	alice = netip.MustParseAddr("192.0.2.1")
	bob   = netip.MustParseAddr("192.0.2.2")
)

func TestDoor(t *testing.T) {
	now := time.Now()
	d := NewDoor(Limits{
		Rate: Rate{PerSecond: 1, Burst: 5}, AddressRate: Rate{PerSecond: 1, Burst: 2}, AddressConnections: 3,
		Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	})
	enter := func(a netip.Addr, want Verdict) {
		t.Helper()
		if got := d.Enter(a, now); got != want {
			t.Errorf("%v: %d, want %d", a, got, want)
		}
	}
	enter(alice, Welcome)
	enter(alice, Welcome)
	enter(alice, AddressTooFast)
	enter(netip.MustParseAddr("::ffff:192.0.2.1"), AddressTooFast) // the same
	enter(bob, Welcome)
	now = now.Add(time.Second)
	enter(alice, Welcome)
	now = now.Add(time.Second)
	enter(alice, AddressTooMany)
	d.Leave(alice)
	enter(alice, Welcome)
	gateway := netip.MustParseAddr("10.1.2.3")
	for range 2 {
		enter(gateway, Welcome)
	}
	enter(netip.Addr{}, TooFast) // a Unix socket is bounded by what all are
	enter(gateway, TooFast)
	if n := d.Open(gateway); n != 2 {
		t.Errorf("%d open", n)
	}
	d.SetLimits(Limits{AddressConnections: 2})
	enter(netip.Addr{}, Welcome)
	enter(gateway, AddressTooMany) // it is exempt no longer, and was counted
}

// A subscriber has at least a /64.
func TestDoorIPv6(t *testing.T) {
	d := NewDoor(Limits{AddressConnections: 2})
	for i, want := range []Verdict{Welcome, Welcome, AddressTooMany} {
		if got := d.Enter(netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", i)), time.Now()); got != want {
			t.Errorf("%d: %d, want %d", i, got, want)
		}
	}
	if got := d.Enter(netip.MustParseAddr("2001:db8:0:1::1"), time.Now()); got != Welcome {
		t.Errorf("another network: %d", got)
	}
}

// However many strangers come, the door remembers only so many; who is inside is
// not forgotten.
func TestDoorMemory(t *testing.T) {
	now := time.Now()
	d := NewDoor(Limits{AddressRate: Rate{PerSecond: 0.001, Burst: 1}, AddressConnections: 1})
	d.most = 100
	d.Enter(alice, now)
	for i := range 10_000 {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		if got := d.Enter(a, now); got != Welcome {
			t.Fatalf("%v: %d", a, got)
		}
		d.Leave(a)
		if len(d.addresses) > 101 {
			t.Fatalf("%d addresses are remembered", len(d.addresses))
		}
		now = now.Add(time.Millisecond)
	}
	if got := d.Enter(alice, now); got != AddressTooMany {
		t.Errorf("who is inside was forgotten: %d", got)
	}
}

// What nothing is known of any more takes no memory.
func TestDoorForgets(t *testing.T) {
	d := NewDoor(Limits{})
	for range 3 {
		d.Enter(alice, time.Now())
	}
	for range 3 {
		d.Leave(alice)
	}
	d.Leave(bob) // was never there
	if len(d.addresses) != 0 {
		t.Errorf("%d addresses", len(d.addresses))
	}
}

func TestTurnstile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ts Turnstile
		ts.SetLimit(2)
		ctx := t.Context()
		order := make(chan int, 10)
		for range 2 {
			if err := ts.Enter(ctx); err != nil {
				t.Fatal(err)
			}
		}
		leaving, leave := context.WithTimeout(ctx, time.Second)
		defer leave()
		for i, ctx := range []context.Context{ctx, leaving, ctx, ctx} {
			go func() {
				if err := ts.Enter(ctx); err != nil {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
					return
				}
				order <- i
			}()
			synctest.Wait()
		}
		if n := ts.Waiting(); n != 4 {
			t.Errorf("%d wait", n)
		}
		<-leaving.Done()
		synctest.Wait()
		ts.Leave()
		if got := <-order; got != 0 {
			t.Errorf("%d came first", got)
		}
		ts.Leave()
		if got := <-order; got != 2 {
			t.Errorf("%d came second", got)
		}
		synctest.Wait()
		if n := ts.Waiting(); n != 1 {
			t.Errorf("%d wait", n)
		}
		ts.SetLimit(3)
		if got := <-order; got != 3 {
			t.Errorf("%d came third", got)
		}
		ts.SetLimit(1)
		for range 2 {
			ts.Leave()
		}
		if err := ts.Enter(leaving); err == nil {
			t.Error("a second one is inside")
		}
		ts.Leave()
		if err := ts.Enter(ctx); err != nil {
			t.Error(err)
		}
	})
}

// Turns that come while their owner gives up are not lost.
func TestTurnstileRace(t *testing.T) {
	var ts Turnstile
	ts.SetLimit(1)
	var wg sync.WaitGroup
	var inside, most int
	var mu sync.Mutex
	for i := range 200 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%5)*50*time.Microsecond)
			defer cancel()
			if ts.Enter(ctx) != nil {
				return
			}
			mu.Lock()
			inside++
			most = max(most, inside)
			inside--
			mu.Unlock()
			ts.Leave()
		})
	}
	wg.Wait()
	if err := ts.Enter(context.Background()); err != nil || most > 1 || ts.Waiting() != 0 {
		t.Errorf("%v, %d inside at once, %d wait", err, most, ts.Waiting())
	}
}

func TestRepetition(t *testing.T) {
	now := time.Now()
	r := NewRepetition(Repeats{Times: 3, Within: time.Minute})
	happens := func(name string, want bool) {
		t.Helper()
		if got := r.Happened(name, now); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for range 3 {
		happens("a", false)
	}
	happens("b", false)
	happens("a", true)
	happens("a", false) // it begins anew
	for range 10 {
		now = now.Add(21 * time.Second)
		happens("c", false) // slowly enough
	}
	r.SetLimit(Repeats{})
	for range 10 {
		happens("b", false)
	}
	if len(r.names) != 0 {
		t.Errorf("%d names are remembered for nothing", len(r.names))
	}
}

func TestRepetitionMemory(t *testing.T) {
	now := time.Now()
	r := NewRepetition(Repeats{Times: 1, Within: time.Minute})
	r.most = 10
	for i := range 1000 {
		r.Happened(fmt.Sprint(i), now)
	}
	if len(r.names) > 10 {
		t.Errorf("%d names", len(r.names))
	}
	now = now.Add(time.Minute)
	if r.Happened("x", now) || !r.Happened("x", now) {
		t.Error("old names keep new ones from being counted")
	}
}
