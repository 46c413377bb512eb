package broker

import (
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/admission"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// inForce is what may be changed while the broker runs. It is immutable;
// everyone reads it through one pointer.
type inForce struct {
	limits       Limits
	decoding     packet.Limits // shared by the decoders of connections made meanwhile
	checkFormat  bool
	responseInfo string
	sysEvery     time.Duration
	tracer       Tracer // nil: nobody follows anything
	durability   session.Durability
}

func newInForce(o *Options) *inForce {
	f := &inForce{
		limits: o.Limits.withDefaults(), checkFormat: o.CheckPayloadFormat, responseInfo: o.ResponseInformation, sysEvery: o.SysInterval,
		tracer: o.Tracer, durability: o.Durability,
	}
	f.decoding = f.limits.decoding()
	or(&f.sysEvery, 10*time.Second)
	return f
}

// limits are those in force.
func (b *Broker) limits() *Limits { return &b.force.Load().limits }

// Reconfigure puts the Limits, SysInterval, CheckPayloadFormat,
// ResponseInformation, Tracer and Durability of o in force; its other fields do
// not count. What clients were told in CONNACK, what a session may hold and when
// it counts as kept, and the limits inside of a packet hold for new connections;
// all else at once. A tracer that is replaced may still be told of publishes that
// it follows. Nobody is disconnected. It may be called from any goroutine.
func (b *Broker) Reconfigure(o Options) {
	f := newInForce(&o)
	f.limits.Kept.Memory, f.limits.Kept.Disk = &b.queued, &b.spilled
	b.force.Store(f)
	b.enforce(&f.limits)
	select {
	case b.reconfigured <- struct{}{}:
	default: // it is noted already
	}
}

// enforce hands limits to those who keep their own.
func (b *Broker) enforce(l *Limits) {
	b.door.SetLimits(l.admission())
	b.authentications.SetLimit(l.Authentications)
	b.comings.SetLimit(admission.Repeats{Times: l.Flapping.Connects, Within: l.Flapping.Within})
	b.queued.SetLimit(int64(l.QueueBytesTotal))
	b.spilled.SetLimit(int64(l.KeptBytesTotal))
	b.shared.setLimits(l.SharedKeys, l.SharedBytes)
}

// admission returns the limits at the door.
func (l *Limits) admission() admission.Limits {
	return admission.Limits{
		Rate: l.ConnectRate, AddressRate: l.AddressConnectRate,
		AddressConnections: l.AddressConnections, Exempt: l.ExemptNetworks,
	}
}
