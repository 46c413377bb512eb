package metrics

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Bounds of what one plugin may tell of itself.
const (
	maxForeignText   = 1 << 20
	maxForeignSeries = 1000 // a bucket or a quantile is one
	maxForeignName   = 200
	maxForeignLabels = 16
	maxForeignValue  = 256 // bytes of a label's value
	maxForeignHelp   = 1024
)

// pluginLabel says whose metric it is.
const pluginLabel = "plugin"

// readForeign reads the metrics of a plugin, checks them, and gives them the
// prefix and the label that tell them from others. Time stamps are left out.
func readForeign(plugin string, text []byte) (map[string]*dto.MetricFamily, error) {
	if len(text) > maxForeignText {
		return nil, fmt.Errorf("its metrics are larger than %d bytes", maxForeignText)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	parsed, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("its metrics are not in the Prometheus text format: %w", err)
	}
	out := make(map[string]*dto.MetricFamily, len(parsed))
	series := 0
	for name, mf := range parsed {
		if err := adopt(plugin, mf); err != nil {
			return nil, fmt.Errorf("metric %.*q: %w", maxForeignName, name, err)
		}
		for _, m := range mf.Metric {
			series += 1 + len(m.GetHistogram().GetBucket()) + len(m.GetSummary().GetQuantile())
		}
		out[mf.GetName()] = mf
	}
	if series > maxForeignSeries {
		return nil, fmt.Errorf("it has %d series, and may have %d", series, maxForeignSeries)
	}
	return out, nil
}

// adopt checks one family and makes it ours.
func adopt(plugin string, mf *dto.MetricFamily) error {
	name := mf.GetName()
	switch {
	case len(name) > maxForeignName:
		return fmt.Errorf("its name is longer than %d bytes", maxForeignName)
	case strings.Contains(name, ":"):
		return fmt.Errorf("a colon is for rules of whoever scrapes")
	case len(mf.GetHelp()) > maxForeignHelp || !utf8.ValidString(mf.GetHelp()):
		return fmt.Errorf("its help is no UTF-8, or longer than %d bytes", maxForeignHelp)
	}
	seen := make(map[string]bool, len(mf.Metric))
	for _, m := range mf.Metric {
		if err := checkLabels(m.Label); err != nil {
			return err
		}
		if err := checkValue(m); err != nil {
			return err
		}
		m.TimestampMs = nil
		m.Label = append(m.Label, labelPair(pluginLabel, plugin))
		slices.SortFunc(m.Label, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
		key := labelKey(m.Label)
		if seen[key] {
			return fmt.Errorf("a series is there twice")
		}
		seen[key] = true
	}
	mf.Name = new(foreignPrefix + name)
	return nil
}

func checkLabels(labels []*dto.LabelPair) error {
	if len(labels) > maxForeignLabels {
		return fmt.Errorf("%d labels, and %d are the most", len(labels), maxForeignLabels)
	}
	names := make(map[string]bool, len(labels))
	for _, l := range labels {
		name, value := l.GetName(), l.GetValue()
		switch {
		case names[name]:
			return fmt.Errorf("label %s is there twice", name)
		case name == pluginLabel || name == "le" || name == "quantile" || strings.HasPrefix(name, "__"):
			return fmt.Errorf("label %s is not for plugins", name)
		case len(name) > maxForeignName || len(value) > maxForeignValue:
			return fmt.Errorf("a label is longer than it may be: %d bytes of name, %d of value", maxForeignName, maxForeignValue)
		case !utf8.ValidString(value):
			return fmt.Errorf("label %s is no UTF-8", name)
		}
		names[name] = true
	}
	return nil
}

// checkValue refuses what no counter can be.
func checkValue(m *dto.Metric) error {
	if c := m.Counter; c != nil && (math.IsNaN(c.GetValue()) || c.GetValue() < 0) {
		return fmt.Errorf("a counter is %v", c.GetValue())
	}
	h := m.Histogram
	if h == nil {
		return nil
	}
	last, bound := uint64(0), math.Inf(-1)
	for _, b := range h.Bucket {
		if !(b.GetUpperBound() > bound) || b.GetCumulativeCount() < last {
			return fmt.Errorf("the buckets of a histogram do not grow")
		}
		last, bound = b.GetCumulativeCount(), b.GetUpperBound()
	}
	if h.GetSampleCount() < last {
		return fmt.Errorf("a histogram has a bucket with more than all")
	}
	return nil
}

// labelKey tells series of one family apart.
func labelKey(labels []*dto.LabelPair) string {
	var b strings.Builder
	for _, l := range labels {
		fmt.Fprintf(&b, "%q=%q,", l.GetName(), l.GetValue())
	}
	return b.String()
}
