package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-mqtt/gatehouse/core/shadow"
)

// Shadow is the second version of a plugin that runs beside it.
type Shadow struct {
	Plugin string
	Counts *shadow.Counts
}

var (
	shadowCompared = counter("shadow_compared_total", "Calls that a plugin and its shadow have both answered, since the shadow was started.", "plugin", "hook")
	shadowDiffer   = counter("shadow_differ_total", "Of those, calls that they answered differently.", "plugin", "hook")
	shadowFailed   = counter("shadow_failed_total", "Of those, calls that the shadow could not decide.", "plugin", "hook")
	shadowLeftOut  = counter("shadow_left_out_total", "Calls and events with which a shadow was not bothered.", "plugin")
)

func (c *collector) collectShadows(ch chan<- prometheus.Metric) {
	for _, s := range c.from.Shadows() {
		for point, o := range s.Counts.Hooks {
			send(ch, shadowCompared, o.Same+o.Differ, s.Plugin, point.String())
			send(ch, shadowDiffer, o.Differ, s.Plugin, point.String())
			send(ch, shadowFailed, o.Failed, s.Plugin, point.String())
		}
		var left uint64
		for _, n := range s.Counts.Left {
			left += n
		}
		send(ch, shadowLeftOut, left, s.Plugin)
	}
}
