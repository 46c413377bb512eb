package broker

import (
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/gatehouse-mqtt/gatehouse/core/admission"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// ListenerOptions are what holds for the clients of one listener, beside what
// holds for all. The zero value adds nothing.
type ListenerOptions struct {
	// Validators names those that decide; all of them must be there. nil means
	// all that there are, an empty list that everyone is let in.
	Validators []string
	// Mountpoint is put before all topics, and before the mountpoint that a
	// validator gives. It ends with "/" and has no "$" in front.
	Mountpoint string
	// Versions are the protocol versions that are spoken; nil means all. Others
	// are refused with 0x84.
	Versions []mqtt.Version
	// Connections bounds the open connections of the listener; 0 does not.
	Connections int
	// ConnectRate bounds its new connections; the zero value does not. One too many
	// is closed before anything is read of it.
	ConnectRate admission.Rate
	// Limits narrow the broker's, as a validator's do.
	Limits hook.Limits
	// Durability takes the place of Options.Durability; nil does not.
	Durability *session.Durability
	// UsernameFrom makes a part of the client's certificate its user name, in
	// place of what it sends. A client without a certificate keeps its own; one
	// whose certificate lacks that part is refused with 0x86. Only verified
	// certificates count.
	UsernameFrom CertificateField
}

// CertificateField is a part of a certificate that can name a user.
type CertificateField string

// The parts of a certificate. Of several names of a kind the first counts.
const (
	CertificateNone        CertificateField = ""
	CertificateCN          CertificateField = "cn"          // common name of the subject
	CertificateSubject     CertificateField = "subject"     // RFC 2253: "CN=device 7,O=Example"
	CertificateDNS         CertificateField = "dns"         // subject alternative names
	CertificateEmail       CertificateField = "email"       //
	CertificateURI         CertificateField = "uri"         //
	CertificateFingerprint CertificateField = "fingerprint" // SHA-256 of the DER, lower-case hexadecimal
)

// CertificateFields are all but CertificateNone.
var CertificateFields = []CertificateField{
	CertificateCN, CertificateSubject, CertificateDNS, CertificateEmail, CertificateURI, CertificateFingerprint,
}

// of returns the field's value, "" if the certificate has none.
func (f CertificateField) of(c *hook.Certificate) string {
	first := func(list []string) string {
		if len(list) == 0 {
			return ""
		}
		return list[0]
	}
	switch f {
	case CertificateCN:
		return c.CommonName
	case CertificateSubject:
		return c.Subject
	case CertificateDNS:
		return first(c.DNSNames)
	case CertificateEmail:
		return first(c.EmailAddresses)
	case CertificateURI:
		return first(c.URIs)
	case CertificateFingerprint:
		return hex.EncodeToString(c.SHA256[:])
	default:
		return ""
	}
}

// SetListener replaces what holds for the listener of a name, for connections
// that are accepted from now on. It may be called before the listener is served
// and at any time after.
func (b *Broker) SetListener(name string, o ListenerOptions) {
	p := b.place(name)
	p.options.Store(&o)
	p.door.SetLimits(admission.Limits{Rate: o.ConnectRate})
}

// place is what the broker keeps of a listener's name.
type place struct {
	options     atomic.Pointer[ListenerOptions] // never nil
	connections atomic.Int64
	door        *admission.Door // of the listener's own rate; it knows no addresses
}

func (b *Broker) place(name string) *place {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.placeLocked(name)
}

func (b *Broker) placeLocked(name string) *place {
	p := b.places[name]
	if p == nil {
		p = &place{door: admission.NewDoor(admission.Limits{})}
		p.options.Store(new(ListenerOptions))
		b.places[name] = p
	}
	return p
}

// full reports whether the listener takes no more connections.
func (p *place) full() bool {
	most := p.options.Load().Connections
	return most > 0 && p.connections.Load() >= int64(most)
}

// speaks reports whether clients of a version may connect.
func (o *ListenerOptions) speaks(v mqtt.Version) bool {
	return o.Versions == nil || slices.Contains(o.Versions, v)
}

var errNameless = errors.New("the client certificate has no name to be known by here")

// identify gives a client the user name that its certificate says.
func (o *ListenerOptions) identify(in *hook.Connect) error {
	if o.UsernameFrom == CertificateNone || in.TLS == nil || in.TLS.Certificate == nil || !in.TLS.Certificate.Verified {
		return nil
	}
	name := o.UsernameFrom.of(in.TLS.Certificate)
	if !validUsername(name) {
		return errNameless
	}
	in.Username, in.HasUsername = name, true
	return nil
}

// validUsername reports whether a CONNECT could hold a user name.
func validUsername(s string) bool {
	return s != "" && len(s) <= math.MaxUint16 && utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

// admit adds what holds for the listener to the validators' word.
func (o *ListenerOptions) admit(adm *hook.Admission) {
	if adm.Code == mqtt.Success {
		adm.Mountpoint = o.Mountpoint + adm.Mountpoint
		adm.Limits = adm.Limits.Narrow(o.Limits)
	}
}
