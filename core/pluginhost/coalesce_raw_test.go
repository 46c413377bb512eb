package pluginhost

import (
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// rawFrame lets a server see a frame without the cost of generated code: what
// the benchmarks measure is the broker's side.
type rawFrame struct {
	first uint64
	count uint32
}

func (f *rawFrame) read(b []byte) error {
	f.first, f.count = 0, 0
	return eachField(b, func(field protowire.Number, _ byte, _ uint64, data []byte) error {
		if field == fieldStreamCalls {
			if f.count++; f.count == 1 {
				f.first, _ = protowire.ConsumeVarint(data[1:])
			}
		}
		return nil
	})
}

type rawInterceptor interface{ stream(grpc.ServerStream) error }

type rawPasser struct{}

func (rawPasser) stream(s grpc.ServerStream) error {
	var f rawFrame
	in := incoming{into: &f}
	for {
		if err := s.RecvMsg(&in); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var out outgoing
		out.alloc(32)
		size := 1 + protowire.SizeVarint(f.first) + 1 + protowire.SizeVarint(uint64(f.count))
		*out.buf = appendUint(appendUint(appendLength(*out.buf, 1, size), 1, f.first), 2, uint64(f.count))
		if err := s.SendMsg(&out); err != nil {
			return err
		}
	}
}

func rawStreaming() fakePlugin {
	return fakePlugin{
		register:     func(s *grpc.Server) { registerRaw(s, rawPasser{}) },
		capabilities: &pluginv1.Capabilities{InterceptStream: true},
		options: []grpc.ServerOption{
			grpc.ForceServerCodecV2(codec), grpc.InitialWindowSize(pluginapi.WindowSize), grpc.InitialConnWindowSize(pluginapi.WindowSize),
			grpc.MaxRecvMsgSize(maxMessageBytes),
		},
	}
}

func registerRaw(s *grpc.Server, i rawInterceptor) {
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: pluginv1.MessageInterceptorService_ServiceDesc.ServiceName,
		HandlerType: (*rawInterceptor)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName: "InterceptStream", ServerStreams: true, ClientStreams: true,
			Handler: func(srv any, s grpc.ServerStream) error { return srv.(rawInterceptor).stream(s) },
		}},
	}, i)
}
