package script

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	starjson "go.starlark.net/lib/json"
	startime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// What follows turns values of Go into those of the language and back. Those
// back say what was expected instead.

func text(s string) starlark.Value { return starlark.String(s) }

// optional is a text or None.
func optional(s string) starlark.Value {
	if s == "" {
		return starlark.None
	}
	return starlark.String(s)
}

func octets(b []byte) starlark.Value { return starlark.Bytes(b) }

func number[N ~int | ~uint8 | ~uint16 | ~uint32 | ~uint64](n N) starlark.Value {
	return starlark.MakeUint64(uint64(n)) //nolint:gosec // none is negative
}

// maybe is a number or None.
func maybe[N ~uint16 | ~uint32](n *N) starlark.Value {
	if n == nil {
		return starlark.None
	}
	return number(*n)
}

func when(t time.Time) starlark.Value {
	if t.IsZero() {
		return starlark.None
	}
	return startime.Time(t)
}

func texts(list []string) starlark.Value {
	out := make([]starlark.Value, len(list))
	for i, s := range list {
		out[i] = starlark.String(s)
	}
	return starlark.NewList(out)
}

// readable is bytes as text, None if they are none.
func readable(b []byte) starlark.Value {
	if !utf8.Valid(b) {
		return starlark.None
	}
	return starlark.String(b)
}

func wrong(want string, v starlark.Value) error {
	return fmt.Errorf("it has to be %s, and %s is a %s", want, short(v), v.Type())
}

func toText(v starlark.Value) (string, error) {
	if v == starlark.None {
		return "", nil
	}
	s, ok := starlark.AsString(v)
	if !ok {
		return "", wrong("a string", v)
	}
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return "", errors.New("it has to be UTF-8 without a null character")
	}
	return s, nil
}

// toBytes takes bytes, a text, None, or a list of numbers as MQTTnet does.
func toBytes(v starlark.Value) ([]byte, error) {
	switch v := v.(type) {
	case starlark.NoneType:
		return nil, nil
	case starlark.Bytes:
		return []byte(v), nil
	case starlark.String:
		return []byte(v), nil
	case *starlark.List:
		out := make([]byte, v.Len())
		for i := range out {
			var err error
			if out[i], err = toUint[byte](v.Index(i)); err != nil {
				return nil, fmt.Errorf("element %d: %w", i, err)
			}
		}
		return out, nil
	}
	return nil, wrong("bytes, a string, None or a list of numbers", v)
}

func toBool(v starlark.Value) (bool, error) {
	b, ok := v.(starlark.Bool)
	if !ok {
		return false, wrong("True or False", v)
	}
	return bool(b), nil
}

func toUint[N ~uint8 | ~uint16 | ~uint32 | ~uint64](v starlark.Value) (N, error) {
	limit := uint64(^N(0))
	if i, ok := v.(starlark.Int); ok {
		if n, ok := i.Uint64(); ok && n <= limit {
			return N(n), nil
		}
	}
	return 0, wrong(fmt.Sprintf("a whole number from 0 to %d", limit), v)
}

func toMaybe[N ~uint16 | ~uint32 | ~uint64](v starlark.Value) (*N, error) {
	if v == starlark.None {
		return nil, nil
	}
	n, err := toUint[N](v)
	return &n, err
}

func toQoS(v starlark.Value) (pluginapi.QoS, error) {
	if n, err := toUint[uint8](v); err == nil && n <= 2 {
		return pluginapi.QoS(n), nil
	}
	return 0, wrong("0, 1 or 2", v)
}

func toRate(v starlark.Value) (*float64, error) {
	if v == starlark.None {
		return nil, nil
	}
	f, ok := starlark.AsFloat(v)
	if !ok || f < 0 || math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, wrong("a number that is not negative", v)
	}
	return &f, nil
}

// toDuration takes seconds, "10s" or a duration of time.
func toDuration(v starlark.Value) (time.Duration, error) {
	switch v := v.(type) {
	case starlark.NoneType:
		return 0, nil
	case startime.Duration:
		return time.Duration(v), nil
	case starlark.String:
		d, err := time.ParseDuration(string(v))
		if err != nil || d < 0 {
			return 0, wrong(`a duration such as "10s"`, v)
		}
		return d, nil
	}
	f, ok := starlark.AsFloat(v)
	if _, b := v.(starlark.Bool); !ok || b || f < 0 || f > 1e9 {
		return 0, wrong(`a number of seconds or a duration such as "10s"`, v)
	}
	return time.Duration(f * float64(time.Second)), nil
}

func toTime(v starlark.Value) (time.Time, error) {
	switch v := v.(type) {
	case starlark.NoneType:
		return time.Time{}, nil
	case startime.Time:
		return time.Time(v), nil
	case starlark.String:
		t, err := time.Parse(time.RFC3339Nano, string(v))
		if err != nil {
			return t, wrong(`a time such as "2026-03-01T12:30:00Z"`, v)
		}
		return t, nil
	}
	return time.Time{}, wrong("a time", v)
}

