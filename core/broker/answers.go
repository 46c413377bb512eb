package broker

import (
	"context"
	"errors"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// send queues an answer. It is written at the next kick. One that is too large
// for the client even when shortened must not be sent [MQTT-3.1.2-24], and since
// the client waits for it the connection has to end. Called by the reader.
func (w *writer) send(p packet.Packet) {
	w.mu.Lock()
	var err error
	w.control, err = w.c.enc.Append(w.control, p)
	w.mu.Unlock()
	if err == nil {
		w.c.countOut()
	} else if errors.Is(err, packet.ErrTooLarge) {
		w.c.end(ending{kind: hook.ByServer, code: mqtt.PacketTooLarge, reason: "an answer exceeds the maximum packet size"})
	}
}

// acknowledge is send for an acknowledgement of success.
func (w *writer) acknowledge(kind packet.Type, id uint16) {
	w.mu.Lock()
	var err error
	w.control, err = w.c.enc.AppendAck(w.control, kind, id)
	w.mu.Unlock()
	if err != nil {
		w.send(&packet.Ack{Kind: kind, ID: id}) // which knows what to do
		return
	}
	w.c.countOut()
}

// pending reports whether answers wait to be written.
func (w *writer) pending() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.control) > 0
}

// sendLast queues the last answer, if there is one, and lets nothing follow it
// [MQTT-3.14.4-1].
func (w *writer) sendLast(p packet.Packet) {
	w.mu.Lock()
	w.last, w.lastAt = true, len(w.control)
	w.mu.Unlock()
	if p != nil {
		w.send(p)
	}
}

// waitRoom blocks the reader while the client does not take its answers. It
// returns false when ctx ends.
func (w *writer) waitRoom(ctx context.Context, limit int) bool {
	w.mu.Lock()
	if len(w.control) < limit || w.failed {
		w.mu.Unlock()
		return ctx.Err() == nil
	}
	room := make(chan struct{})
	w.room = room
	w.mu.Unlock()
	select {
	case <-room:
		return true
	case <-ctx.Done():
		return false
	}
}

// overtake appends the answers that came while messages were collected: one of
// the messages may have been published on account of what they answer.
func (w *writer) overtake(buf []byte) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.control)
	if w.last {
		n = w.lastAt
	}
	return w.takeAnswers(buf, n)
}

// takeAnswers appends the first n bytes of the answers. The caller holds mu.
func (w *writer) takeAnswers(buf []byte, n int) []byte {
	buf = append(buf, w.control[:n]...)
	left := w.control[n:]
	if cap(w.control) > controlBufKeep {
		w.control = nil
	} else {
		w.control = w.control[:0]
	}
	w.control = append(w.control, left...)
	w.lastAt = max(0, w.lastAt-n)
	w.releaseRoom()
	return buf
}

// releaseRoom wakes a reader that waits. The caller holds mu.
func (w *writer) releaseRoom() {
	if w.room != nil {
		close(w.room)
		w.room = nil
	}
}
