//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/chaos/ledger"
)

// configuration is the broker's: an interceptor that changes every message, a
// store of retained messages, and queues that hold all of a run.
const configuration = `
sessions: {durability: %s, queue_messages: 100000000, queue_bytes: 64GiB, queue_memory: %s}
retained: {store: %s}
limits: {queue_messages: 100000000, queue_bytes: 64GiB}
metrics: {url: '%s'}
plugins:
  authfile: {enabled: false}
  retainnats: {enabled: false}
  script: {enabled: false}
  retainjson:
    config: {fsync: always}
  interceptlog:
    config:
      rules:
        - name: every message goes through a plugin
          match: {topic: chaos/#}
          actions:
            - add_user_property: {key: seen, value: "yes"}
`

// settle is how long everything that is owed may take to come once nothing is
// killed any more.
const settle = 2 * time.Minute

// run is one run.
type run struct {
	*options
	dir         string
	broker      *process
	book        *ledger.Ledger
	publishers  []*publisher
	subscribers []*subscriber
	random      *rand.Rand

	disk   *disk   // nil: it is as large as the machine's
	damage *damage // nil: none is done

	brokerKills, pluginKills, freezes, cuts int
	descriptors, goroutines                 int // of the broker when all are connected
	warm                                    int // its memory in the first tenth of the kills
}

func newRun(o *options, dir string) (*run, error) {
	p, err := newProcess(o, dir)
	if err != nil {
		return nil, err
	}
	var small *disk
	if o.full {
		if small, err = mountDisk(filepath.Join(dir, "data")); err != nil {
			return nil, err
		}
	}
	r := &run{
		options: o, dir: dir, broker: p, book: ledger.New(), disk: small,
		random: rand.New(rand.NewPCG(o.seed, o.seed)), //nolint:gosec // it has to be repeatable
	}
	if o.faults {
		if r.damage, err = newDamage(o, dir, r.random); err != nil {
			return nil, err
		}
		p.environ = r.damage.environ()
	}
	for i := range o.publishers {
		r.publishers = append(r.publishers, &publisher{
			link: r.link("p" + strconv.Itoa(i)), book: r.book,
			pause: time.Second * time.Duration(o.publishers) / time.Duration(o.rate),
		})
		r.publishers[i].clean = true
	}
	for i, s := range []struct {
		qos  mqtt.QoS
		away time.Duration
	}{
		{2, 0},
		{1, 0},
		{2, 3 * time.Second}, // messages wait for it
		{1, 3 * time.Second},
	} {
		r.subscribers = append(r.subscribers, &subscriber{link: r.link("s" + strconv.Itoa(i)), book: r.book, qos: s.qos, away: s.away})
	}
	return r, nil
}

func (r *run) link(id string) link {
	return link{id: id, addr: r.broker.addr, run: r.book.Run, found: func(present bool, run int) {
		if present {
			r.book.Present(id, run)
		} else {
			r.book.Vanished(id, run)
		}
	}}
}

// do makes the run and returns what is wrong.
func (r *run) do(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.within)
	defer cancel()
	if err := r.broker.start(ctx); err != nil {
		return err
	}
	defer r.broker.kill()
	if err := r.damage.possible(); err != nil {
		return err
	}
	for _, s := range r.subscribers {
		if err := s.subscribe(ctx); err != nil {
			return err
		}
	}
	stop, stopPublishing := context.WithCancel(ctx)
	defer stopPublishing()
	var publishing, receiving sync.WaitGroup
	failed := make(chan error, len(r.publishers))
	for _, p := range r.publishers {
		publishing.Go(func() { failed <- p.run(ctx, stop) })
	}
	reading, stopReading := context.WithCancel(ctx)
	for _, s := range r.subscribers {
		receiving.Go(func() { s.run(reading) })
	}
	defer receiving.Wait()
	defer stopReading()

	err := r.mayhem(ctx)
	if err == nil && r.soak > 0 {
		err = r.soaking(ctx)
	}
	if err != nil {
		cancel() // nobody is owed anything
	}
	stopPublishing()
	publishing.Wait()
	for range r.publishers {
		err = errors.Join(err, <-failed)
	}
	if err != nil {
		return err
	}
	r.await(ctx)
	stopReading()
	receiving.Wait()
	return r.judge(ctx)
}

