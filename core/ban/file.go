package ban

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"

	"github.com/gatehouse-mqtt/gatehouse/internal/wholefile"
)

// fileVersion is that of the file's form.
const fileVersion = 1

// file is what the file has.
type file struct {
	Version int   `json:"version"`
	Bans    []Ban `json:"bans"`
}

// read returns what a file has, nothing if there is none.
func read(path string, log *slog.Logger) ([]Ban, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var f file
	err = json.Unmarshal(text, &f)
	if f.Version > fileVersion { // whatever else it has
		return nil, fmt.Errorf("%s is of version %d, written by a newer broker; this one knows version %d", path, f.Version, fileVersion)
	}
	if err != nil {
		aside := path + ".corrupt"
		if err := os.Rename(path, aside); err != nil {
			return nil, err
		}
		log.Error("list of bans cannot be read: nobody is banned", "file", path, "moved_to", aside, "error", err)
		return nil, nil
	}
	return f.Bans, nil
}

// write writes the list to its file, if it has one: either all of it or
// nothing. The caller holds writing.
func (l *List) write() error {
	if l.path == "" {
		return nil
	}
	f := file{Version: fileVersion, Bans: slices.DeleteFunc(l.List(), func(b Ban) bool { return b.Transient })}
	text, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		err = wholefile.Replace(l.path, append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotKept, err)
	}
	return nil
}
