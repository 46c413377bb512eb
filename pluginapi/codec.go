package pluginapi

import (
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec that frameCodec falls back to
	"google.golang.org/grpc/mem"
)

// frameCodec hands the bytes of a [frame] over as they are, to be read by hand,
// and leaves all other messages to the standard codec. What is on the wire is
// plain protobuf. It is the server's own and never registered.
type frameCodec struct{ encoding.CodecV2 }

func newFrameCodec() frameCodec { return frameCodec{encoding.GetCodecV2("proto")} }

// Unmarshal lets a frame keep the buffer; any other message is decoded.
func (c frameCodec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	f.buffer = data.MaterializeToBuffer(framePool)
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
