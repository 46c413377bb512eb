package script

import (
	"context"
	"iter"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Broker is what scripts can ask of the broker. A part that is nil answers
// [pluginapi.ErrNoHost]. The parts are those of [pluginapi.Host]; see
// [BrokerOf].
type Broker struct {
	Publisher Publisher
	Clients   Clients
	Sessions  Sessions
	Retained  Retained
	Shared    Shared
}

// Publisher publishes.
type Publisher interface {
	Publish(ctx context.Context, m *pluginapi.Message) (pluginapi.Published, error)
}

// Clients is about connections.
type Clients interface {
	All(ctx context.Context) iter.Seq2[pluginapi.ClientStatus, error]
	Get(ctx context.Context, id string) (pluginapi.ClientStatus, error)
	Disconnect(ctx context.Context, id string, d pluginapi.Disconnection) error
}

// Sessions is about sessions.
type Sessions interface {
	Subscribe(ctx context.Context, id string, subs ...pluginapi.Subscription) ([]pluginapi.ReasonCode, error)
	Unsubscribe(ctx context.Context, id string, filters ...string) ([]pluginapi.ReasonCode, error)
	UpdateItems(ctx context.Context, id string, set map[string][]byte, remove ...string) (map[string][]byte, error)
}

// Retained is about retained messages.
type Retained interface {
	All(ctx context.Context, filter string) iter.Seq2[*pluginapi.Message, error]
	Get(ctx context.Context, topic string) (*pluginapi.Message, error)
	Put(ctx context.Context, m *pluginapi.Message) (revision uint64, err error)
	Delete(ctx context.Context, filter string) (deleted int, err error)
}

// Shared is the data that scripts, and all other plugins, share.
type Shared interface {
	Get(ctx context.Context, key string) (value []byte, version uint64, err error)
	Put(ctx context.Context, key string, value []byte) (version uint64, err error)
	PutIf(ctx context.Context, key string, value []byte, has uint64) (written bool, version uint64, err error)
	Delete(ctx context.Context, key string) error
}

// BrokerOf is a plugin's broker; nil gives one that answers that there is none.
func BrokerOf(h *pluginapi.Host) Broker {
	if h == nil {
		return Broker{}
	}
	return Broker{Publisher: h, Clients: h.Clients(), Sessions: h.Sessions(), Retained: h.Retained(), Shared: h.Shared()}
}
