package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// warnBefore is how long before it expires a certificate is warned of.
const warnBefore = 14 * 24 * time.Hour

// Store is the certificates of one listener. Make it with [Open]; its methods
// may be called from many goroutines.
type Store struct {
	current atomic.Pointer[material]
	front   *tls.Config

	mu      sync.Mutex // one reading after the other; guards the fields below
	options Options
	log     *slog.Logger
	moved   chan struct{} // tells the watcher that other files count; holds one
}

// Open reads the files. The error says which of them is no good, and why.
func Open(o Options) (*Store, error) {
	s := &Store{moved: make(chan struct{}, 1)}
	m, err := load(&o, time.Now())
	if err != nil {
		return nil, err
	}
	s.adopt(o)
	s.use(m)
	// Its own keys for session tickets are those of all that follow.
	s.front = &tls.Config{
		MinVersion:         tls.VersionTLS12, // what counts is the other one's
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.current.Load().config, nil },
	}
	return s, nil
}

// Config is for a listener. It stays the same; what it serves changes.
func (s *Store) Config() *tls.Config { return s.front }

// Certificates returns those that are served now, in their order. They are
// shared and must not be changed. It may be called from many goroutines.
func (s *Store) Certificates() []*x509.Certificate {
	m := s.current.Load()
	out := make([]*x509.Certificate, len(m.pairs))
	for i, p := range m.pairs {
		out[i] = p.Leaf
	}
	return out
}

func (s *Store) adopt(o Options) {
	s.options = o
	if s.log = o.Logger; s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.log = s.log.With("listener", o.Name)
}

// Configure makes the store serve other files, or the same in another way. An
// error leaves everything as it was.
func (s *Store) Configure(o Options) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := load(&o, time.Now())
	if err != nil {
		return err
	}
	s.adopt(o)
	s.use(m)
	select {
	case s.moved <- struct{}{}:
	default:
	}
	return nil
}

// Reload reads the files again, and reports whether anything has changed. An
// error leaves everything as it was; that is logged.
func (s *Store) Reload() (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := load(&s.options, time.Now())
	if err != nil {
		s.log.Error("certificates not reloaded: the old ones stay in use", "error", err)
		return false, err
	}
	if m.sum == s.current.Load().sum {
		return false, nil
	}
	s.use(m)
	return true, nil
}

// use lets new connections have what was read.
func (s *Store) use(m *material) {
	s.current.Store(m)
	for _, p := range m.pairs {
		s.log.Info("certificate in use", "subject", p.Leaf.Subject.String(), "names", p.Leaf.DNSNames,
			"serial", p.Leaf.SerialNumber.Text(16), "not_after", p.Leaf.NotAfter)
	}
	s.warn(m, time.Now())
}

// warn tells of what will not be good for long.
func (s *Store) warn(m *material, now time.Time) {
	for _, p := range m.pairs {
		switch left := p.Leaf.NotAfter.Sub(now); {
		case left <= 0:
			s.log.Error("certificate has expired", "subject", p.Leaf.Subject.String(), "not_after", p.Leaf.NotAfter)
		case left < warnBefore:
			s.log.Warn("certificate expires soon", "subject", p.Leaf.Subject.String(), "not_after", p.Leaf.NotAfter)
		}
	}
	for _, l := range m.crls {
		if !l.next.IsZero() && l.next.Before(now) {
			s.log.Warn("list of revoked certificates is out of date; it is used all the same", "next_update", l.next)
		}
	}
}

// files are the paths of everything that is read.
func (s *Store) files() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, p := range s.options.Pairs {
		list = append(list, p.Certificate, p.Key, p.PKCS12)
	}
	list = append(list, s.options.ClientCAs...)
	list = append(list, s.options.CRLs...)
	return slices.DeleteFunc(list, func(path string) bool { return path == "" })
}

// Check reads everything that a store would, and returns what is wrong with it.
func Check(o Options) error {
	_, err := load(&o, time.Now())
	return err
}
