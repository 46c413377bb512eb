package quota

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/internal/wholefile"
)

// fileVersion is that of the file's form.
const fileVersion = 1

const (
	dayLayout   = "2006-01-02"
	monthLayout = "2006-01"
)

// file is what the file has.
type file struct {
	Version  int     `json:"version"`
	Accounts []entry `json:"accounts"`
}

// entry is an account in the file.
type entry struct {
	Account string      `json:"account"`
	Zone    string      `json:"zone"`
	Day     periodEntry `json:"day"`
	Month   periodEntry `json:"month"`
}

// periodEntry is a day or a month in the file.
type periodEntry struct {
	Is   string  `json:"is"` // 2006-01-02 or 2006-01
	Told notices `json:"told,omitempty"`
	Amount
}

// read takes over what the file has.
func (l *Ledger) read() error {
	text, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("quotas: %w", err)
	}
	var f file
	err = json.Unmarshal(text, &f)
	if f.Version > fileVersion { // whatever else it has
		return fmt.Errorf("quotas: %s is of version %d, this broker knows version %d: %w", l.path, f.Version, fileVersion, errVersion)
	}
	for i := range f.Accounts {
		if err != nil {
			break
		}
		var a *account
		if a, err = f.Accounts[i].account(); err == nil {
			l.byName[a.name] = a
		}
	}
	if err == nil {
		return nil
	}
	clear(l.byName)
	aside := l.path + ".corrupt"
	if err := os.Rename(l.path, aside); err != nil {
		return fmt.Errorf("quotas: %w", err)
	}
	l.log.Error("usage of quotas cannot be read: counting begins anew",
		slog.String("file", l.path), slog.String("moved_to", aside), slog.Any("error", err))
	return nil
}

func (e *entry) account() (*account, error) {
	day, err := time.Parse(dayLayout, e.Day.Is)
	if err != nil {
		return nil, fmt.Errorf("account %q: %w", e.Account, err)
	}
	month, err := time.Parse(monthLayout, e.Month.Is)
	if err != nil {
		return nil, fmt.Errorf("account %q: %w", e.Account, err)
	}
	zone, err := time.LoadLocation(e.Zone)
	if err != nil {
		zone = time.UTC // until somebody says better
	}
	unlimited := Amount{Bytes: Unlimited, Messages: Unlimited}
	return &account{
		name: e.Account, zone: zone, granted: Grant{Day: unlimited, Month: unlimited},
		day:   period{number: dayNumber(day.Date()), used: e.Day.Amount, told: e.Day.Told},
		month: period{number: monthNumber(month.Year(), month.Month()), used: e.Month.Amount, told: e.Month.Told},
	}, nil
}

// entry is the account as the file has it.
func (a *account) entry() entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	day := time.Unix(int64(a.day.number)*24*60*60, 0).UTC()
	month := time.Date(a.month.number/12, time.Month(a.month.number%12+1), 1, 0, 0, 0, 0, time.UTC)
	return entry{
		Account: a.name, Zone: a.zone.String(),
		Day:   periodEntry{Is: day.Format(dayLayout), Told: a.day.told, Amount: a.day.used},
		Month: periodEntry{Is: month.Format(monthLayout), Told: a.month.told, Amount: a.month.used},
	}
}

// Save writes the file if something has changed, and forgets accounts of months
// that are over.
func (l *Ledger) Save() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.sweep()
	if l.path == "" || !l.dirty.Swap(false) {
		return nil
	}
	list := l.accounts()
	f := file{Version: fileVersion, Accounts: make([]entry, len(list))}
	for i, a := range list {
		f.Accounts[i] = a.entry()
	}
	text, err := json.MarshalIndent(f, "", " ")
	if err == nil {
		err = wholefile.Replace(l.path, append(text, '\n'), 0o600)
	}
	if err != nil {
		l.dirty.Store(true)
		return fmt.Errorf("quotas: %w", err)
	}
	return nil
}
