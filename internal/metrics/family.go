package metrics

import "github.com/prometheus/client_golang/prometheus"

const namespace = "gatehouse_"

// family is one metric with all its series.
type family struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType // Untyped for a histogram
	name   string
	labels []string
}

// families are all there are, in the order in which they were declared.
var families []*family

func declare(kind prometheus.ValueType, name, help string, labels ...string) *family {
	f := &family{
		desc: prometheus.NewDesc(namespace+name, help, labels, nil),
		kind: kind, name: namespace + name, labels: labels,
	}
	families = append(families, f)
	return f
}

func gauge(name, help string, labels ...string) *family {
	return declare(prometheus.GaugeValue, name, help, labels...)
}

func counter(name, help string, labels ...string) *family {
	return declare(prometheus.CounterValue, name, help, labels...)
}

func histogram(name, help string, labels ...string) *family {
	return declare(prometheus.UntypedValue, name, help, labels...)
}

// typeName is what the exposition formats call the kind.
func (f *family) typeName() string {
	switch f.kind {
	case prometheus.CounterValue:
		return "counter"
	case prometheus.GaugeValue:
		return "gauge"
	default:
		return "histogram"
	}
}

// number is what metrics are made of.
type number interface {
	~int | ~int64 | ~uint64 | ~float64
}

// send sends one series.
func send[N number](ch chan<- prometheus.Metric, f *family, value N, labels ...string) {
	ch <- prometheus.MustNewConstMetric(f.desc, f.kind, float64(value), labels...)
}

func flag(set bool) int {
	if set {
		return 1
	}
	return 0
}
