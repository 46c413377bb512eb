package users

import (
	"math"

	"github.com/goccy/go-yaml/ast"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// quota reads what a user may use by day and by month. Account and time zone are
// for whoever hands it to the broker.
func (r *reader) quota(n ast.Node) *pluginapi.Quota {
	q := new(pluginapi.Quota)
	before := len(r.problems)
	r.mapping(n, "quota",
		field{"of", func(v ast.Node) { q.Of = r.quotaOf(v) }},
		field{"bytes_per_day", func(v ast.Node) { q.BytesPerDay = size[uint64](r, v, "bytes_per_day", math.MaxInt64) }},
		field{"bytes_per_month", func(v ast.Node) { q.BytesPerMonth = size[uint64](r, v, "bytes_per_month", math.MaxInt64) }},
		field{"messages_per_day", func(v ast.Node) {
			q.MessagesPerDay = number[uint64](r, v, "messages_per_day", 1, math.MaxInt64)
		}},
		field{"messages_per_month", func(v ast.Node) {
			q.MessagesPerMonth = number[uint64](r, v, "messages_per_month", 1, math.MaxInt64)
		}},
	)
	unlimited := q.BytesPerDay == nil && q.BytesPerMonth == nil && q.MessagesPerDay == nil && q.MessagesPerMonth == nil
	if unlimited && len(r.problems) == before {
		r.complain(n, "quota limits nothing; it needs bytes or messages, per day or per month")
	}
	return q
}

// quotaOf reads what counts.
func (r *reader) quotaOf(n ast.Node) pluginapi.Action {
	s, ok := r.text(n, "of")
	if !ok {
		return 0
	}
	switch s {
	case "publish":
		return pluginapi.Publish
	case "deliver":
		return pluginapi.Receive
	case "both":
		return pluginapi.Publish | pluginapi.Receive
	}
	r.complain(n, "of must be publish, deliver or both")
	return 0
}
