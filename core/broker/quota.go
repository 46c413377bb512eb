package broker

import (
	"cmp"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/quota"
)

// Quotas returns what clients have used of the quotas that validators grant.
func (b *Broker) Quotas() *quota.Ledger { return b.quotas }

// allowance is what a client may use by day and by month. It is immutable.
type allowance struct {
	published, delivered quota.Meters
}

// allowance opens meters for what the validators granted; nil if they set no
// limit. The error is [quota.ErrFull].
func (b *Broker) allowance(adm *hook.Admission) (*allowance, error) {
	if len(adm.Quotas) == 0 {
		return nil, nil
	}
	a := new(allowance)
	for i := range adm.Quotas {
		q := &adm.Quotas[i]
		m, err := b.quotas.Open(quota.Grant{
			Account: q.By + "/" + cmp.Or(q.Account, adm.Username), Zone: q.Zone,
			Day:   quota.Amount{Bytes: orUnlimited(q.BytesPerDay), Messages: orUnlimited(q.MessagesPerDay)},
			Month: quota.Amount{Bytes: orUnlimited(q.BytesPerMonth), Messages: orUnlimited(q.MessagesPerMonth)},
		})
		if err != nil {
			return nil, err
		}
		if q.Published {
			a.published = append(a.published, m)
		}
		if q.Delivered {
			a.delivered = append(a.delivered, m)
		}
	}
	return a, nil
}

func orUnlimited(limit *uint64) uint64 {
	if limit == nil {
		return quota.Unlimited
	}
	return *limit
}

const quotaUsedUp = "the quota is used up"

// mayUse takes a message that the client publishes from its quotas; false if they
// leave no room for it.
func (c *client) mayUse(m *mqtt.Message) bool {
	a := c.allowed.Load()
	return a == nil || a.published.Take(m.Created, len(m.Topic)-len(c.mountpoint)+len(m.Payload))
}

// mayGet is mayUse for a message that is delivered to the client, by the topic
// that it knows.
func (c *client) mayGet(m *mqtt.Message, now time.Time) bool {
	a := c.allowed.Load()
	return a == nil || a.delivered.Take(now, len(m.Topic)+len(m.Payload))
}
