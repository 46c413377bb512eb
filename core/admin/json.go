package admin

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// strictJSON is the [connect.Codec] of JSON, which refuses fields that there are
// not: who writes "usrname" by hand would otherwise be told of all users. What
// is written in protobuf is for programs, and may be of a later version.
type strictJSON struct{ name string }

// strict are the codecs in place of connect's own; they have its names.
func strict() []connect.HandlerOption {
	return []connect.HandlerOption{connect.WithCodec(strictJSON{"json"}), connect.WithCodec(strictJSON{"json; charset=utf-8"})}
}

// Name implements [connect.Codec].
func (c strictJSON) Name() string { return c.name }

// Marshal implements [connect.Codec].
func (strictJSON) Marshal(m any) ([]byte, error) {
	pm, ok := m.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", m)
	}
	return protojson.Marshal(pm)
}

// Unmarshal implements [connect.Codec].
func (strictJSON) Unmarshal(text []byte, m any) error {
	pm, ok := m.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no message", m)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return errors.New("the body is empty: write {} for a request that says nothing")
	}
	err := protojson.Unmarshal(text, pm)
	if err == nil {
		return nil
	}
	// protojson changes its spaces from build to build, on purpose.
	said := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return fmt.Errorf("%s: %s", pm.ProtoReflect().Descriptor().Name(), strings.TrimPrefix(said, "proto: "))
}
