package pluginhost

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// fingerprint tells whether files changed, by their names, sizes, modes and
// times. Equal fingerprints mean that a start which failed would fail again.
type fingerprint [sha256.Size]byte

// maxFingerprinted bounds the files of a folder that are looked at.
const maxFingerprinted = 2000

// fingerprint covers the plugin's folder or program, its socket, and the files
// that its configuration names: a plugin that refused a broken users file is
// worth another start when that file was mended.
func (v *verifier) fingerprint() fingerprint {
	h := sha256.New()
	own := v.ownFiles()
	h.Write(own[:])
	lock := v.lock()
	h.Write(lock[:])
	var config any
	if json.Unmarshal(v.Config.Config, &config) == nil {
		addNamed(h, config)
	}
	return fingerprint(h.Sum(nil))
}

// ownFiles covers only what the plugin is made of: a running plugin watches the
// files that its configuration names by itself, and may well write to them.
// What an interpreter leaves beside its scripts is not covered either, and
// attach.json as far as it leads to somebody.
func (v *verifier) ownFiles() fingerprint {
	h := sha256.New()
	switch p := v.place; {
	case p.folder != "":
		addTree(h, p.folder)
		fmt.Fprintf(h, "%s\x00", v.guest())
	case p.file != "":
		addFile(h, p.file)
	case p.attach != "":
		addFile(h, p.attach)
	}
	return fingerprint(h.Sum(nil))
}

// looks are fingerprints that were taken at one time.
type looks struct {
	all fingerprint // of everything that a start depends on
	own fingerprint // of the plugin's own files
	// lock is of the lock file: a plugin that was refused because of it is worth
	// another start when somebody has accepted its files.
	lock fingerprint
}

func (v *verifier) look() looks {
	return looks{all: v.fingerprint(), own: v.ownFiles(), lock: v.lock()}
}

// lock covers the lock file.
func (v *verifier) lock() fingerprint {
	h := sha256.New()
	if v.pins != nil && v.pins.path != "" {
		addFile(h, v.pins.path)
	}
	return fingerprint(h.Sum(nil))
}

// foreign are folders that others fill: an interpreter, and npm with thousands
// of files, which package-lock.json stands for.
var foreign = map[string]bool{"__pycache__": true, "node_modules": true}

func addTree(h hash.Hash, folder string) {
	left := maxFingerprinted
	// What can't be read adds its absence.
	_ = filepath.WalkDir(folder, func(path string, e fs.DirEntry, _ error) error {
		if path != folder && e != nil && (hidden(e.Name()) || foreign[e.Name()] || e.Name() == attachFile) {
			if e.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		addFile(h, path)
		if left--; left == 0 {
			return filepath.SkipAll
		}
		return nil
	})
}

// addFile adds a file by its attributes, links followed.
func addFile(h hash.Hash, path string) {
	info, err := os.Stat(path)
	if err != nil {
		fmt.Fprintf(h, "%s\x00missing\x00", path)
		return
	}
	if info.IsDir() { // its size and time tell of entries that are left out too
		fmt.Fprintf(h, "%s\x00%v\x00", path, info.Mode())
		return
	}
	fmt.Fprintf(h, "%s\x00%d\x00%v\x00%d\x00", path, info.Size(), info.Mode(), info.ModTime().UnixNano())
}

// addNamed adds the files that strings of a configuration may name.
func addNamed(h hash.Hash, value any) {
	switch value := value.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(value)) {
			addNamed(h, value[k])
		}
	case []any:
		for _, v := range value {
			addNamed(h, v)
		}
	case string:
		if len(value) < 4096 && !strings.ContainsRune(value, 0) && (filepath.IsAbs(value) || exists(value)) {
			addFile(h, value)
		}
	}
}
