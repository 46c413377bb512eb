package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/internal/wholefile"
)

// storeRecord is a file in the data folder that says to which store the retained
// messages were moved last. The configuration can't know: it is a person's.
type storeRecord struct {
	Store    string    `json:"store"`    // that has them now
	From     string    `json:"from"`     // that had them before, and may still have old ones
	Revision uint64    `json:"revision"` // at which the store took over
	Moved    time.Time `json:"moved"`
}

func newStoreRecord(from, to string, revision uint64) storeRecord {
	return storeRecord{Store: to, From: from, Revision: revision, Moved: time.Now().UTC()}
}

func storeRecordPath(dataDir string) string { return filepath.Join(dataDir, "retained-store.json") }

// readStoreRecord returns a zero record if there is no file.
func readStoreRecord(path string) (storeRecord, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return storeRecord{}, nil
	}
	var r storeRecord
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err == nil && (r.Store == "" || r.From == "") {
		err = errors.New("it does not name two stores")
	}
	if err != nil {
		return storeRecord{}, fmt.Errorf("%s says where retained messages were moved to, and can't be read: %w; remove it if retained.store in the configuration is right", path, err)
	}
	return r, nil
}

// write replaces the file, durably. After an error the old one counts.
func (r storeRecord) write(path string) (err error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = wholefile.Replace(path, append(text, '\n'), 0o600)
	if errors.Is(err, wholefile.ErrUnsettled) { // the move ends here: the record must not outlive this
		if before == nil {
			return errors.Join(err, os.Remove(path))
		}
		return errors.Join(err, wholefile.Replace(path, before, 0o600))
	}
	return err
}
