package pluginapi

import (
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// frame is a received InterceptStreamRequest with its calls, which refer to its
// bytes. Whoever has answered calls of it releases them; with the last one the
// frame is used again, and nothing in it may be looked at any more.
type frame struct {
	buffer mem.Buffer
	calls  []openCall
	forget []uint64
	open   atomic.Int64
}

// keepCalls bounds what a frame keeps when it is to be used again. The broker
// puts no more into one.
const keepCalls = 256

var frames = sync.Pool{New: func() any { return new(frame) }}

// read reads the bytes. Clients that it tells of are added to clients; those to
// be forgotten are in f.forget, for this frame's calls may be theirs.
func (f *frame) read(clients *clientTable) error {
	if err := f.count(); err != nil {
		return err
	}
	b := f.buffer.ReadOnlyData()
	var x field
	for len(b) > 0 {
		var err error
		if b, err = x.next(b); err != nil {
			return err
		}
		switch {
		case x.is(1, wireBytes):
			c := new(pluginv1.ClientContext)
			if err := proto.Unmarshal(x.data, c); err != nil {
				return fmt.Errorf("client of a frame: %w", err)
			}
			clients.add(c)
		case x.is(2, wireBytes):
			err = f.readForget(x.data)
		case x.is(2, wireVarint):
			f.forget = append(f.forget, x.v)
		case x.is(3, wireBytes):
			f.calls = append(f.calls, openCall{frame: f})
			o := &f.calls[len(f.calls)-1]
			if err = readCall(x.data, o, clients); err == nil {
				o.client, o.undecided = clients.of(o.place.connection)
			}
		}
		if err != nil {
			return err
		}
	}
	f.open.Store(int64(len(f.calls)))
	return nil
}

// count makes room for all calls: they are referred to, and must not move.
func (f *frame) count() error {
	n := 0
	var x field
	for b := f.buffer.ReadOnlyData(); len(b) > 0; {
		var err error
		if b, err = x.next(b); err != nil {
			return err
		}
		if x.is(3, wireBytes) {
			n++
		}
	}
	if cap(f.calls) < n {
		f.calls = make([]openCall, 0, n)
	}
	return nil
}

func (f *frame) readForget(packed []byte) error {
	for len(packed) > 0 {
		id, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return errMalformed
		}
		f.forget, packed = append(f.forget, id), packed[n:]
	}
	return nil
}

// release gives n calls back.
func (f *frame) release(n int) {
	if f.open.Add(-int64(n)) == 0 {
		f.free()
	}
}

// free lets the frame be used again.
func (f *frame) free() {
	if f.buffer != nil {
		f.buffer.Free()
		f.buffer = nil
	}
	clear(f.calls)
	f.calls, f.forget = f.calls[:0], f.forget[:0]
	if cap(f.calls) <= keepCalls {
		frames.Put(f)
	}
}
