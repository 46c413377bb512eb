package differential

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
	"github.com/gatehouse-mqtt/gatehouse/test/internal/seed"
)

func TestMain(m *testing.M) {
	code := m.Run()
	program.Clean()
	os.Exit(code)
}

const (
	steps = 150 // of an episode

	// usualEpisodes are as many as there are unless episodesEnv says how many.
	usualEpisodes = 40
	episodesEnv   = "GATEHOUSE_EPISODES"
)

// mosquittoConfig takes the limits away that ours has higher, and lets a client
// have one copy of a message for each subscription in all versions: that is
// what ours can be compared with.
const mosquittoConfig = `
allow_duplicate_messages true
max_inflight_messages 0
max_queued_messages 0
sys_interval 0
set_tcp_nodelay true
`

// settings are Gatehouse's. Sessions are in memory: what is to be written before
// it leaves comes behind an answer to a ping, which is how it is found out here
// that nothing more comes.
const settings = "sys_interval: 0s\nsessions: {store: memory}\n"

// TestDifferential leads random dialogues with both brokers.
func TestDifferential(t *testing.T) {
	theirs := program.Mosquitto(t, mosquittoConfig)
	ours := program.Gatehouse(t, program.Options{Config: settings})
	r := seed.New(t)
	met := make(map[string]int)
	defer func() { t.Logf("explained differences: %v", met) }()
	for i := range seed.Rounds(t, episodesEnv, usualEpisodes) {
		e := &episode{t: t, generator: newGenerator(r, i), late: make(late), met: met}
		for _, b := range []struct{ name, addr string }{{"mosquitto", theirs.Addr}, {"ours", ours.Addr}} {
			w, err := newWorld(b.name, b.addr, len(casts))
			if err != nil {
				t.Fatal(err)
			}
			e.worlds = append(e.worlds, w)
		}
		e.run()
		if t.Failed() {
			return
		}
	}
}

// episode is one dialogue, with clients of its own.
type episode struct {
	t         *testing.T
	generator *generator
	worlds    []*world
	steps     []*step
	late      late
	met       map[string]int // explained differences, shared by all episodes
}

func (e *episode) run() {
	defer e.cleanUp()
	for range steps {
		s := e.generator.step()
		e.steps = append(e.steps, s)
		seen, err := e.do(s)
		if err != nil {
			e.fail(err.Error())
			return
		}
		if diff := e.compare(s, seen); len(diff) > 0 {
			e.fail(strings.Join(diff, "\n"))
			return
		}
	}
}

// do does a step at both brokers at once.
func (e *episode) do(s *step) (seen [2][][]event, err error) {
	errs := make(chan error, len(e.worlds))
	for i, w := range e.worlds {
		go func() {
			err := w.apply(s)
			if err == nil {
				err = w.settle(s)
			}
			seen[i] = w.collect()
			if err != nil {
				err = fmt.Errorf("%s: %w", w.name, err)
			}
			errs <- err
		}()
	}
	for range e.worlds {
		err = errors.Join(err, <-errs)
	}
	return seen, err
}

// compare returns the differences that nothing explains.
func (e *episode) compare(s *step, seen [2][][]event) (diff []string) {
	for i := range seen {
		seen[i] = pool(seen[i])
	}
	e.late.connections(s)
	for i := range seen[0] {
		lines, met := compare(seen[0][i], seen[1][i], s.op == opConnect && i == s.slot)
		for name, n := range met {
			e.met[name] += n
		}
		for _, d := range lines {
			line := fmt.Sprintf("%s: %s", viewer(i), d)
			name := explain(e.generator, s, line)
			if name == "" && e.late.is(e.generator, i, d) {
				name = lateQoS0
			}
			if name != "" {
				e.met[name]++
			} else {
				diff = append(diff, line)
			}
		}
	}
	return append(diff, e.late.missing(e.generator)...)
}

// pool puts what the members of share groups got into one place behind the
// watcher's, for which of them gets a message is the broker's choice.
func pool(seen [][]event) [][]event {
	var members []event
	for i, c := range casts {
		if c.class != share {
			continue
		}
		var own []event
		for _, e := range seen[i] {
			if e.kind == packet.PUBLISH.String() || e.kind == packet.PUBREL.String() {
				members = append(members, e)
			} else {
				own = append(own, e)
			}
		}
		seen[i] = own
	}
	slices.SortStableFunc(members, func(a, b event) int { return cmp.Compare(a.payload, b.payload) })
	return append(seen, members)
}

const members = "the members of share groups"

// viewer names what compare has compared.
func viewer(i int) string {
	switch i - len(casts) {
	case 0:
		return "the watcher"
	case 1:
		return members
	default:
		return fmt.Sprintf("client %d", i)
	}
}

func (e *episode) fail(what string) {
	e.t.Helper()
	var b strings.Builder
	for i, s := range e.steps {
		fmt.Fprintf(&b, "%4d %v\n", i, s)
	}
	e.t.Errorf("after\n%s%s", b.String(), what)
}

// cleanUp ends the sessions and removes the retained messages.
func (e *episode) cleanUp() {
	for _, w := range e.worlds {
		if err := w.cleanUp(e.generator); err != nil && !e.t.Failed() {
			e.t.Errorf("%s: %v", w.name, err)
		}
		w.close()
	}
}

func (w *world) cleanUp(g *generator) error {
	for i, m := range g.models {
		p := plainConnect(m.id)
		p.Version = m.version
		if err := w.connect(w.slots[i], p); err != nil {
			return err
		}
	}
	remove := slices.Collect(maps.Keys(g.used))
	for i := range g.models {
		remove = append(remove, fmt.Sprintf("will/%d", i))
	}
	sl := w.slots[0]
	for i, name := range remove {
		m := mqtt.Message{Topic: name, Retain: true, QoS: 1}
		if err := sl.publish([]packet.Packet{&packet.Publish{ID: uint16(1 + i), Message: m}}); err != nil {
			return err
		}
	}
	return nil
}