func toTexts(v starlark.Value) ([]string, error) {
	if s, ok := starlark.AsString(v); ok {
		return []string{s}, nil
	}
	list, ok := v.(starlark.Iterable)
	if !ok {
		return nil, wrong("a list of strings", v)
	}
	out := []string{}
	for e := range starlark.Elements(list) {
		s, err := toText(e)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// properties are user properties as a list of pairs: their order and repetition
// count.
func properties(list []pluginapi.UserProperty) starlark.Value {
	out := make([]starlark.Value, len(list))
	for i, p := range list {
		out[i] = starlark.Tuple{starlark.String(p.Key), starlark.String(p.Value)}
	}
	return starlark.NewList(out)
}

// toProperties takes a list of pairs, or a dict.
func toProperties(v starlark.Value) ([]pluginapi.UserProperty, error) {
	if v == starlark.None {
		return nil, nil
	}
	if d, ok := v.(*starlark.Dict); ok {
		items := d.Items()
		pairs := make([]starlark.Value, len(items))
		for i, kv := range items {
			pairs[i] = kv
		}
		v = starlark.NewList(pairs)
	}
	list, ok := v.(starlark.Iterable)
	if _, set := v.(*starlark.Set); !ok || set {
		return nil, wrong("a list of (name, value) or a dict", v)
	}
	var out []pluginapi.UserProperty
	for e := range starlark.Elements(list) {
		pair, ok := e.(starlark.Indexable)
		if _, isText := e.(starlark.String); !ok || isText || pair.Len() != 2 {
			return nil, wrong("a list of (name, value) or a dict", v)
		}
		var p pluginapi.UserProperty
		var ok1, ok2 bool
		p.Key, ok1 = starlark.AsString(pair.Index(0))
		p.Value, ok2 = starlark.AsString(pair.Index(1))
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("names and values are strings, and %s is none", short(e))
		}
		if _, err := toText(starlark.String(p.Key + p.Value)); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// What is kept as session items and shared data is bytes to the broker and other
// plugins. A text is itself; other values have a mark in front, which no text
// begins with.
var (
	markBytes = []byte{0, 'b'}
	markJSON  = []byte{0, 'j'}
)

// packed turns a value into bytes.
func packed(c *call, v starlark.Value) ([]byte, error) {
	switch v := v.(type) {
	case starlark.String:
		if len(v) == 0 || v[0] != 0 && utf8.ValidString(string(v)) {
			return []byte(v), nil
		}
		return nil, errors.New("a text has to be UTF-8 and not begin with a null character")
	case starlark.Bytes:
		return append(slices.Clone(markBytes), v...), nil
	}
	if c != nil {
		if err := c.charge(measure(v, c.limits.Memory)); err != nil {
			return nil, err
		}
	}
	encoded, err := starlark.Call(new(starlark.Thread), starjson.Module.Members["encode"], starlark.Tuple{v}, nil)
	if err != nil {
		return nil, fmt.Errorf("only what JSON can say is kept: %s", oneLine(err.Error()))
	}
	return append(slices.Clone(markJSON), string(encoded.(starlark.String))...), nil
}

// unpacked is the way back.
func unpacked(b []byte) starlark.Value {
	switch {
	case bytes.HasPrefix(b, markBytes):
		return starlark.Bytes(b[len(markBytes):])
	case bytes.HasPrefix(b, markJSON):
		if v, err := fromJSON(b[len(markJSON):]); err == nil {
			return v
		}
		return starlark.Bytes(b)
	case utf8.Valid(b):
		return starlark.String(b)
	}
	return starlark.Bytes(b)
}

func fromJSON(text []byte) (starlark.Value, error) {
	return starlark.Call(new(starlark.Thread), starjson.Module.Members["decode"], starlark.Tuple{starlark.String(text)}, nil)
}

func items(m map[string][]byte) starlark.Value {
	d := starlark.NewDict(len(m))
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		_ = d.SetKey(starlark.String(k), unpacked(m[k])) // a string can be hashed
	}
	return d
}

func toItems(v starlark.Value) (map[string][]byte, error) {
	d, ok := v.(starlark.IterableMapping)
	if !ok {
		return nil, wrong("a dict", v)
	}
	out := make(map[string][]byte)
	for _, kv := range d.Items() {
		k, err := toText(kv[0])
		if err != nil || k == "" {
			return nil, fmt.Errorf("its keys are strings, and %s is none", short(kv[0]))
		}
		if out[k], err = packed(nil, kv[1]); err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
	}
	return out, nil
}

// plainJSON is a value as JSON for people: bytes that are text are text.
func plainJSON(v starlark.Value) (any, error) {
	switch v := v.(type) {
	case starlark.Bytes:
		if utf8.ValidString(string(v)) {
			return string(v), nil
		}
		return []byte(v), nil // base64
	case startime.Time:
		return time.Time(v), nil
	case starlark.IterableMapping:
		out := make(map[string]any)
		for _, kv := range v.Items() {
			k, _ := starlark.AsString(kv[0])
			e, err := plainJSON(kv[1])
			if err != nil {
				return nil, err
			}
			out[k] = e
		}
		return out, nil
	case starlark.String:
		return string(v), nil
	case starlark.Iterable:
		out := []any{}
		for e := range starlark.Elements(v) {
			j, err := plainJSON(e)
			if err != nil {
				return nil, err
			}
			out = append(out, j)
		}
		return out, nil
	}
	encoded, err := starlark.Call(new(starlark.Thread), starjson.Module.Members["encode"], starlark.Tuple{v}, nil)
	if err != nil {
		return nil, err
	}
	return json.RawMessage(encoded.(starlark.String)), nil
}
