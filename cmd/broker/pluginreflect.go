package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc"
	grpccodes "google.golang.org/grpc/codes"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// builtIn are the services of the contract, for plugins without reflection.
var builtIn = []string{
	pluginv1.PluginService_ServiceDesc.ServiceName, pluginv1.ConnectionValidatorService_ServiceDesc.ServiceName,
	pluginv1.MessageInterceptorService_ServiceDesc.ServiceName, pluginv1.ObserverService_ServiceDesc.ServiceName,
	pluginv1.RetainedStoreService_ServiceDesc.ServiceName,
}

// servicesOf asks a plugin for its services by reflection. Of one that has none
// those of the contract are taken: what it does not serve it will say.
func servicesOf(ctx context.Context, conn *grpc.ClientConn) ([]protoreflect.ServiceDescriptor, error) {
	services, err := reflected(ctx, conn)
	if status.Code(err) != grpccodes.Unimplemented {
		return services, err
	}
	for _, name := range builtIn {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			return nil, err
		}
		services = append(services, d.(protoreflect.ServiceDescriptor))
	}
	return services, nil
}

// reflector asks one server.
type reflector struct {
	stream reflectionv1.ServerReflection_ServerReflectionInfoClient
	files  map[string]*descriptorpb.FileDescriptorProto
}

func (r *reflector) ask(in *reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
	if err := r.stream.Send(in); err != nil {
		_, err = r.stream.Recv() // which knows why
		return nil, err
	}
	out, err := r.stream.Recv()
	if err != nil {
		return nil, err
	}
	if e := out.GetErrorResponse(); e != nil {
		return nil, fmt.Errorf("reflection: %s", e.GetErrorMessage())
	}
	return out, nil
}

func reflected(ctx context.Context, conn *grpc.ClientConn) ([]protoreflect.ServiceDescriptor, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		return nil, err
	}
	r := &reflector{stream: stream, files: make(map[string]*descriptorpb.FileDescriptorProto)}
	out, err := r.ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
	if err != nil {
		return nil, err
	}
	var names []protoreflect.FullName
	for _, s := range out.GetListServicesResponse().GetService() {
		if strings.HasPrefix(s.GetName(), "grpc.reflection.") || strings.HasPrefix(s.GetName(), "plugin.") {
			continue // what every plugin has for its host
		}
		names = append(names, protoreflect.FullName(s.GetName()))
		if err := r.fetch(&reflectionv1.ServerReflectionRequest{
			MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: s.GetName()},
		}); err != nil {
			return nil, err
		}
	}
	return r.services(names)
}

// fetch gets files and what they import.
func (r *reflector) fetch(in *reflectionv1.ServerReflectionRequest) error {
	out, err := r.ask(in)
	if err != nil {
		return err
	}
	var imports []string
	for _, b := range out.GetFileDescriptorResponse().GetFileDescriptorProto() {
		f := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(b, f); err != nil {
			return fmt.Errorf("reflection: %w", err)
		}
		r.files[f.GetName()] = f
		imports = append(imports, f.GetDependency()...)
	}
	for _, name := range imports {
		if r.files[name] != nil {
			continue
		}
		if err := r.fetch(&reflectionv1.ServerReflectionRequest{
			MessageRequest: &reflectionv1.ServerReflectionRequest_FileByFilename{FileByFilename: name},
		}); err != nil {
			return err
		}
	}
	return nil
}

func (r *reflector) services(names []protoreflect.FullName) ([]protoreflect.ServiceDescriptor, error) {
	set := new(descriptorpb.FileDescriptorSet)
	for _, f := range r.files {
		set.File = append(set.File, f)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, fmt.Errorf("reflection: %w", err)
	}
	slices.Sort(names)
	var out []protoreflect.ServiceDescriptor
	for _, name := range names {
		d, err := files.FindDescriptorByName(name)
		if err != nil {
			return nil, fmt.Errorf("reflection: %w", err)
		}
		if s, ok := d.(protoreflect.ServiceDescriptor); ok {
			out = append(out, s)
		}
	}
	return out, nil
}

// findMethod finds a method by its name, with as much of the service's before it
// as somebody cares to write. The error names what there is, or what may have
// been meant.
func findMethod(services []protoreflect.ServiceDescriptor, name string) (protoreflect.MethodDescriptor, error) {
	service, method, ok := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	if !ok {
		service, method = "", service
	}
	var found []protoreflect.MethodDescriptor
	var all []string
	for _, s := range services {
		for i := range s.Methods().Len() {
			m := s.Methods().Get(i)
			all = append(all, string(s.Name())+"/"+string(m.Name()))
			if strings.EqualFold(string(m.Name()), method) && fits(s, service) {
				found = append(found, m)
			}
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fmt.Errorf("it has no method %q; %s", name, suggest(name, all))
	default:
		var names []string
		for _, m := range found {
			names = append(names, string(m.Parent().FullName())+"/"+string(m.Name()))
		}
		return nil, fmt.Errorf("%q may be %s: say which", name, strings.Join(names, " or "))
	}
}

// fits reports whether a service is meant by a name: its own, in full or short,
// or without the word Service at its end.
func fits(s protoreflect.ServiceDescriptor, name string) bool {
	short := string(s.Name())
	return name == "" || strings.EqualFold(name, string(s.FullName())) || strings.EqualFold(name, short) ||
		strings.EqualFold(name, strings.TrimSuffix(short, "Service"))
}

// suggest names the method that is most like what somebody wrote, or all.
func suggest(name string, all []string) string {
	lower := strings.ToLower(name)
	best, least := "", len(name)/2+1
	for _, m := range all {
		full := strings.ToLower(m)
		_, short, _ := strings.Cut(full, "/")
		if d := min(distance(lower, full), distance(lower, short)); d < least {
			best, least = m, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	return "it has " + cmp.Or(strings.Join(all, ", "), "none")
}

// distance is how many letters have to be put in, left out or replaced.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := before
			if a[i] != b[j] {
				replaced++
			}
			before = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
