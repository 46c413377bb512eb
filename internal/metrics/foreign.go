package metrics

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
)

// foreignPrefix is put before the names of plugins' own metrics.
const foreignPrefix = namespace + "ext_"

// foreignTimeout bounds what a scrape waits for all plugins together.
const foreignTimeout = 2 * time.Second

// foreign gathers what plugins tell of themselves. What one of them says is
// shown whole or, if anything is wrong with it, not at all.
type foreign struct {
	plugins Plugins
	log     *slog.Logger

	mu      sync.Mutex // guards the field below
	refused map[string]bool
}

func newForeign(p Plugins, log *slog.Logger) *foreign {
	return &foreign{plugins: p, log: log, refused: make(map[string]bool)}
}

var (
	foreignRefused = "gatehouse_plugin_metrics_refused"
	foreignHelp    = "1 if the metrics that a plugin tells of itself are not shown, because it does not answer or they are not as they have to be."
)

// Gather implements [prometheus.Gatherer]. Its families are sorted by name.
func (f *foreign) Gather() ([]*dto.MetricFamily, error) {
	ctx, cancel := context.WithTimeout(context.Background(), foreignTimeout)
	defer cancel()
	var names []string
	for _, p := range f.plugins.Plugins() {
		if p.State == pluginhost.Ready || p.State == pluginhost.Degraded {
			names = append(names, p.Name)
		}
	}
	told := make([]map[string]*dto.MetricFamily, len(names))
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { told[i], errs[i] = f.ask(ctx, name) })
	}
	wg.Wait()
	all := newShelf()
	verdict := &dto.MetricFamily{Name: &foreignRefused, Help: &foreignHelp, Type: dto.MetricType_GAUGE.Enum()}
	for i, name := range names {
		if errs[i] == nil {
			errs[i] = all.add(told[i])
		}
		f.note(name, errs[i])
		verdict.Metric = append(verdict.Metric, &dto.Metric{
			Label: []*dto.LabelPair{labelPair("plugin", name)}, Gauge: &dto.Gauge{Value: new(float64(flag(errs[i] != nil)))},
		})
	}
	f.forget(names)
	out := slices.SortedFunc(maps.Values(all.families), func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	if len(verdict.Metric) > 0 {
		out = append(out, verdict)
	}
	return out, nil
}

// ask asks one plugin.
func (f *foreign) ask(ctx context.Context, name string) (told map[string]*dto.MetricFamily, err error) {
	defer func() {
		if r := recover(); r != nil { // of the library that reads what a stranger wrote
			err = fmt.Errorf("its metrics cannot be read: %v", r)
		}
	}()
	text, err := f.plugins.CollectMetrics(ctx, name)
	if err != nil || len(text) == 0 {
		return nil, err
	}
	return readForeign(name, text)
}

// note logs that a refusal begins, and that it ends.
func (f *foreign) note(name string, err error) {
	f.mu.Lock()
	before := f.refused[name]
	f.refused[name] = err != nil
	f.mu.Unlock()
	switch {
	case err != nil && !before:
		f.log.Warn("metrics of a plugin are not shown", slog.String("plugin", name), slog.Any("error", err))
	case err == nil && before:
		f.log.Info("metrics of a plugin are shown again", slog.String("plugin", name))
	}
}

// forget forgets plugins that are gone.
func (f *foreign) forget(present []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.refused, func(name string, _ bool) bool { return !slices.Contains(present, name) })
}

// shelf holds the families of all plugins. No two may say the same in different
// ways: a scraper would refuse everything.
type shelf struct {
	families map[string]*dto.MetricFamily
	taken    map[string]string // by the name of a sample: its family
}

func newShelf() *shelf {
	return &shelf{families: make(map[string]*dto.MetricFamily), taken: make(map[string]string)}
}

// add adds all families of a plugin or, with an error, none.
func (s *shelf) add(told map[string]*dto.MetricFamily) error {
	taken := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(told)) {
		mf := told[name]
		if old := s.families[name]; old != nil && old.GetType() != mf.GetType() {
			return fmt.Errorf("metric %s has another type at another plugin", name)
		}
		for _, sample := range samples(mf) {
			by := cmp.Or(s.taken[sample], taken[sample])
			if by != "" && by != name {
				return fmt.Errorf("metrics %s and %s would both have samples called %s", name, by, sample)
			}
			taken[sample] = name
		}
	}
	maps.Copy(s.taken, taken)
	for name, mf := range told {
		if old := s.families[name]; old != nil {
			old.Metric = append(old.Metric, mf.Metric...)
			continue
		}
		s.families[name] = mf
	}
	return nil
}

// samples are the names under which the samples of a family may be written.
func samples(mf *dto.MetricFamily) []string {
	name := mf.GetName()
	switch mf.GetType() {
	case dto.MetricType_COUNTER:
		return []string{name, name + "_total", name + "_created"}
	case dto.MetricType_HISTOGRAM:
		return []string{name, name + "_bucket", name + "_sum", name + "_count", name + "_created"}
	case dto.MetricType_SUMMARY:
		return []string{name, name + "_sum", name + "_count", name + "_created"}
	default:
		return []string{name}
	}
}

func labelPair(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }
