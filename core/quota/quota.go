package quota

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Unlimited is the limit that nobody reaches.
const Unlimited = math.MaxUint64

// MaxAccounts bounds a ledger: accounts are named by who was granted something,
// and kept for as long as a month lasts.
const MaxAccounts = 1 << 20

// ErrFull is returned by [Ledger.Open] for one account too many.
var ErrFull = fmt.Errorf("there are %d accounts with quotas already", MaxAccounts)

var errVersion = errors.New("written by a newer broker")

// Amount is what is used or may be used.
type Amount struct {
	Bytes    uint64 `json:"bytes"`
	Messages uint64 `json:"messages"`
}

func (a Amount) plus(b Amount) Amount {
	return Amount{Bytes: a.Bytes + b.Bytes, Messages: a.Messages + b.Messages}
}

// within reports whether a is not above a limit.
func (a Amount) within(limit Amount) bool {
	return a.Bytes <= limit.Bytes && a.Messages <= limit.Messages
}

// nearly reports whether at least nine tenths of a limit are used.
func (a Amount) nearly(limit Amount) bool {
	return a.Bytes >= limit.Bytes-limit.Bytes/10 || a.Messages >= limit.Messages-limit.Messages/10
}

// Grant is what an account may use.
type Grant struct {
	// Account is the name that usage is kept under.
	Account string
	// Zone is where days and months begin; nil means UTC. Of several meters on
	// an account the one that was opened last decides.
	Zone *time.Location
	// Day and Month are the limits; Unlimited is none, 0 is nothing at all.
	Day, Month Amount
}

// Usage is the state of an account.
type Usage struct {
	Account    string
	Zone       string
	Day, Month Amount // used
	// DayLimit and MonthLimit are those of the meter that was opened last;
	// Unlimited if none was since the broker started.
	DayLimit, MonthLimit Amount
}
