package session_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// What waits to be written before it is sent may be written at any moment, also
// while the writer looks: it is woken for all of it.
func TestWokenForWhatIsWritten(t *testing.T) {
	log := session.NewLog(0)
	s := session.New("c", session.Limits{QueueMessages: 1 << 20, QueueBytes: 1 << 30})
	s.Keep(log, session.DurabilityInterval)
	kick := make(chan struct{}, 1)
	s.Attach(session.Attachment{Version: mqtt.V5, ReceiveMaximum: 10, MaxInFlight: 10, Wake: func() {
		select {
		case kick <- struct{}{}:
		default:
		}
	}})
	stop, written := make(chan struct{}), make(chan struct{})
	go func() { // the store
		defer close(written)
		for {
			if _, upTo := log.Take(nil); upTo != 0 {
				log.Commit(upTo)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	defer func() { close(stop); <-written }()
	const n = 30000
	go func() {
		for i := range n {
			d := mqtt.Delivery{Message: &mqtt.Message{Topic: "t", QoS: 2, Payload: []byte(strconv.Itoa(i))}, QoS: 2}
			s.Enqueue(d, time.Now())
		}
	}()
	timeout := time.After(30 * time.Second)
	var batch []session.Outgoing
	for got := 0; got < n; {
		select {
		case <-kick:
		case <-timeout:
			t.Fatalf("%d of %d messages, %d wait, and nobody wakes the writer", got, n, s.Pending())
		}
		for {
			batch = s.Next(batch[:0], 4, time.Now(), nil)
			if len(batch) == 0 {
				break
			}
			for _, o := range batch {
				if o.Kind == session.SendPublish {
					s.Pubrec(o.ID, mqtt.Success)
					s.Pubcomp(o.ID)
					got++
				}
			}
		}
	}
}
