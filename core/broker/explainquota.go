package broker

import (
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/quota"
)

// quotas tells what the quotas of a client leave for what it publishes, and
// reports whether that is enough for a message of a size.
func (e *explainer) quotas(bytes int, now time.Time) bool {
	allowed := e.client.allowed.Load()
	if allowed == nil {
		return true
	}
	for _, m := range allowed.published {
		u := m.Usage(now)
		by, account, _ := strings.Cut(u.Account, "/")
		e.says("quota", by, "its quota leaves %q %s", account, remains(&u))
		if !u.HasRoom(bytes) {
			e.out.Steps[len(e.out.Steps)-1].Refuses = true
			e.out.Accepted, e.out.Code = false, mqtt.QuotaExceeded
			return false
		}
	}
	return true
}

// remains says what is left of the limits that there are.
func remains(u *quota.Usage) string {
	var parts []string
	for _, l := range [...]struct {
		used, limit uint64
		of          string
	}{
		{u.Day.Bytes, u.DayLimit.Bytes, "bytes today"},
		{u.Day.Messages, u.DayLimit.Messages, "messages today"},
		{u.Month.Bytes, u.MonthLimit.Bytes, "bytes this month"},
		{u.Month.Messages, u.MonthLimit.Messages, "messages this month"},
	} {
		if l.limit != quota.Unlimited {
			parts = append(parts, fmt.Sprintf("%d of %d %s", l.limit-min(l.used, l.limit), l.limit, l.of))
		}
	}
	if parts == nil {
		return "as much as it wants"
	}
	return strings.Join(parts, ", ")
}