// mayhem breaks one thing after the other.
func (r *run) mayhem(ctx context.Context) error {
	told := time.Now()
	for r.brokerKills < r.kills {
		if err := r.acked(ctx, r.between); err != nil {
			return err
		}
		if err := r.measure(ctx); err != nil {
			return err
		}
		for range r.random.IntN(3) {
			r.breakSomething()
		}
		if err := r.fillDisk(ctx); err != nil {
			return err
		}
		if err := r.killAndStart(ctx, r.damage.next()); err != nil {
			return err
		}
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			fmt.Printf("kills=%d acked=%d memory=%dMiB\n", r.brokerKills, r.book.AckedMessages(), r.broker.resident()>>20)
		}
	}
	return nil
}

// measure notes what the broker holds while nothing has happened yet.
func (r *run) measure(ctx context.Context) (err error) {
	if r.descriptors == 0 {
		r.descriptors = r.broker.descriptors()
		if r.goroutines, err = r.broker.goroutines(ctx); err != nil {
			return err
		}
	}
	if r.brokerKills <= r.kills/10 {
		r.warm = max(r.warm, r.broker.resident())
	}
	return nil
}

// soaking breaks clients and plugins now and then, and looks at what the broker
// holds: once it has had a tenth of the time to get warm, that must not grow.
func (r *run) soaking(ctx context.Context) error {
	begun, told := time.Now(), time.Now()
	warm, most := 0, 0
	for passed := time.Duration(0); passed < r.soak; passed = time.Since(begun) {
		if err := r.acked(ctx, r.between); err != nil {
			return err
		}
		if err := r.measure(ctx); err != nil {
			return err
		}
		r.breakSomething()
		if err := wait(ctx, time.Second); err != nil {
			return err
		}
		memory := r.broker.resident()
		if passed < r.soak/10 {
			warm = max(warm, memory)
		}
		most = max(most, memory)
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			fmt.Printf("time=%v acked=%d memory=%dMiB\n", passed.Round(time.Second), r.book.AckedMessages(), memory>>20)
		}
	}
	if limit := warm + warm/2 + 32<<20; most > limit {
		return fmt.Errorf("the broker's memory grew from %d MiB to %d MiB", warm>>20, most>>20)
	}
	return nil
}

