package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

// duration is a time span written as "200ms", "5s" or "1h30m".
type duration time.Duration

// UnmarshalYAML implements yaml.BytesUnmarshaler.
func (d *duration) UnmarshalYAML(b []byte) error {
	var s string
	if err := yaml.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration; write a number with a unit, such as 200ms, 5s or 1h30m", s)
	}
	if v < 0 {
		return fmt.Errorf("%q is negative", s)
	}
	*d = duration(v)
	return nil
}

// size is a number of bytes, written as "64KiB", "16MiB" or plain.
type size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1}, {"", 1},
}

// UnmarshalYAML implements yaml.BytesUnmarshaler.
func (z *size) UnmarshalYAML(b []byte) error {
	var s string
	if err := yaml.Unmarshal(b, &s); err != nil {
		return err
	}
	for _, u := range sizeUnits {
		number, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n < 0 || n > (1<<62)/u.bytes {
			break
		}
		*z = size(n * u.bytes)
		return nil
	}
	return fmt.Errorf("%q is not a size; write a number of bytes, or with a unit, such as 64KiB or 16MiB", s)
}

// onError is a hook.OnError by its name.
type onError hook.OnError

// UnmarshalYAML implements yaml.BytesUnmarshaler.
func (o *onError) UnmarshalYAML(b []byte) error {
	var s string
	if err := yaml.Unmarshal(b, &s); err != nil {
		return err
	}
	for v := hook.OnErrorHold; v <= hook.OnErrorDisconnect; v++ {
		if v.String() == s {
			*o = onError(v)
			return nil
		}
	}
	return fmt.Errorf("%q is none of hold, refuse, pass, disconnect", s)
}
