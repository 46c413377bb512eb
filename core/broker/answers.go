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
	w.sent(err)
}

// sent counts an answer that was encoded, or ends the connection.
func (w *writer) sent(err error) {
	if err == nil {
		w.c.countOut()
	} else if errors.Is(err, packet.ErrTooLarge) {
		w.c.end(ending{kind: hook.ByServer, code: mqtt.PacketTooLarge, reason: "an answer exceeds the maximum packet size"})
	}
}

// sendAfter is send for an answer that may not be given before a position of the
// log is written, nor before the answers that came before it. 0 is at once.
func (w *writer) sendAfter(position uint64, p packet.Packet) {
	w.mu.Lock()
	var err error
	to, wait := w.answerBuffer(position)
	*to, err = w.c.enc.Append(*to, p)
	w.held.mark()
	w.mu.Unlock()
	w.sent(err)
	w.await(wait)
}

// acknowledge is sendAfter for an acknowledgement of success.
func (w *writer) acknowledge(position uint64, kind packet.Type, id uint16) {
	w.mu.Lock()
	var err error
	to, wait := w.answerBuffer(position)
	*to, err = w.c.enc.AppendAck(*to, kind, id)
	w.held.mark()
	w.mu.Unlock()
	w.await(wait)
	if err != nil {
		w.sendAfter(position, &packet.Ack{Kind: kind, ID: id}) // which knows what to do
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
	if len(w.control)+len(w.held.answers) < limit || w.failed {
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
	wait := w.release()
	n := len(w.control)
	if w.last {
		n = w.lastAt
	}
	buf = w.takeAnswers(buf, n)
	w.mu.Unlock()
	w.await(wait)
	return buf
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
	if w.room != nil && (w.failed || len(w.held.answers) < w.c.b.limits().ControlBytes) {
		close(w.room)
		w.room = nil
	}
}
