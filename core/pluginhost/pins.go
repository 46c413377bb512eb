package pluginhost

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gatehouse-mqtt/gatehouse/internal/wholefile"
)

// LockFileName is the name of the lock file in a plugin directory.
const LockFileName = "plugins.lock"

// lockHeader is the first line of a lock file.
const lockHeader = "# gatehouse plugins.lock 1: the files of each plugin; \"broker plugin lock\" writes it"

// pins says which files plugins may be started from. Its methods may be called
// from many goroutines.
type pins struct {
	path     string // of the lock file; "" if there is none
	dir      string // the plugin directory, for advice
	required bool   // a plugin without an entry is refused
	log      *slog.Logger

	shadowing *shadowing

	mu     sync.Mutex // guards warned
	warned map[string]bool
}

// newPins makes the pins of a host.
func newPins(o *Options, s *shadowing, log *slog.Logger) *pins {
	return &pins{path: o.lockFile(), dir: o.PluginDir, required: o.Locked, log: log, shadowing: s, warned: make(map[string]bool)}
}

// lockFile is where the lock file is, "" if there is none.
func (o *Options) lockFile() string {
	if o.LockFile == "" && o.PluginDir != "" {
		return filepath.Join(o.PluginDir, LockFileName)
	}
	return o.LockFile
}

// check refuses a plugin whose files are not those of the lock file. It is made
// before anything of them is run. guest is where somebody runs the plugin by hand;
// "": nobody does.
func (p *pins) check(ctx context.Context, name string, at place, guest string) error {
	if p == nil || p.path == "" && !p.required || p.shadowing != nil && !p.required {
		return nil
	}
	locked, err := readLock(p.path)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	want, pinned := locked[name]
	if !pinned && !p.required {
		p.warn(name, missing)
		return nil
	}
	got, err := at.hash(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("its files can't be compared with %s: %w", p.path, err)
	case pinned && guest != "":
		return fmt.Errorf("it is pinned in %s, and %s beside its files leads to %s: what somebody runs by hand has no files to compare, so that it is "+
			"not attached to a pinned plugin; take the entry out while you debug it, or remove %s", p.path, attachFile, guest, filepath.Join(at.folder, attachFile))
	case p.shadowing.pinned(locked, got):
		return nil
	case p.shadowing != nil:
		return fmt.Errorf("its files (SHA-256 %s) have no entry in %s, and plugins_locked demands one: if they are as they should be, "+
			"put them into the plugin directory under another name with enabled: false, and accept that with \"broker plugin lock\"", got, cmp.Or(p.path, "a lock file"))
	case !pinned:
		return fmt.Errorf("it has no entry in %s, and plugins_locked demands one: if its files (SHA-256 %s) are as they should be, accept them with %q",
			cmp.Or(p.path, "a lock file"), got, p.command(name))
	case got != want:
		return fmt.Errorf("its files have the SHA-256 %s, and %s has %s for them: if they are as they should be, accept them with %q",
			got, p.path, want, p.command(name))
	}
	return nil
}

// command is how to accept the files of a plugin.
func (p *pins) command(name string) string {
	command := "broker plugin lock"
	if p.dir != "" {
		command += " --plugin-dir " + p.dir
	}
	if p.path != "" && p.path != filepath.Join(p.dir, LockFileName) {
		command += " --file " + p.path
	}
	return command + " " + name
}

// warn says once that anybody who can write a plugin's files decides what is
// run.
func (p *pins) warn(name string, noFile bool) {
	key := name
	if noFile {
		key = ""
	}
	p.mu.Lock()
	said := p.warned[key]
	p.warned[key] = true
	p.mu.Unlock()
	switch {
	case said:
	case noFile:
		p.log.Warn("plugins are not pinned to their files; \"broker plugin lock\" does that", slog.String("file", p.path))
	default:
		p.log.Warn("plugin is not pinned to its files", slog.String("plugin", name), slog.String("do", p.command(name)))
	}
}

// readLock reads a lock file: the hash of each plugin by its name.
func readLock(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	locked := make(map[string]string)
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, sum, _ := strings.Cut(line, " ")
		sum, ok := strings.CutPrefix(strings.TrimSpace(sum), "sha256:")
		if !ok || !hashSyntax.MatchString(sum) || checkName(name) != nil || locked[name] != "" {
			return nil, fmt.Errorf("%s:%d:1: a line is \"NAME sha256:HEX\", and each name is there once", path, n)
		}
		locked[name] = strings.ToLower(sum)
	}
	return locked, nil
}

// Locked is the outcome of [Lock] for one plugin.
type Locked struct {
	Name string
	Hash string // what the lock file has now; "" if the plugin is gone
	Old  string // what it had; "" if it had none
}

// Lock writes the hashes of plugins into the lock file that a host with these
// options reads: of those named, or, if none are, of all, and then entries
// of plugins that are gone are removed. It needs no running host. Plugins that somebody
// else runs have no files, and are left out.
func Lock(ctx context.Context, o Options, names []string) ([]Locked, error) {
	path := o.lockFile()
	if path == "" {
		return nil, errors.New("there is neither a plugin directory nor a lock file to write: give one of both")
	}
	all, err := discover(o.PluginDir, o.Plugins, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	old, err := readLock(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	next := maps.Clone(old)
	if len(names) == 0 || next == nil {
		next = make(map[string]string)
	}
	var out []Locked
	for _, f := range all {
		if len(names) > 0 && !slices.Contains(names, f.Name) || f.place.attach != "" {
			continue
		}
		if f.place.err != nil && len(names) == 0 && !f.enabled() {
			continue // not installed, and not wanted
		}
		if f.place.err != nil {
			return nil, fmt.Errorf("plugin %s: %w", f.Name, f.place.err)
		}
		sum, err := f.place.hash(ctx)
		if err != nil {
			return nil, fmt.Errorf("plugin %s: %w", f.Name, err)
		}
		next[f.Name] = sum
		out = append(out, Locked{Name: f.Name, Hash: sum, Old: old[f.Name]})
	}
	for _, name := range names {
		if !slices.ContainsFunc(out, func(l Locked) bool { return l.Name == name }) {
			return nil, fmt.Errorf("%w %q that has files", ErrUnknown, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if next[name] == "" {
			out = append(out, Locked{Name: name, Old: old[name]})
		}
	}
	return out, writeLock(path, next)
}

// writeLock writes a lock file in one step.
func writeLock(path string, locked map[string]string) error {
	var text bytes.Buffer
	fmt.Fprintln(&text, lockHeader)
	for _, name := range slices.Sorted(maps.Keys(locked)) {
		fmt.Fprintf(&text, "%s sha256:%s\n", name, locked[name])
	}
	return wholefile.Replace(path, text.Bytes(), 0o644) // no secret: anybody may compare
}
