package pluginhost

import (
	"fmt"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/retain"
)

// noPlugin is no plugin's name.
const noPlugin = "-"

// chooseStore picks the plugin that keeps the retained messages: the one that
// is wanted, the only one that can, or the only one of those that the
// configuration names. A choice stays: moving messages to another store is not
// a matter of names.
func (h *Host) chooseStore() error {
	if h.store.Load() != nil {
		return nil
	}
	wanted := *h.wanted.Load()
	var stores, named []*supervisor
	for _, m := range h.list() {
		s := m.supervisor
		if !m.takesPart() {
			continue
		}
		services, _ := s.services()
		switch {
		case !services.store:
		case s.slot.name == wanted:
			h.store.Store(s)
			return nil
		default:
			stores = append(stores, s)
			if s.settings().named {
				named = append(named, s)
			}
		}
	}
	if len(named) > 0 {
		stores = named
	}
	switch {
	case len(stores) == 0 || wanted != "":
		return nil
	case len(stores) == 1:
		h.store.Store(stores[0])
		return nil
	}
	names := make([]string, len(stores))
	for i, s := range stores {
		names[i] = s.slot.name
	}
	return fmt.Errorf("plugins %s are all stores for retained messages, and one has to be chosen: name it in retained.store, or set enabled: false for the others",
		strings.Join(names, ", "))
}

// Store returns a plugin as a store, whether or not it is the one that keeps the
// retained messages. The error says that it is none, or does not run.
func (h *Host) Store(name string) (retain.Store, error) {
	s, err := h.findStore(name)
	if err != nil {
		return nil, err
	}
	if _, err := s.slot.current(); err != nil {
		return nil, err
	}
	return s.slot.facades.store, nil
}

// ChooseStore makes a plugin the one that keeps the retained messages, for
// Bindings and for what becomes of it if it fails. Its caller has moved the
// messages there.
func (h *Host) ChooseStore(name string) error {
	s, err := h.findStore(name)
	if err != nil {
		return err
	}
	h.wanted.Store(&name)
	h.store.Store(s)
	h.changed()
	return nil
}

// ReleaseStore has no plugin keep the retained messages, for Bindings and for
// what becomes of the one that did. Its caller keeps them elsewhere.
func (h *Host) ReleaseStore() {
	h.wanted.Store(new(noPlugin))
	h.store.Store(nil)
	h.changed()
}

// changed says that bindings may have changed.
func (h *Host) changed() {
	select {
	case h.dirty <- struct{}{}:
	default:
	}
}

// spare reports whether another plugin than this one keeps the retained
// messages.
func (h *Host) spare(name string) bool {
	if s := h.store.Load(); s != nil {
		return s.slot.name != name
	}
	wanted := *h.wanted.Load()
	return wanted != "" && wanted != name
}

func (h *Host) findStore(name string) (*supervisor, error) {
	m := h.find(name)
	switch {
	case m == nil:
		return nil, fmt.Errorf("there is no plugin %s; it has to be in the configuration or the plugin directory", name)
	case !m.employed():
		return nil, fmt.Errorf("plugin %s is disabled; \"broker plugin enable %[1]s\" starts it", name)
	case !m.takesPart():
		return nil, fmt.Errorf("plugin %s has not started yet; \"broker plugin info %[1]s\" tells why", name)
	}
	if services, _ := m.supervisor.services(); !services.store {
		return nil, fmt.Errorf("plugin %s is no store for retained messages", name)
	}
	return m.supervisor, nil
}
