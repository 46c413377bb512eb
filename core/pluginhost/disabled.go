package pluginhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/internal/wholefile"
)

// disablings are the plugins that somebody disabled while the broker ran. They
// are in a file of the data folder, because a start is no reason to enable
// them.
type disablings struct {
	path string

	mu    sync.Mutex // guards the field below
	since map[string]time.Time
}

// disablingsFile is the file's form.
type disablingsFile struct {
	Schema   int                  `json:"schema"` // 1
	Disabled map[string]disabling `json:"disabled"`
}

type disabling struct {
	Since time.Time `json:"since"`
}

// readDisablings reads the file; nothing is disabled if there is none.
func readDisablings(dataDir string) (*disablings, error) {
	d := &disablings{path: filepath.Join(dataDir, "plugins-disabled.json"), since: make(map[string]time.Time)}
	text, err := os.ReadFile(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	var f disablingsFile
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err == nil && f.Schema != 1 {
		err = fmt.Errorf("its schema is %d, and this broker knows 1", f.Schema)
	}
	if err != nil {
		return nil, fmt.Errorf("%s says which plugins were disabled, and can't be read: %w; remove it to start with all of them", d.path, err)
	}
	for name, e := range f.Disabled {
		d.since[name] = e.Since
	}
	return d, nil
}

// find tells since when a plugin is disabled; the zero time if it is not.
func (d *disablings) find(name string) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.since[name]
}

// set writes down that a plugin is disabled, or, with the zero time, that it is
// not. After an error the file is as it was.
func (d *disablings) set(name string, since time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since[name].Equal(since) {
		return nil
	}
	next := maps.Clone(d.since)
	if next[name] = since; since.IsZero() {
		delete(next, name)
	}
	f := disablingsFile{Schema: 1, Disabled: make(map[string]disabling)}
	for name, since := range next {
		f.Disabled[name] = disabling{Since: since}
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		if err = os.MkdirAll(filepath.Dir(d.path), 0o700); err == nil {
			err = wholefile.Replace(d.path, append(text, '\n'), 0o600)
		}
	}
	if err != nil {
		return fmt.Errorf("which plugins are disabled can't be written down for the next start: %w", err)
	}
	d.since = next
	return nil
}

// firstMember is a plugin that the host has just found: employed or not as the
// entry says, or else as was ordered last. An entry that says it explicitly
// counts, and ends the order.
func (h *Host) firstMember(f found) (m *member, wanted bool) {
	m = &member{found: f}
	since := h.disabled.find(f.Name)
	if since.IsZero() {
		return m, f.enabled()
	}
	if f.Enabled == nil && f.Name != *h.wanted.Load() {
		m.off, m.since = true, since
		h.log.Info("plugin is disabled", slog.String("plugin", f.Name), slog.Time("since", since))
		return m, false
	}
	h.forgetDisabling(f.Name)
	return m, f.enabled()
}

// forgetDisabling ends an order that something else has overtaken.
func (h *Host) forgetDisabling(name string) {
	if err := h.disabled.set(name, time.Time{}); err != nil {
		h.log.Error("plugin is enabled, and its being disabled is not forgotten", slog.String("plugin", name), slog.Any("error", err))
	}
}
