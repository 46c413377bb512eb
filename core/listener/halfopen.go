package listener

import (
	"net"
	"time"
)

// defaultHalfOpenTimeout is what zero means in Options.
const defaultHalfOpenTimeout = 2 * time.Minute

// wary is a listener that notices peers that have gone without a word.
type wary struct {
	*net.TCPListener
	timeout time.Duration // negative: it does not
}

func newWary(l *net.TCPListener, timeout time.Duration) wary {
	if timeout == 0 {
		timeout = defaultHalfOpenTimeout
	}
	return wary{l, timeout}
}

// Accept implements net.Listener.
func (w wary) Accept() (net.Conn, error) {
	nc, err := w.AcceptTCP()
	if err != nil {
		return nil, err
	}
	// What fails here does so because the connection has ended: whoever reads
	// from it will see.
	if w.timeout < 0 {
		_ = nc.SetKeepAlive(false)
		return nc, nil
	}
	_ = nc.SetKeepAliveConfig(probing(w.timeout))
	setUserTimeout(nc, w.timeout)
	return nc, nil
}

// probing has a quiet connection probed after half of the time, and three times
// more in the rest of it.
func probing(timeout time.Duration) net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: timeout / 2, Interval: max(timeout/8, time.Second), Count: 4}
}
