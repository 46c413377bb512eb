package pluginhost

import (
	"errors"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec that wireCodec falls back to
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// wireCodec carries messages that were marshalled by hand, and all others like
// the standard codec. What is on the wire is plain protobuf. It is given to
// single calls and never registered: other packages' connections keep the
// standard codec.
type wireCodec struct{ standard encoding.CodecV2 }

var codec = wireCodec{standard: encoding.GetCodecV2("proto")}

// Name is that of the format, not of the implementation; it is what the
// content type says.
func (wireCodec) Name() string { return "proto" }

// Marshal takes the bytes of an [outgoing], which can be sent once.
func (c wireCodec) Marshal(v any) (mem.BufferSlice, error) {
	if out, ok := v.(*outgoing); ok {
		return out.take()
	}
	return c.standard.Marshal(v)
}

// Unmarshal lets an [incoming] read the bytes, which are only its own until it
// returns.
func (c wireCodec) Unmarshal(data mem.BufferSlice, v any) error {
	in, ok := v.(*incoming)
	if !ok {
		return c.standard.Unmarshal(data, v)
	}
	buf := data.MaterializeToBuffer(framePool)
	defer buf.Free()
	in.err = in.into.read(buf.ReadOnlyData())
	return nil
}

// framePool has buffers of the sizes that frames have. That of gRPC goes from
// 32 KiB to 1 MiB, and clears all of what it gives out.
var framePool = func() mem.BufferPool {
	pool, err := mem.NewBinaryTieredBufferPool(11, 12, 13, 14, 15, 16, 17, 18, 19, 20)
	if err != nil {
		panic(err) // the sizes themselves are wrong
	}
	return pool
}()

// reader decodes a message; it must not keep b.
type reader interface {
	read(b []byte) error
}

// incoming receives a message. An error of the decoder is kept apart from
// those of gRPC, for it is the plugin's doing.
type incoming struct {
	into reader
	err  error
}

// generated is a [reader] for messages of the generated code.
type generated struct{ proto.Message }

func (g generated) read(b []byte) error { return proto.Unmarshal(b, g.Message) }

// outgoing is a marshalled message on its way into gRPC.
type outgoing struct{ buf *[]byte }

var errSentTwice = errors.New("a marshalled message can be sent once")

// alloc takes an empty buffer with room for n bytes from the pool that gRPC
// gives it back to.
func (o *outgoing) alloc(n int) {
	// gRPC does not pool buffers below its threshold, so that a small message is
	// better off in a larger buffer.
	const pooled = 2048
	o.buf = framePool.Get(max(n, pooled))
	*o.buf = (*o.buf)[:0]
}

func (o *outgoing) take() (mem.BufferSlice, error) {
	if o.buf == nil {
		return nil, errSentTwice
	}
	buf := mem.NewBuffer(o.buf, framePool)
	o.buf = nil
	return mem.BufferSlice{buf}, nil
}
