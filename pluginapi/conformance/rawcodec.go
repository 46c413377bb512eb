package conformance

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// raw sends bytes as they are.
func (c *check) raw(method string, frame []byte) codes.Code {
	ctx, cancel := c.call()
	defer cancel()
	answer := new([]byte)
	return status.Code(c.process.Conn.Invoke(ctx, method, &frame, answer, grpc.ForceCodecV2(rawCodec{})))
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

// Name is that of protobuf, which the bytes pretend to be.
func (rawCodec) Name() string { return "proto" }
