package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-mqtt/gatehouse/internal/bench/peer"
)

// The processors, where there are two: brokers run on the first.
const brokerCore, loadCore = 0, 1

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// settings are the command line.
type settings struct {
	runs      int
	time      time.Duration
	scenarios string
	brokers   string
	markdown  string
	json      string
	smoke     bool
}

func run(args []string) error {
	if len(args) == 2 {
		switch args[0] {
		case "null":
			return serveNull(args[1], nil)
		case "null+gate":
			return serveNullGate(args[1])
		case "nod":
			return serveNod(args[1])
		}
	}
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&s.runs, "runs", 5, "run everything so often, in turns")
	flags.DurationVar(&s.time, "time", 3*time.Second, "measure flowing messages for so long")
	flags.StringVar(&s.scenarios, "scenarios", "", "only those whose names begin with one of these, separated by commas")
	flags.StringVar(&s.brokers, "brokers", "", "only those brokers, separated by commas")
	flags.StringVar(&s.markdown, "markdown", "bin/bench-peers.md", "write the tables to this file")
	flags.StringVar(&s.json, "json", "bin/bench-peers.json", "write every figure to this file")
	flags.BoolVar(&s.smoke, "smoke", false, "run small, once, to see that nothing is lost; figures mean nothing")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return s.compare(ctx)
}

func (s *settings) compare(ctx context.Context) error {
	if s.smoke {
		s.runs, s.time = 1, time.Second/4
	}
	brokers, err := s.chosenBrokers()
	if err != nil {
		return err
	}
	core, err := pin()
	if err != nil {
		return err
	}
	var r report
	for n := range s.runs {
		for _, sc := range scenarios(s.smoke) {
			if !chosen(s.scenarios, sc.name) {
				continue
			}
			for _, b := range brokers {
				if !sc.takes(b.Name) {
					continue
				}
				values, err := s.measure(ctx, b, sc, core)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				r.add(sc.name, b.Name, values, err)
				fmt.Fprintf(os.Stderr, "%d/%d %s %s %s\n", n+1, s.runs, sc.name, b.Name, brief(values, err))
			}
		}
	}
	if err := r.write(s.markdown, s.json); err != nil {
		return err
	}
	return r.verdict()
}

// measure runs one scenario against one broker that was just started.
func (s *settings) measure(ctx context.Context, b peer.Broker, sc scenario, core int) (_ []value, err error) {
	p, err := b.Start(ctx, core)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w; the broker's last words:\n%s", err, p.LastWords())
		}
		err = errors.Join(err, p.Stop())
	}()
	return sc.measure(p, s.time)
}

// rule is a script of one line about every published message.
const rule = `
def on_intercept_application_message(context):
    context["accept_publish"] = context["topic"] != "forbidden"
`

// chosenBrokers builds the brokers that are wanted.
func (s *settings) chosenBrokers() ([]peer.Broker, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("find the repository: %w", err)
	}
	p := peer.Programs{Root: strings.TrimSpace(string(root))}
	p.Dir = filepath.Join(p.Root, "bin", "bench")
	// Its own bounds on queues would end what is measured, like those of
	// others, which are lifted likewise.
	const config = "limits: {queue_messages: 2000000, queue_bytes: 2GiB, connections: 100000}\n"
	all := []struct {
		name string
		make func() (peer.Broker, error)
	}{
		{"null", func() (peer.Broker, error) { return p.Null("null") }},
		{"null+gate", func() (peer.Broker, error) { return p.Null("null+gate") }},
		{"gatehouse", func() (peer.Broker, error) { return p.Gatehouse("gatehouse", config, nil) }},
		{"gatehouse+memory", func() (peer.Broker, error) {
			return p.Gatehouse("gatehouse+memory", config+"retained: {store: memory}\n", nil)
		}},
		{"gatehouse+interval", func() (peer.Broker, error) {
			return p.Gatehouse("gatehouse+interval", config+"sessions: {durability: interval}\n", nil)
		}},
		{"gatehouse+gate", func() (peer.Broker, error) {
			return p.Gatehouse("gatehouse+gate", config, nil, peer.Plugin{Package: "./internal/bench/gate"})
		}},
		{"gatehouse+tap", func() (peer.Broker, error) {
			return p.Gatehouse("gatehouse+tap", config, nil, peer.Plugin{Package: "./internal/bench/tap"})
		}},
		{"gatehouse+authfile", func() (peer.Broker, error) {
			return p.Gatehouse("gatehouse+authfile", config, map[string]string{"users.yaml": peer.Users()},
				peer.Plugin{Package: "./plugins/authfile", Config: "{file: $DIR/users.yaml}"})
		}},
		{"gatehouse+tls", func() (peer.Broker, error) { return p.GatehouseTLS("gatehouse+tls", config) }},
		{"gatehouse+script", func() (peer.Broker, error) {
			return p.Gatehouse("gatehouse+script", config, map[string]string{"scripts/rule.star": rule},
				peer.Plugin{Package: "./plugins/script", Config: "{folder: $DIR/scripts, limits: {time: 10s}}"})
		}},
		{"mosquitto", p.Mosquitto},
		{"mosquitto+tls", p.MosquittoTLS},
		{"mochi", p.Mochi},
		{"nats", p.NATS},
	}
	var out []peer.Broker
	for _, b := range all {
		if s.brokers != "" && !slices.Contains(strings.Split(s.brokers, ","), b.name) {
			continue
		}
		made, err := b.make()
		if err != nil {
			return nil, err
		}
		out = append(out, made)
	}
	return out, nil
}

// pin binds this program to a processor and returns the one for brokers;
// negative if there is no choice.
func pin() (int, error) {
	runtime.LockOSThread()
	// What this thread sends at fixed times has to leave on time.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("timer slack: %w", err)
	}
	if runtime.NumCPU() < 2 || !bind() {
		return -1, nil
	}
	return brokerCore, nil
}

// bind binds this thread to its processor, if taskset can do as much for
// brokers. A container may forbid it.
func bind() bool {
	_, missing := exec.LookPath("taskset")
	var set unix.CPUSet
	set.Set(loadCore)
	return missing == nil && unix.SchedSetaffinity(0, &set) == nil
}

// chosen reports whether a name begins with one of the prefixes, separated by
// commas; every name does if there are none.
func chosen(prefixes, name string) bool {
	return slices.ContainsFunc(strings.Split(prefixes, ","), func(p string) bool { return strings.HasPrefix(name, p) })
}
