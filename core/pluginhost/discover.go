package pluginhost

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

const (
	manifestFile = "plugin.json"
	attachFile   = pluginapi.AttachFile
)

// place is where a plugin was found. Which of its fields are set says what it
// is: a folder, a bare executable, or an address.
type place struct {
	root   string // real path; nothing that is used may lie outside
	folder string // holds plugin.json or attach.json
	file   string // a program that describes itself
	attach string // a socket of a plugin that somebody else runs
	err    error  // why it can't be used
}

// String is the path or address, for a person.
func (p place) String() string { return cmp.Or(p.folder, p.file, p.attach) }

// same reports whether two places are one, and can or can't be used both.
func (p place) same(o place) bool {
	usable := (p.err == nil) == (o.err == nil)
	p.err, o.err = nil, nil
	return p == o && usable
}

// found is a plugin that is to be run, as far as that is known without looking
// into its files.
type found struct {
	Config
	place place
	named bool // by the configuration
}

// discover finds all plugins of a directory and a configuration, in their
// order. Its error is of the directory or the configuration as a whole; what
// is wrong with one plugin is in its place.
func discover(dir string, configs []Config, log *slog.Logger) ([]found, error) {
	places, err := search(dir, log)
	if err != nil {
		return nil, err
	}
	var all []found
	var errs []error
	seen := make(map[string]bool)
	for _, c := range configs {
		if err := c.check(); err != nil {
			errs = append(errs, err)
			continue
		}
		if seen[c.Name] {
			errs = append(errs, fmt.Errorf("plugin %s: configured twice", c.Name))
			continue
		}
		seen[c.Name] = true
		all = append(all, found{Config: c, place: c.locate(dir, places), named: true})
	}
	for name, p := range places {
		if !seen[name] {
			all = append(all, found{Config: Config{Name: name}, place: p})
		}
	}
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Name, b.Name))
	})
	return all, errors.Join(errs...)
}

// locate finds the place of a configured plugin.
func (c *Config) locate(dir string, places map[string]place) place {
	switch {
	case c.Attach != "":
		path, err := socketPath(c.Attach)
		return place{attach: path, err: err}
	case c.Path != "":
		return explicit(c.Path)
	}
	p, ok := places[c.Name]
	switch {
	case ok:
		return p
	case dir == "":
		return place{err: errors.New("it is configured without a path, and there is no plugin directory: give one of both")}
	}
	names := slices.Sorted(maps.Keys(places))
	return place{err: fmt.Errorf("it is configured, but the plugin directory %s has no %s (it has: %s): install it, or set path or enabled: false",
		dir, c.Name, cmp.Or(strings.Join(names, ", "), "nothing"))}
}

// explicit is the place that a configured path leads to. Whoever wrote the
// path vouches for the links on the way; from there on nothing leads out.
func explicit(path string) place {
	target, err := filepath.EvalSymlinks(path)
	if err == nil {
		target, err = filepath.Abs(target)
	}
	if err != nil {
		return place{file: path, err: err}
	}
	info, err := os.Stat(target)
	switch {
	case err != nil:
		return place{file: target, err: err}
	case info.IsDir():
		return place{root: target, folder: target}
	default:
		return place{root: filepath.Dir(target), file: target}
	}
}

// search lists the plugins of a directory by name.
func search(dir string, log *slog.Logger) (map[string]place, error) {
	places := make(map[string]place)
	if dir == "" {
		return places, nil
	}
	root, err := filepath.EvalSymlinks(dir)
	if err == nil {
		root, err = filepath.Abs(root)
	}
	if err != nil {
		return nil, fmt.Errorf("plugin directory: %w", err)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("plugin directory: %w", err)
	}
	for _, e := range entries {
		name, p, ok := classify(root, e)
		switch {
		case !ok:
			if e.IsDir() && !hidden(e.Name()) {
				log.Warn("folder in the plugin directory is no plugin: it has no "+manifestFile,
					slog.String("folder", p.folder))
			}
			continue
		case checkName(name) != nil:
			return nil, fmt.Errorf("plugin directory %s: %w; rename it, or put a dot in front to have it skipped", dir, checkName(name))
		case places[name] != place{}:
			return nil, fmt.Errorf("plugin directory %s: there are two plugins of the name %s; rename one, or put a dot in front to have it skipped", dir, name)
		}
		places[name] = p
	}
	return places, nil
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// classify says what an entry of the plugin directory is. What is neither a
// folder with a manifest nor executable is no plugin.
func classify(root string, e fs.DirEntry) (name string, p place, ok bool) {
	path := filepath.Join(root, e.Name())
	p.root = root
	if hidden(e.Name()) {
		return "", p, false
	}
	info, err := os.Stat(path)
	if err != nil { // a broken link, for one: say so rather than skip it
		p.file, p.err = path, err
		return programName(e.Name()), p, true
	}
	if info.IsDir() {
		p.folder = path
		return e.Name(), p, exists(filepath.Join(path, manifestFile)) || exists(filepath.Join(path, attachFile))
	}
	p.file = path
	return programName(e.Name()), p, info.Mode().IsRegular() && looksRunnable(info)
}

// looksRunnable tells programs from notes that lie between them.
func looksRunnable(info fs.FileInfo) bool {
	if runtime.GOOS == "windows" {
		return strings.EqualFold(filepath.Ext(info.Name()), ".exe")
	}
	return info.Mode().Perm()&0o111 != 0
}

func programName(file string) string { return strings.TrimSuffix(file, ".exe") }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// socketPath is the path in a "unix:///path" or "unix:/path" address.
func socketPath(address string) (string, error) {
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return "", fmt.Errorf("%q is not the address of a Unix socket, such as unix:///run/my-auth.sock", address)
	}
	path = strings.TrimPrefix(path, "//")
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%q has no absolute path: write unix:///path/to/socket", address)
	}
	return filepath.Clean(path), nil
}
