package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// maxCalledBytes bounds an answer: the largest message of MQTT, and then some.
const maxCalledBytes = 260 << 20

type pluginCallCmd struct {
	adminFlags
	Name    string        `arg:"" help:"The plugin's name." predictor:"plugin"`
	Method  string        `arg:"" help:"Service/Method, in full or as much of it as is unique, such as Validate."`
	Input   string        `arg:"" optional:"" help:"The request as JSON; @FILE reads it from a file, - from standard input. Several requests go to a streaming method." default:"{}"`
	Timeout time.Duration `help:"How long to wait." default:"10s"`
}

// Run calls a method of a plugin and prints its answers as JSON.
func (cmd *pluginCallCmd) Run(t *terminal) error {
	ctx, cancel := context.WithTimeout(context.Background(), cmd.Timeout)
	defer cancel()
	conn, err := cmd.dialPlugin(ctx, cmd.Name)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	services, err := servicesOf(ctx, conn)
	if err != nil {
		return err
	}
	method, err := findMethod(services, cmd.Method)
	if err != nil {
		return fmt.Errorf("plugin %s: %w", cmd.Name, err)
	}
	requests, err := cmd.requests(t, method)
	if err != nil {
		return err
	}
	return call(ctx, t, conn, method, requests)
}

// dialPlugin connects to a running plugin's own socket.
func (f *adminFlags) dialPlugin(ctx context.Context, name string) (*grpc.ClientConn, error) {
	client, err := f.client()
	if err != nil {
		return nil, err
	}
	res, err := client.GetPlugin(ctx, connect.NewRequest(&adminv1.GetPluginRequest{Name: name}))
	if err != nil {
		return nil, explain(err)
	}
	p := res.Msg.GetPlugin()
	if p.GetSocket() == "" {
		why := p.GetLastFailure()
		if p.GetState() == adminv1.PluginState_PLUGIN_STATE_STOPPED || why == "" {
			why = fmt.Sprintf("%q has it run", "broker plugin enable "+name)
		}
		return nil, fmt.Errorf("plugin %s does not run: it is %s; %s", name, stateName(p.GetState()), why)
	}
	if _, err := os.Stat(p.GetSocket()); err != nil {
		return nil, fmt.Errorf("plugin %s listens at %s, which can't be reached from here: %w", name, p.GetSocket(), err)
	}
	return grpc.NewClient("unix:"+p.GetSocket(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxCalledBytes), grpc.MaxCallSendMsgSize(maxCalledBytes)))
}

// requests reads one JSON value for each request.
func (cmd *pluginCallCmd) requests(t *terminal, method protoreflect.MethodDescriptor) ([]*dynamicpb.Message, error) {
	text, err := cmd.input(t)
	if err != nil {
		return nil, err
	}
	var out []*dynamicpb.Message
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var raw json.RawMessage
		if err := d.Decode(&raw); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("the request is not JSON: %w", err)
		}
		m := dynamicpb.NewMessage(method.Input())
		if err := protojson.Unmarshal(raw, m); err != nil {
			return nil, fmt.Errorf("the request is not a %s (see \"broker plugin describe %s %s\"): %w",
				method.Input().FullName(), cmd.Name, method.Name(), plainError(err))
		}
		out = append(out, m)
	}
	if !method.IsStreamingClient() && len(out) != 1 {
		return nil, fmt.Errorf("%s takes one request, and there are %d", method.Name(), len(out))
	}
	return out, nil
}

// plainError takes the mark off an error of protobuf, which has a space in it
// that is no space on purpose.
func plainError(err error) error {
	return errors.New(strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto: "))
}

func (cmd *pluginCallCmd) input(t *terminal) ([]byte, error) {
	if cmd.Input == "-" {
		return io.ReadAll(t.in)
	}
	if file, ok := strings.CutPrefix(cmd.Input, "@"); ok {
		return os.ReadFile(file)
	}
	return []byte(cmd.Input), nil
}

// call makes a call of any kind: all requests go, then answers come.
func call(ctx context.Context, t *terminal, conn *grpc.ClientConn, method protoreflect.MethodDescriptor, requests []*dynamicpb.Message) error {
	desc := &grpc.StreamDesc{ServerStreams: method.IsStreamingServer(), ClientStreams: method.IsStreamingClient()}
	name := fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name())
	stream, err := conn.NewStream(ctx, desc, name)
	if err != nil {
		return called(method, err)
	}
	for _, m := range requests {
		if err := stream.SendMsg(m); err != nil && !errors.Is(err, io.EOF) {
			return called(method, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		return called(method, err)
	}
	for {
		answer := dynamicpb.NewMessage(method.Output())
		if err := stream.RecvMsg(answer); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return called(method, err)
		}
		if err := writeJSONBlock(t.out, answer); err != nil {
			return err
		}
		if !method.IsStreamingServer() {
			return nil
		}
	}
}

// called words the failure of a call.
func called(method protoreflect.MethodDescriptor, err error) error {
	st, _ := status.FromError(err)
	return fmt.Errorf("%s failed with status %s: %s", method.Name(), st.Code(), st.Message())
}
