package script

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Memory is a broker that is none: it keeps what scripts do, for tests and for
// trying them out. Its zero value is ready.
type Memory struct {
	mu           sync.Mutex // guards the fields below
	Messages     []*pluginapi.Message
	Connected    map[string]pluginapi.Client
	Disconnected map[string]pluginapi.Disconnection
	retained     map[string]*pluginapi.Message
	shared       map[string]sharedValue
	version      uint64
}

type sharedValue struct {
	value   []byte
	version uint64
}

// Broker is the memory as a [Broker].
func (m *Memory) Broker() Broker {
	return Broker{
		Publisher: memoryPublisher{m}, Clients: memoryClients{m}, Sessions: memorySessions{m},
		Retained: memoryRetained{m}, Shared: memoryShared{m},
	}
}

// Published are the messages that were published, in order.
func (m *Memory) Published() []*pluginapi.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.Messages)
}

// Connect adds a client.
func (m *Memory) Connect(c pluginapi.Client) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Connected == nil {
		m.Connected = make(map[string]pluginapi.Client)
	}
	m.Connected[c.ID] = c
}

type memoryPublisher struct{ m *Memory }

// Publish keeps a message, and what it retains.
func (p memoryPublisher) Publish(_ context.Context, msg *pluginapi.Message) (pluginapi.Published, error) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.m.Messages = append(p.m.Messages, msg)
	if msg.Retain {
		p.m.retain(msg)
	}
	return pluginapi.Published{Receivers: 1}, nil
}

func (m *Memory) retain(msg *pluginapi.Message) {
	if m.retained == nil {
		m.retained = make(map[string]*pluginapi.Message)
	}
	if len(msg.Payload) == 0 {
		delete(m.retained, msg.Topic)
		return
	}
	m.retained[msg.Topic] = msg
}

type memoryClients struct{ m *Memory }

// All yields the clients.
func (p memoryClients) All(context.Context) iter.Seq2[pluginapi.ClientStatus, error] {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	all := maps.Clone(p.m.Connected)
	return func(yield func(pluginapi.ClientStatus, error) bool) {
		for _, id := range slices.Sorted(maps.Keys(all)) {
			if !yield(pluginapi.ClientStatus{Client: all[id]}, nil) {
				return
			}
		}
	}
}

// Get describes a client.
func (p memoryClients) Get(_ context.Context, id string) (pluginapi.ClientStatus, error) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	c, ok := p.m.Connected[id]
	if !ok {
		return pluginapi.ClientStatus{}, fmt.Errorf("client %q: %w", id, pluginapi.ErrNotFound)
	}
	return pluginapi.ClientStatus{Client: c}, nil
}

// Disconnect takes a client out.
func (p memoryClients) Disconnect(_ context.Context, id string, d pluginapi.Disconnection) error {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if _, ok := p.m.Connected[id]; !ok {
		return fmt.Errorf("client %q: %w", id, pluginapi.ErrNotFound)
	}
	delete(p.m.Connected, id)
	if p.m.Disconnected == nil {
		p.m.Disconnected = make(map[string]pluginapi.Disconnection)
	}
	p.m.Disconnected[id] = d
	return nil
}

type memorySessions struct{ m *Memory }

// Subscribe grants everything.
func (memorySessions) Subscribe(_ context.Context, _ string, subs ...pluginapi.Subscription) ([]pluginapi.ReasonCode, error) {
	out := make([]pluginapi.ReasonCode, len(subs))
	for i, s := range subs {
		out[i] = pluginapi.ReasonCode(s.QoS)
	}
	return out, nil
}

// Unsubscribe undoes everything.
func (memorySessions) Unsubscribe(_ context.Context, _ string, filters ...string) ([]pluginapi.ReasonCode, error) {
	return make([]pluginapi.ReasonCode, len(filters)), nil
}

// UpdateItems changes the items of a client.
func (p memorySessions) UpdateItems(_ context.Context, id string, set map[string][]byte, remove ...string) (map[string][]byte, error) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	c := p.m.Connected[id]
	all := maps.Clone(c.Items)
	if all == nil {
		all = make(map[string][]byte)
	}
	maps.Copy(all, set)
	for _, k := range remove {
		delete(all, k)
	}
	if c.Items = all; c.ID != "" {
		p.m.Connected[id] = c
	}
	return all, nil
}

type memoryRetained struct{ m *Memory }

// All yields the retained messages.
func (p memoryRetained) All(_ context.Context, filter string) iter.Seq2[*pluginapi.Message, error] {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	all := maps.Clone(p.m.retained)
	return func(yield func(*pluginapi.Message, error) bool) {
		for _, topic := range slices.Sorted(maps.Keys(all)) {
			if (filter == "" || pluginapi.Match(filter, topic)) && !yield(all[topic], nil) {
				return
			}
		}
	}
}

// Get returns a retained message.
func (p memoryRetained) Get(_ context.Context, topic string) (*pluginapi.Message, error) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if msg := p.m.retained[topic]; msg != nil {
		return msg, nil
	}
	return nil, pluginapi.ErrNotFound
}

// Put sets a retained message.
func (p memoryRetained) Put(_ context.Context, msg *pluginapi.Message) (uint64, error) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.m.retain(msg)
	return 1, nil
}

// Delete removes retained messages.
func (p memoryRetained) Delete(_ context.Context, filter string) (int, error) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	before := len(p.m.retained)
	maps.DeleteFunc(p.m.retained, func(topic string, _ *pluginapi.Message) bool {
		return topic == filter || strings.ContainsAny(filter, "+#") && pluginapi.Match(filter, topic)
	})
	return before - len(p.m.retained), nil
}

type memoryShared struct{ m *Memory }

// Get returns a value.
func (p memoryShared) Get(_ context.Context, key string) ([]byte, uint64, error) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	v := p.m.shared[key]
	return v.value, v.version, nil
}

// Put writes a value.
func (p memoryShared) Put(_ context.Context, key string, value []byte) (uint64, error) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	return p.m.put(key, value), nil
}

func (m *Memory) put(key string, value []byte) uint64 {
	if m.shared == nil {
		m.shared = make(map[string]sharedValue)
	}
	m.version++
	m.shared[key] = sharedValue{value, m.version}
	return m.version
}

// PutIf writes a value if it has a version.
func (p memoryShared) PutIf(_ context.Context, key string, value []byte, has uint64) (bool, uint64, error) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if v := p.m.shared[key].version; v != has {
		return false, v, nil
	}
	return true, p.m.put(key, value), nil
}

// Delete removes a value.
func (p memoryShared) Delete(_ context.Context, key string) error {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	delete(p.m.shared, key)
	return nil
}
