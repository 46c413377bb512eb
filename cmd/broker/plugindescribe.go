package main

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

type pluginDescribeCmd struct {
	adminFlags
	Name   string `arg:"" help:"The plugin's name." predictor:"plugin"`
	Method string `arg:"" optional:"" help:"A method: show what it takes and answers."`
}

// Run prints what a running plugin serves.
func (cmd *pluginDescribeCmd) Run(t *terminal) error {
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
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
	if cmd.Method != "" {
		m, err := findMethod(services, cmd.Method)
		if err != nil {
			return fmt.Errorf("plugin %s: %w", cmd.Name, err)
		}
		fmt.Fprintf(t.out, "%s\n", methodText(m))
		seen := make(map[protoreflect.FullName]bool)
		printMessage(t, m.Input(), seen)
		printMessage(t, m.Output(), seen)
		return nil
	}
	for _, s := range services {
		fmt.Fprintf(t.out, "%s\n", s.FullName())
		for i := range s.Methods().Len() {
			fmt.Fprintf(t.out, "    %s\n", methodText(s.Methods().Get(i)))
		}
	}
	return nil
}

func methodText(m protoreflect.MethodDescriptor) string {
	stream := func(is bool) string {
		if is {
			return "stream "
		}
		return ""
	}
	return fmt.Sprintf("%s(%s%s) returns (%s%s)", m.Name(), stream(m.IsStreamingClient()), m.Input().Name(),
		stream(m.IsStreamingServer()), m.Output().Name())
}

// printMessage prints the fields of a message, and then those of the messages
// and the values of the enums in them, each once.
func printMessage(t *terminal, m protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) {
	if seen[m.FullName()] {
		return
	}
	seen[m.FullName()] = true
	fmt.Fprintf(t.out, "\n%s\n", m.FullName())
	var more []protoreflect.FieldDescriptor
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		fmt.Fprintf(t.out, "    %s: %s\n", f.Name(), fieldText(f))
		if f.IsMap() {
			f = f.MapValue()
		}
		more = append(more, f)
	}
	for _, f := range more {
		if f.Message() != nil {
			printMessage(t, f.Message(), seen)
		}
	}
}

func fieldText(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return fmt.Sprintf("map of %s to %s", fieldText(f.MapKey()), fieldText(f.MapValue()))
	case f.IsList():
		return "list of " + kindText(f)
	default:
		return kindText(f)
	}
}

func kindText(f protoreflect.FieldDescriptor) string {
	switch {
	case f.Message() != nil:
		return string(f.Message().Name())
	case f.Enum() != nil:
		var names []string
		for i := range f.Enum().Values().Len() {
			names = append(names, string(f.Enum().Values().Get(i).Name()))
		}
		return strings.Join(names, " | ")
	case f.Kind() == protoreflect.BytesKind:
		return "bytes, in base64"
	default:
		return f.Kind().String()
	}
}
