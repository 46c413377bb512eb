package bucket

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// overhead is room for the headers of a message.
const overhead = 512

// step is what a batch does to one key.
type step struct {
	key string
	entry
	data []byte
}

// plan is what a batch of changes means for the bucket.
type plan struct {
	steps  []step
	places map[string]int // of keys, in steps
	// floor is the revision of a clear in the batch, 0 if there is none.
	floor    uint64
	deletes  bool
	revision uint64 // highest of the changes that count
}

// limits are those that a plan has to keep.
type limits struct {
	largest  int // bytes of a message as it is stored
	remember time.Duration
	now      time.Time
}

// newPlan says what is to be done for those changes that the index does not
// know. Of several changes of a key the last counts. The error says which
// change can't be stored.
func newPlan(x *index, changes []pluginapi.Change, l limits) (*plan, error) {
	p := &plan{places: make(map[string]int, len(changes))}
	for i := range changes {
		c := &changes[i]
		if c.Op == pluginapi.Clear {
			if c.Revision > max(x.head.Floor, p.floor) && c.Revision >= p.revision {
				p.steps, p.deletes = p.steps[:0], false
				clear(p.places)
				p.floor, p.revision = c.Revision, c.Revision
			}
			continue
		}
		if err := p.add(x, c, l); err != nil {
			return nil, fmt.Errorf("change of topic %s at revision %d: %w", shorten(c.Topic), c.Revision, err)
		}
	}
	return p, nil
}

func (p *plan) add(x *index, c *pluginapi.Change, l limits) error {
	s := step{entry: entry{rev: c.Revision}}
	var err error
	topic := c.Topic
	switch c.Op {
	case pluginapi.Put:
		topic = c.Message.Topic
		s.data, err = encodeRecord(c.Message, c.Revision)
	case pluginapi.Delete:
		s.forgotten = never
		if l.remember > 0 {
			s.forgotten = l.now.Add(l.remember)
		}
		s.data, err = encodeValue(value{Rev: c.Revision, Topic: topic}, nil)
	default:
		err = fmt.Errorf("its kind %d is not known", c.Op)
	}
	if err != nil {
		return err
	}
	if size := len(s.data) + overhead; size > l.largest {
		return fmt.Errorf("it takes %d bytes, and the server takes %d: raise max_payload in the configuration of NATS, or max_message_bytes of the plugin if that is set",
			size, l.largest)
	}
	s.key = topicKey(topic)
	if c.Revision <= p.floor || x.stale(s.key, c.Revision) {
		return nil
	}
	if i, ok := p.places[s.key]; !ok {
		p.places[s.key] = len(p.steps)
		p.steps = append(p.steps, s)
	} else if p.steps[i].rev < c.Revision {
		p.steps[i] = s
	}
	p.deletes = p.deletes || s.deleted()
	p.revision = max(p.revision, c.Revision)
	return nil
}

// empty reports whether there is nothing to do.
func (p *plan) empty() bool { return len(p.steps) == 0 && p.floor == 0 }

// changesHead reports whether the head has to be written with the steps: it
// says what is cleared, and keeps the revisions of deletions that will expire.
func (p *plan) changesHead() bool { return p.floor > 0 || p.deletes }

// nextHead is the head after the plan, whose first message has the sequence
// first.
func (p *plan) nextHead(h head, highest, first uint64) head {
	h.Revision = max(highest, p.revision)
	if p.floor > 0 {
		h.Floor, h.FloorSequence = p.floor, first
	}
	return h
}

// messages are the messages of steps, under a prefix of subjects.
func messages(steps []step, subject string, remember time.Duration) []*nats.Msg {
	out := make([]*nats.Msg, len(steps), len(steps)+1)
	for i := range steps {
		s := &steps[i]
		m := nats.NewMsg(subject + s.key)
		m.Header.Set(revisionHeader, strconv.FormatUint(s.rev, 10))
		if s.deleted() {
			m.Header.Set(operationHeader, operationDelete)
			if remember > 0 {
				m.Header.Set(ttlHeader, ttl(remember))
			}
		}
		m.Data = s.data
		out[i] = m
	}
	return out
}

// headMessage is the message of a head.
func headMessage(h head, subject string) (*nats.Msg, error) {
	data, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	m := nats.NewMsg(subject + headKey)
	m.Header.Set(revisionHeader, strconv.FormatUint(h.Revision, 10))
	m.Data = data
	return m, nil
}

// shorten shortens a topic for a person.
func shorten(topic string) string {
	const enough = 100
	if len(topic) > enough {
		return strconv.QuoteToASCII(topic[:enough]) + "..."
	}
	return strconv.Quote(topic)
}
