package broker

import (
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// lastRefused remembers the latest refusals of CONNECTs, for those who ask why a
// client does not get in. It is safe for concurrent use.
type lastRefused struct {
	mu   sync.Mutex
	ring [maxRefused]refused
	next int
}

const (
	maxRefused     = 256
	maxRefusedText = 256 // bytes of an identifier or a reason that are kept
)

// refused is what a client was told.
type refused struct {
	at       time.Time
	clientID string
	peer     string
	by       string // a plugin; "": the broker
	code     mqtt.ReasonCode
	reason   string
	err      string // why a plugin could not decide
}

func (l *lastRefused) add(clientID, peer string, adm *hook.Admission) {
	if len(clientID) > maxRefusedText {
		return // nobody asks for that
	}
	r := refused{at: time.Now(), clientID: clientID, peer: peer, by: adm.By, code: adm.Code, reason: beginning(adm.Reason)}
	if adm.Err != nil {
		r.err = beginning(adm.Err.Error())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring[l.next] = r
	l.next = (l.next + 1) % maxRefused
}

// beginning is as much of a text as is kept.
func beginning(s string) string {
	if len(s) > maxRefusedText {
		s = strings.ToValidUTF8(s[:maxRefusedText], "") + "..."
	}
	return s
}

// last returns the latest refusal of a client.
func (l *lastRefused) last(clientID string) (refused, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.ring {
		r := &l.ring[(l.next-1-i+maxRefused)%maxRefused]
		if r.at.IsZero() {
			break
		}
		if r.clientID == clientID {
			return *r, true
		}
	}
	return refused{}, false
}