// acked waits until so many more messages are acknowledged.
func (r *run) acked(ctx context.Context, more int) error {
	want := r.book.AckedMessages() + more
	for begun := time.Now(); r.book.AckedMessages() < want; {
		if err := wait(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for %d acknowledgements: %w", more, err)
		}
		if time.Since(begun) > startTimeout {
			return fmt.Errorf("%d of %d messages were acknowledged in %v", r.book.AckedMessages()-want+more, more, startTimeout)
		}
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// breakSomething does to a client or a plugin what happens to them.
func (r *run) breakSomething() {
	switch r.random.IntN(4) {
	case 0:
		r.cuts++
		r.publishers[r.random.IntN(len(r.publishers))].cut()
	case 1:
		r.cuts++
		r.subscribers[r.random.IntN(len(r.subscribers))].cut()
	case 2:
		if pid := r.somePlugin(); pid != 0 {
			r.pluginKills++
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	case 3:
		if pid := r.somePlugin(); pid != 0 {
			r.freezes++
			_ = syscall.Kill(pid, syscall.SIGSTOP)
			time.AfterFunc(50*time.Millisecond, func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
		}
	}
}

// fillDisk fills the disk, if there is one to be filled, every other time, and
// half of these frees it again before the broker is killed.
func (r *run) fillDisk(ctx context.Context) error {
	if r.disk == nil || r.random.IntN(2) == 0 {
		return nil
	}
	if err := r.disk.fill(); err != nil {
		return err
	}
	if err := wait(ctx, time.Duration(r.random.IntN(500))*time.Millisecond); err != nil {
		return err
	}
	if r.random.IntN(2) == 0 {
		return nil
	}
	if err := r.disk.free(); err != nil {
		return err
	}
	return r.acked(ctx, r.between)
}

func (r *run) somePlugin() int {
	list := r.broker.plugins()
	if len(list) == 0 {
		return 0
	}
	return list[r.random.IntN(len(list))]
}

// await gives everything that is owed the time to come.
func (r *run) await(ctx context.Context) {
	last, since := -1, time.Now()
	for {
		n := r.book.Missing()
		if n == 0 || time.Since(since) > settle || wait(ctx, 100*time.Millisecond) != nil {
			return
		}
		if n != last {
			last, since = n, time.Now()
		}
	}
}

// judge prints the result and returns what is wrong with it.
func (r *run) judge(ctx context.Context) error {
	var wrong []error
	if err := r.checkRetained(ctx); err != nil {
		wrong = append(wrong, err)
	}
	memory := r.broker.resident()
	wrong = append(wrong, r.checkLeaks(ctx, memory))
	if err := r.broker.stop(); err != nil {
		wrong = append(wrong, fmt.Errorf("the broker ended with %w", err))
	}
	if orphans := running(r.dir); len(orphans) > 0 {
		wrong = append(wrong, fmt.Errorf("processes %v were left behind", orphans))
	}
	v := r.book.Verdict()
	for _, f := range v.Faults {
		wrong = append(wrong, errors.New(f))
	}
	fmt.Printf("kills=%d plugin_kills=%d freezes=%d cuts=%d disk_full=%d %sacked=%d lost=%d doubled=%d disorder=%d foreign=%d sessions_lost=%d slowest_start=%v memory=%dMiB durability=%s seed=%d\n",
		r.brokerKills, r.pluginKills, r.freezes, r.cuts, r.disk.fillings(), r.damage, v.Acked, v.Lost, v.Doubled, v.Disorder, v.Foreign, v.Vanished,
		r.broker.slow.Round(time.Millisecond), memory>>20, r.durability, r.seed)
	return errors.Join(wrong...)
}

// checkLeaks looks whether the broker is ready, and holds no more than at first.
func (r *run) checkLeaks(ctx context.Context, memory int) error {
	_, err := r.broker.get(ctx, "/readyz")
	wrong := []error{err}
	if n := r.broker.descriptors(); n > r.descriptors+20 {
		wrong = append(wrong, fmt.Errorf("the broker had %d descriptors at first and has %d now", r.descriptors, n))
	}
	switch n, err := r.broker.goroutines(ctx); {
	case err != nil:
		wrong = append(wrong, err)
	case n > r.goroutines+30:
		wrong = append(wrong, fmt.Errorf("the broker had %d goroutines at first and has %d now", r.goroutines, n))
	}
	if limit := r.warm + r.warm/2 + 64<<20; memory > limit {
		wrong = append(wrong, fmt.Errorf("the broker had %d MiB at first and has %d now", r.warm>>20, memory>>20))
	}
	return errors.Join(wrong...)
}

// checkRetained looks whether the retained state of each publisher is the last
// one that was acknowledged to it, or one that it sent after that.
func (r *run) checkRetained(ctx context.Context) error {
	l := r.link("retained")
	if err := l.connect(ctx); err != nil {
		return err
	}
	defer l.close()
	l.send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "state/+", QoS: 0}}})
	if err := l.flush(); err != nil {
		return err
	}
	states := make(map[string]uint64)
	owed := 0
	for _, p := range r.publishers {
		if p.state.Load() > 0 {
			owed++
		}
	}
	for len(states) < owed {
		p, err := l.next()
		if err != nil {
			return fmt.Errorf("retained messages of %d of %d publishers: %w", len(states), owed, err)
		}
		if pub, ok := p.(*packet.Publish); ok {
			n, err := strconv.ParseUint(string(pub.Message.Payload), 10, 64)
			if err != nil {
				return err
			}
			states[strings.TrimPrefix(pub.Message.Topic, "state/")] = n
		}
	}
	for _, p := range r.publishers {
		if got := states[p.id]; got < p.state.Load() || got > p.sent.Load() {
			return fmt.Errorf("the retained state of %s is %d, acknowledged was %d of %d", p.id, got, p.state.Load(), p.sent.Load())
		}
	}
	return nil
}
