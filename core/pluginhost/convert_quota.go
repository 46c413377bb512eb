package pluginhost

import (
	"sync"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

func quotaFromProto(p *pluginv1.Quota) (*hook.Quota, error) {
	if err := legalString("account of a quota", p.Account); err != nil {
		return nil, err
	}
	zone, err := zoneOf(p.TimeZone)
	if err != nil {
		return nil, illegal("time zone %q: %v", p.TimeZone, err)
	}
	q := &hook.Quota{
		Account: p.Account, Zone: zone, Published: len(p.Actions) == 0, Delivered: len(p.Actions) == 0,
		BytesPerDay: p.BytesPerDay, BytesPerMonth: p.BytesPerMonth,
		MessagesPerDay: p.MessagesPerDay, MessagesPerMonth: p.MessagesPerMonth,
	}
	for _, a := range p.Actions {
		switch a {
		case pluginv1.GrantAction_GRANT_ACTION_PUBLISH:
			q.Published = true
		case pluginv1.GrantAction_GRANT_ACTION_RECEIVE:
			q.Delivered = true
		default:
			return nil, illegal("quota of action %d", a)
		}
	}
	return q, nil
}

func quotaToProto(q *hook.Quota) *pluginv1.Quota {
	if q == nil {
		return nil
	}
	out := &pluginv1.Quota{
		Account: toUTF8(q.Account), BytesPerDay: q.BytesPerDay, BytesPerMonth: q.BytesPerMonth,
		MessagesPerDay: q.MessagesPerDay, MessagesPerMonth: q.MessagesPerMonth,
	}
	if q.Zone != nil {
		out.TimeZone = q.Zone.String()
	}
	if q.Published {
		out.Actions = append(out.Actions, pluginv1.GrantAction_GRANT_ACTION_PUBLISH)
	}
	if q.Delivered {
		out.Actions = append(out.Actions, pluginv1.GrantAction_GRANT_ACTION_RECEIVE)
	}
	return out
}

// zones are the time zones that were asked for: the database is read from files,
// and every client may bring one of them. There are no more than it has.
var zones sync.Map // of *time.Location by name

// zoneOf returns the time zone of a name of the IANA database.
func zoneOf(name string) (*time.Location, error) {
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location), nil
	}
	zone, err := time.LoadLocation(name)
	if err == nil {
		zones.Store(name, zone)
	}
	return zone, err
}
