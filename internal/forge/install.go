package forge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// listFile remembers which files of a folder were installed: the next version
// removes those that it does not have. Being hidden it is no part of the plugin.
const listFile = ".installed.json"

// Install puts the product into the plugin directory dir, where the plugin has a
// folder of its name, or is a program of that name. It reports where that is and
// whether anything changed. All that takes long is done under names that a broker
// passes over; what it then sees changes within a moment.
func (p *Product) Install(dir string) (place string, changed bool, err error) {
	place = filepath.Join(dir, p.Manifest.Name)
	info, err := os.Lstat(place)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return place, true, p.begin(dir, place)
	case err != nil:
		return place, false, err
	case info.IsDir():
		changed, err = p.update(place)
		return place, changed, err
	case len(p.files) == 2 && info.Mode().IsRegular():
		one := &Product{Manifest: p.Manifest, files: []file{p.files[1]}}
		changed, err = one.replace(dir)
		return place, changed, err
	default:
		return place, false, fmt.Errorf("%s is neither a folder nor a program: move it away", place)
	}
}

// begin makes the plugin's folder.
func (p *Product) begin(dir, place string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // see Chmod below
		return err
	}
	draft, err := os.MkdirTemp(dir, "."+p.Manifest.Name+"-")
	if err != nil {
		return err
	}
	for _, f := range p.files {
		err = errors.Join(err, f.write(filepath.Join(draft, filepath.FromSlash(f.name))))
	}
	if err == nil {
		err = p.remember(draft)
	}
	if err == nil {
		err = os.Chmod(draft, 0o755) //nolint:gosec // a broker of another user may have to read it
	}
	if err == nil {
		err = os.Rename(draft, place)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(draft))
	}
	return nil
}

// update brings a folder up to date. Files in it that were never installed, such
// as those of an operator, stay.
func (p *Product) update(place string) (changed bool, err error) {
	old, err := installed(place)
	if err != nil {
		return false, err
	}
	if changed, err = p.replace(place); err != nil {
		return changed, err
	}
	for _, name := range old {
		if !p.has(name) && filepath.IsLocal(filepath.FromSlash(name)) {
			changed = true
			err = errors.Join(err, ignoreMissing(os.Remove(filepath.Join(place, filepath.FromSlash(name)))))
		}
	}
	return changed, errors.Join(err, p.remember(place))
}

// replace puts files in the place of those that differ: first all are written
// beside, then all are renamed.
func (p *Product) replace(place string) (changed bool, err error) {
	var drafts [][2]string
	for _, f := range p.files {
		path := filepath.Join(place, filepath.FromSlash(f.name))
		same, err := f.is(path)
		if err != nil {
			return false, err
		}
		if same {
			continue
		}
		draft := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
		if err := f.write(draft); err != nil {
			return false, err
		}
		drafts = append(drafts, [2]string{draft, path})
	}
	for _, d := range drafts {
		if err := os.Rename(d[0], d[1]); err != nil {
			return true, err
		}
	}
	return len(drafts) > 0, nil
}

func (p *Product) has(name string) bool {
	return slices.ContainsFunc(p.files, func(f file) bool { return f.name == name })
}

func (p *Product) remember(place string) error {
	names := make([]string, len(p.files))
	for i, f := range p.files {
		names[i] = f.name
	}
	text, err := json.Marshal(names)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(place, listFile), text, 0o600)
}

// installed are the names of the files that the last Install has left in place.
func installed(place string) (names []string, err error) {
	text, err := os.ReadFile(filepath.Join(place, listFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &names); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(place, listFile), err)
	}
	return names, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// is reports whether a file is there already.
func (f *file) is(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if f.from != "" {
		// Copies have the time of what they are copies of.
		mine, err := os.Stat(f.from)
		if err != nil {
			return false, err
		}
		if mine.Size() == info.Size() && mine.ModTime().Equal(info.ModTime()) {
			return true, nil
		}
	}
	want, err := f.content()
	if err != nil {
		return false, err
	}
	got, err := os.ReadFile(path)
	return bytes.Equal(got, want), err
}

func (f *file) content() ([]byte, error) {
	if f.from == "" {
		return f.text, nil
	}
	return os.ReadFile(f.from)
}

func (f *file) write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // a broker of another user may have to read it
		return err
	}
	text, err := f.content()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, text, f.mode); err != nil {
		return err
	}
	if f.from == "" {
		return nil
	}
	info, err := os.Stat(f.from)
	if err != nil {
		return err
	}
	return os.Chtimes(path, info.ModTime(), info.ModTime())
}
