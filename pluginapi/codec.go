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
	f.buffer = data.MaterializeToBuffer(mem.DefaultBufferPool())
	return nil
}
