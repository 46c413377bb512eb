package main

import (
	"bytes"
	"encoding/json"
	"io"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// What protojson prints differs in its spaces from build to build, on purpose:
// nobody is to compare it byte by byte. People and scripts do, so that they
// are put in anew.

// writeJSONLine writes a message in one line.
func writeJSONLine(w io.Writer, m proto.Message) error {
	return writeJSON(w, m, func(to *bytes.Buffer, b []byte) error { return json.Compact(to, b) })
}

// writeJSONBlock writes a message for people.
func writeJSONBlock(w io.Writer, m proto.Message) error {
	return writeJSON(w, m, func(to *bytes.Buffer, b []byte) error { return json.Indent(to, b, "", "  ") })
}

func writeJSON(w io.Writer, m proto.Message, form func(*bytes.Buffer, []byte) error) error {
	b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := form(&out, b); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err = w.Write(out.Bytes())
	return err
}
