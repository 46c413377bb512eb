package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gatehouse-mqtt/gatehouse/internal/bench/load"
)

// idleTLS is idle over TLS. The clients are Go's: they are slower than the
// broker, so that no rate is told.
func (s *stage) idleTLS(n int) error {
	before := s.meter.marks[0]
	var mu sync.Mutex // guards conns
	var conns []*tls.Conn
	defer func() {
		for _, c := range conns {
			_ = c.NetConn().Close()
		}
	}()
	var dialing errgroup.Group
	dialing.SetLimit(32)
	for i := range n {
		dialing.Go(func() error {
			// Who is at the other end is not what is measured.
			c, err := tls.Dial("tcp", s.process.Addr.String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // see above
			if err != nil {
				return err
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			connack := make([]byte, 4)
			_, err = c.Write(load.Connect(fmt.Sprintf("idle%05d", i), true, "", ""))
			if err == nil {
				_, err = io.ReadFull(c, connack)
			}
			if err == nil && connack[3] != 0 {
				err = errors.New("the broker refused a connection")
			}
			return err
		})
	}
	if err := dialing.Wait(); err != nil {
		return err
	}
	if err := s.mark(); err != nil {
		return err
	}
	s.say("CPU us/connect", s.meter.broker().Seconds()*1e6/float64(n))
	time.Sleep(s.silence)
	return s.settled("connection", n, before)
}
