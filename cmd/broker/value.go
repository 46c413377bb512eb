package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// duration is a time span written as "200ms", "5s" or "1h30m".
type duration time.Duration

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (d *duration) UnmarshalYAML(n ast.Node) error {
	s := n.GetToken().Value
	v, err := time.ParseDuration(s)
	if err != nil {
		return badValue(n, "%q is not a duration; write a number with a unit, such as 200ms, 5s or 1h30m", s)
	}
	if v < 0 {
		return badValue(n, "%q is negative", s)
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
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"kB", 1e3},
	{"B", 1},
	{"", 1},
}

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (z *size) UnmarshalYAML(n ast.Node) error {
	s := n.GetToken().Value
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
	return badValue(n, "%q is not a size; write a number of bytes, or with a unit, such as 64KiB or 16MiB", s)
}

// onError is a hook.OnError by its name.
type onError hook.OnError

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (o *onError) UnmarshalYAML(n ast.Node) error {
	s := n.GetToken().Value
	for v := hook.OnErrorHold; v <= hook.OnErrorDisconnect; v++ {
		if v.String() == s {
			*o = onError(v)
			return nil
		}
	}
	return badValue(n, "%q is none of hold, refuse, pass, disconnect", s)
}

// network is a range of addresses, "10.0.0.0/8", or one of them.
type network netip.Prefix

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (w *network) UnmarshalYAML(n ast.Node) error {
	s := n.GetToken().Value
	p, err := netip.ParsePrefix(s)
	if err != nil {
		var ip netip.Addr
		if ip, err = netip.ParseAddr(s); err == nil {
			p = netip.PrefixFrom(ip, ip.BitLen())
		}
	}
	if err != nil {
		return badValue(n, "%q is no network; write 10.0.0.0/8 or an address", s)
	}
	*w = network(p.Masked())
	return nil
}

func prefixes(list []network) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, w := range list {
		out[i] = netip.Prefix(w)
	}
	return out
}

// mqttVersion is a version as people call it.
type mqttVersion mqtt.Version

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (v *mqttVersion) UnmarshalYAML(n ast.Node) error {
	s := n.GetToken().Value
	for _, known := range []mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V5} {
		if s == known.String() || known == mqtt.V5 && s == "5.0" {
			*v = mqttVersion(known)
			return nil
		}
	}
	return badValue(n, "%q is none of 3.1, 3.1.1, 5", s)
}

// badValue is an error with its place.
func badValue(n ast.Node, format string, args ...any) error {
	return &yaml.SyntaxError{Message: fmt.Sprintf(format, args...), Token: n.GetToken()}
}
