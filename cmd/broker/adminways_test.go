//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

const adminPackage = "gatehouse.admin.v1."

// overGRPC makes calls with grpc-go, and knows the contract from nothing but the
// broker's reflection, as grpcurl does. That has to be the contract.
func (p *proc) overGRPC(t *testing.T) adminWay {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+p.path("run/admin.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return grpcWay(reflectedMethods(t, conn), conn)
}

// reflectedMethods are the methods that a server tells of, as "Service/Method".
func reflectedMethods(t *testing.T, conn *grpc.ClientConn) map[string]protoreflect.MethodDescriptor {
	t.Helper()
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(r *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		t.Helper()
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		res, err := stream.Recv()
		if err != nil || res.GetErrorResponse() != nil {
			t.Fatal(err, res.GetErrorResponse())
		}
		return res
	}
	set, seen := new(descriptorpb.FileDescriptorSet), make(map[string]bool)
	list := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
	var names []string
	for _, s := range list.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
		res := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: s.GetName()}})
		for _, text := range res.GetFileDescriptorResponse().GetFileDescriptorProto() {
			f := new(descriptorpb.FileDescriptorProto)
			if err := proto.Unmarshal(text, f); err != nil {
				t.Fatal(err)
			}
			if !seen[f.GetName()] {
				seen[f.GetName()], set.File = true, append(set.GetFile(), f)
			}
		}
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	methods := make(map[string]protoreflect.MethodDescriptor)
	for name := range adminMethods() {
		service, method, _ := strings.Cut(name, "/")
		if !slices.Contains(names, adminPackage+service) {
			t.Errorf("reflection does not list %s", service)
		}
		d, err := files.FindDescriptorByName(protoreflect.FullName(adminPackage + service + "." + method))
		if err != nil {
			t.Fatal(err)
		}
		methods[name] = d.(protoreflect.MethodDescriptor)
	}
	return methods
}

// grpcWay makes calls of methods.
func grpcWay(methods map[string]protoreflect.MethodDescriptor, conn *grpc.ClientConn) adminWay {
	return func(t *testing.T, tt *adminCase, until func(string) bool) (answer, failed string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		m := methods[tt.method]
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: m.IsStreamingClient(), ServerStreams: m.IsStreamingServer()},
			"/"+adminPackage+tt.method)
		for line := range strings.Lines(tt.asks) {
			req := dynamicpb.NewMessage(m.Input())
			if err := protojson.Unmarshal([]byte(line), req); err != nil {
				t.Fatal(err)
			}
			if err == nil {
				_ = stream.SendMsg(req) // RecvMsg knows why
			}
		}
		if err == nil {
			err = stream.CloseSend()
		}
		for err == nil && (answer == "" || m.IsStreamingServer() && !until(answer)) {
			res := dynamicpb.NewMessage(m.Output())
			if err = stream.RecvMsg(res); err == nil {
				answer += oneLine(t, res)
			}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return answer, status.Code(err).String() + ": " + status.Convert(err).Message()
		}
		return answer, ""
	}
}

// oneLine is a message in JSON without spaces, with the contract's names.
func oneLine(t *testing.T, m proto.Message) string {
	t.Helper()
	var out bytes.Buffer
	if err := writeJSONLine(&out, m); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}

// overHTTP makes calls as curl does, with JSON over HTTP/1.1.
func (p *proc) overHTTP(t *testing.T) adminWay {
	t.Helper()
	client, err := (&adminFlags{RunDir: p.path("run")}).httpClient()
	if err != nil {
		t.Fatal(err)
	}
	return httpWay(client, adminBase)
}

func httpWay(client *http.Client, base string) adminWay {
	return func(t *testing.T, tt *adminCase, until func(string) bool) (answer, failed string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		m := adminMethods()[tt.method]
		body, contentType := []byte(tt.asks), "application/json"
		streams := m.IsStreamingClient() || m.IsStreamingServer()
		if streams {
			body, contentType = nil, "application/connect+json"
			for line := range strings.Lines(tt.asks) {
				body = append(binary.BigEndian.AppendUint32(append(body, 0), uint32(len(line))), line...)
			}
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/"+adminPackage+tt.method, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		take := func(text []byte) {
			out, err := protoregistry.GlobalTypes.FindMessageByName(m.Output().FullName())
			if err != nil {
				t.Fatal(err)
			}
			msg := out.New().Interface()
			if err := protojson.Unmarshal(text, msg); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			answer += oneLine(t, msg)
		}
		if !streams || res.StatusCode != http.StatusOK {
			text, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != http.StatusOK {
				return "", connectError(text)
			}
			take(text)
			return answer, ""
		}
		for answer == "" || !until(answer) {
			last, text, err := readEnvelope(res.Body)
			switch {
			case err != nil:
				t.Fatal(err)
			case last:
				return answer, connectError(text)
			}
			take(text)
		}
		return answer, ""
	}
}

// readEnvelope reads one message of a stream of the Connect protocol.
func readEnvelope(r io.Reader) (last bool, text []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return false, nil, err
	}
	text = make([]byte, binary.BigEndian.Uint32(head[1:]))
	_, err = io.ReadFull(r, text)
	return head[0]&2 != 0, text, err
}

// connectError is the error of an answer that has one, "" of others.
func connectError(text []byte) string {
	var e struct {
		Code, Message string
		Error         *struct{ Code, Message string }
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return string(text)
	}
	if e.Error != nil {
		e.Code, e.Message = e.Error.Code, e.Error.Message
	}
	if e.Code == "" {
		return ""
	}
	return e.Code + ": " + e.Message
}
