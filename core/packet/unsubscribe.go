package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Unsubscribe is an UNSUBSCRIBE packet.
type Unsubscribe struct {
	// ID is the packet identifier, never zero.
	ID uint16

	// Filters are in the client's order, at least one. Their syntax is not
	// checked here.
	Filters []string

	// User are the User Properties, nil for none. MQTT 5.
	User []mqtt.UserProperty
}

// Type is UNSUBSCRIBE.
func (*Unsubscribe) Type() Type { return UNSUBSCRIBE }

func (d *Decoder) unsubscribe(c *cursor) *Unsubscribe {
	p := &Unsubscribe{ID: c.id()}
	if d.version == mqtt.V5 {
		properties := c.properties(in(UNSUBSCRIBE), d.limits)
		properties.next() // only User Properties, which it keeps
		p.User = properties.user
	}
	n := d.countFilters(c, 0)
	if c.bad() {
		return nil
	}
	p.Filters = make([]string, 0, n)
	for c.left() > 0 && !c.bad() {
		p.Filters = append(p.Filters, string(c.text()))
	}
	return p
}

func (p *Unsubscribe) write(w *writer, v mqtt.Version) {
	w.id(p.ID)
	if v == mqtt.V5 {
		block := w.begin()
		w.propUser(p.User)
		w.end(block)
	}
	if len(p.Filters) == 0 {
		w.fail(errNoFilter)
	}
	for _, f := range p.Filters {
		w.text(f)
	}
}
