package main

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-mqtt/gatehouse/internal/bench/peer"
)

// meter reads processor times at the ends of a measurement.
type meter struct {
	marks []reading
}

type reading struct {
	broker, plugins, own time.Duration
	resident             uint64
	at                   time.Time
}

// mark takes a reading.
func (m *meter) mark(p *peer.Process) error {
	b, err := p.Usage()
	if err != nil {
		return err
	}
	c, err := p.Children()
	if err != nil {
		return err
	}
	var own unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &own); err != nil {
		return err
	}
	m.marks = append(m.marks, reading{
		broker: b.CPU, plugins: c.CPU, resident: b.Resident, at: time.Now(),
		own: time.Duration(own.Utime.Nano() + own.Stime.Nano()),
	})
	return nil
}

// ends returns the last two readings.
func (m *meter) ends() (from, to reading) {
	n := len(m.marks)
	return m.marks[n-2], m.marks[n-1]
}

func (m *meter) broker() time.Duration {
	from, to := m.ends()
	return to.broker - from.broker
}

func (m *meter) plugins() time.Duration {
	from, to := m.ends()
	return to.plugins - from.plugins
}

func (m *meter) own() time.Duration {
	from, to := m.ends()
	return to.own - from.own
}

func (m *meter) seconds() float64 {
	from, to := m.ends()
	return to.at.Sub(from.at).Seconds()
}
