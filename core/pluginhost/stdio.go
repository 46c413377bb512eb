package pluginhost

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// followOutput logs what a plugin prints after its handshake. A Go plugin's
// os.Stdout and os.Stderr are then pipes whose content go-plugin's server
// streams, and which fill up and stop the plugin if nobody reads. Other plugins
// do without the service. It returns when the stream ends.
func followOutput(ctx context.Context, conn *grpc.ClientConn, out *output) {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true},
		"/plugin.GRPCStdio/StreamStdio", grpc.ForceCodecV2(rawCodec{}))
	if err != nil {
		return
	}
	if stream.SendMsg(new([]byte)) != nil || stream.CloseSend() != nil {
		return
	}
	stdout, stderr := out.stdout(), out.stderr()
	defer stdout.flush()
	defer stderr.flush()
	for {
		var frame []byte
		if stream.RecvMsg(&frame) != nil {
			return
		}
		switch channel, data := stdioData(frame); channel {
		case 1:
			_, _ = stdout.Write(data)
		case 2:
			_, _ = stderr.Write(data)
		}
	}
}

// stdioData reads go-plugin's message StdioData, whose Go type is internal to
// it: 1 is the channel, 2 the data.
func stdioData(frame []byte) (channel uint64, data []byte) {
	for len(frame) > 0 {
		field, kind, n := protowire.ConsumeTag(frame)
		if n < 0 {
			return 0, nil
		}
		frame = frame[n:]
		switch {
		case field == 1 && kind == protowire.VarintType:
			channel, n = protowire.ConsumeVarint(frame)
		case field == 2 && kind == protowire.BytesType:
			data, n = protowire.ConsumeBytes(frame)
		default:
			n = protowire.ConsumeFieldValue(field, kind, frame)
		}
		if n < 0 {
			return 0, nil
		}
		frame = frame[n:]
	}
	return channel, data
}

// rawCodec passes messages through as *[]byte.
type rawCodec struct{}

var _ encoding.CodecV2 = rawCodec{}

// Marshal sends the bytes as they are.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

// Unmarshal copies the bytes.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// Name is that of protobuf, which the bytes are.
func (rawCodec) Name() string { return "proto" }
