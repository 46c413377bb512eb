package interceptor

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Plugin is interceptlog, ready to be served.
func Plugin() pluginapi.Plugin {
	config := defaultConfig()
	return pluginapi.Plugin{
		Name:       "interceptlog",
		Version:    "0.1.0",
		Summary:    "logs what passes, and changes, drops or refuses it by rules",
		Config:     &config,
		Hooks:      (*interceptor)(nil),
		New:        newInterceptor,
		Check:      checkConfig,
		Idempotent: true,
	}
}

// interceptor is the plugin.
type interceptor struct {
	rules atomic.Pointer[ruleSet]

	mu  sync.Mutex // held over Reconfigure and Stop
	log atomic.Pointer[logging]
}

// logging is the log with its configuration; tap is nil if there is none.
type logging struct {
	config LogConfig
	tap    *tap
}

func newInterceptor(_ context.Context, s *pluginapi.Setup) (any, error) {
	i := new(interceptor)
	if err := i.use(s); err != nil {
		return nil, err
	}
	return i, nil
}

// Reconfigure switches to other rules and another log. Calls that run end on
// the old ones.
func (i *interceptor) Reconfigure(_ context.Context, s *pluginapi.Setup) error { return i.use(s) }

func (i *interceptor) use(s *pluginapi.Setup) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	c, err := readConfig(s)
	if err != nil {
		return err
	}
	next := &logging{config: c.log}
	if c.log.Enabled {
		if next.tap, err = newTap(&c.log, s.DataDir, s.Logger, time.Now); err != nil {
			return err
		}
	}
	i.rules.Store(c.rules)
	if old := i.log.Swap(next); old != nil && old.tap != nil {
		// It had the last word; what it could not write is counted nowhere.
		_ = old.tap.close()
	}
	return nil
}

func checkConfig(_ context.Context, s *pluginapi.Setup) error {
	_, err := readConfig(s)
	return err
}

// Interest is that of the rules and of the log.
func (i *interceptor) Interest() []pluginapi.Interest {
	return append(i.rules.Load().interest(), i.log.Load().config.interest())
}

// InterceptBatch decides by the rules. It never fails.
func (i *interceptor) InterceptBatch(_ context.Context, calls []*pluginapi.Call) error {
	i.rules.Load().intercept(calls)
	return nil
}

// Observe logs events.
func (i *interceptor) Observe(ctx context.Context, events []pluginapi.Event, dropped uint64) error {
	if t := i.log.Load().tap; t != nil {
		return t.observe(ctx, events, dropped)
	}
	return nil
}

// Health says if the log cannot be written. Rules work all the same.
func (i *interceptor) Health(context.Context) error {
	t := i.log.Load().tap
	if t == nil {
		return nil
	}
	if _, err := t.state(); err != nil {
		return pluginapi.Degraded("the log cannot be written: " + err.Error())
	}
	return nil
}

// Stop closes the log.
func (i *interceptor) Stop(context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if t := i.log.Load().tap; t != nil {
		if err := t.close(); err != nil {
			return fmt.Errorf("close the log: %w", err)
		}
	}
	return nil
}

// Metrics counts what the rules and the log did since they were configured.
func (i *interceptor) Metrics(context.Context) ([]byte, error) {
	var b strings.Builder
	rules := i.rules.Load()
	metric(&b, "rule_matched_total", "Calls to which a rule applied.")
	for _, r := range rules.all {
		fmt.Fprintf(&b, "interceptlog_rule_matched_total{rule=\"%s\"} %d\n", label.Replace(r.name), r.matched.Load())
	}
	metric(&b, "rule_bad_json_total", "Payloads that were not the JSON that a rule needs.")
	for _, r := range rules.all {
		fmt.Fprintf(&b, "interceptlog_rule_bad_json_total{rule=\"%s\"} %d\n", label.Replace(r.name), r.badJSON.Load())
	}
	metric(&b, "bad_topic_total", "Calls that were refused because a rule made no valid topic.")
	fmt.Fprintf(&b, "interceptlog_bad_topic_total %d\n", rules.undecided.Load())
	var counts tapCounts
	if t := i.log.Load().tap; t != nil {
		counts, _ = t.state()
	}
	for _, m := range []struct {
		name, help string
		value      uint64
	}{
		{"lines_written_total", "Lines written to the log.", counts.written},
		{"lines_suppressed_total", "Events left out of the broker's log because of the rate.", counts.suppressed},
		{"lines_failed_total", "Failures to write to the log.", counts.failed},
		{"events_lost_total", "Events that the broker could not tell because the log was slow.", counts.lost},
	} {
		metric(&b, m.name, m.help)
		fmt.Fprintf(&b, "interceptlog_%s %d\n", m.name, m.value)
	}
	return []byte(b.String()), nil
}

// label escapes the value of a label.
var label = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func metric(b *strings.Builder, name, help string) {
	fmt.Fprintf(b, "# HELP interceptlog_%[1]s %[2]s\n# TYPE interceptlog_%[1]s counter\n", name, help)
}
