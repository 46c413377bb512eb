package main

import (
	"net/netip"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// shown is the configuration as YAML, without secrets, and with the limits that
// are in force where it says nothing.
func (c *config) shown(limits broker.Limits) ([]byte, error) {
	show := *c
	show.Limits.fill(limits)
	show.Admin.TLS = c.Admin.TLS.withoutSecrets()
	show.Listeners = nil
	for _, l := range c.Listeners {
		show.Listeners = append(show.Listeners, l.withoutSecrets())
	}
	show.Plugins = make(map[string]pluginConfig, len(c.Plugins))
	for name, p := range c.Plugins {
		show.Plugins[name] = p.withoutSecrets()
	}
	return yaml.MarshalWithOptions(&show, yaml.OmitEmpty(), yaml.IndentSequence(true))
}

// fill sets limits that are not set. Those of the broker have the same names, and
// seconds where ours are durations.
func (l *limitsConfig) fill(from broker.Limits) {
	fill(reflect.ValueOf(l).Elem(), reflect.ValueOf(from))
}

func fill(to, src reflect.Value) {
	for i := range to.NumField() {
		field := to.Field(i)
		value := src.FieldByName(to.Type().Field(i).Name)
		if value.IsValid() && field.Kind() == reflect.Struct {
			fill(field, value)
			continue
		}
		if !value.IsValid() || !field.IsZero() {
			continue
		}
		switch field.Kind() {
		case reflect.Pointer, reflect.String, reflect.Bool, reflect.Slice, reflect.Float64: // what is not said is no limit
			continue
		}
		if value.CanFloat() {
			continue
		}
		seconds := field.Type() == reflect.TypeFor[duration]() && value.Type() != reflect.TypeFor[time.Duration]()
		if field.CanUint() {
			field.SetUint(value.Uint())
			continue
		}
		var n int64
		if value.CanUint() {
			n = int64(value.Uint()) //nolint:gosec // no limit is that large
		} else {
			n = value.Int()
		}
		if seconds {
			if n == 1<<32-1 {
				continue // for ever
			}
			n *= int64(time.Second)
		}
		field.SetInt(n)
	}
}

func (l listenerConfig) withoutSecrets() listenerConfig {
	l.TLS = l.TLS.withoutSecrets()
	return l
}

// withoutSecrets returns a copy; nil stays nil.
func (t *tlsConfig) withoutSecrets() *tlsConfig {
	if t == nil {
		return nil
	}
	out := *t
	out.Certificates = nil
	for _, c := range t.Certificates {
		if c.Password != "" {
			c.Password = redacted
		}
		out.Certificates = append(out.Certificates, c)
	}
	return &out
}

func (p pluginConfig) withoutSecrets() pluginConfig {
	if p.Config != nil {
		p.Config, _ = withoutSecrets("", p.Config).(map[string]any)
	}
	if p.Env != nil {
		env := make(map[string]string, len(p.Env))
		for name := range p.Env {
			env[name] = redacted
		}
		p.Env = env
	}
	return p
}

// secretNames are parts of the names of what is nobody's business.
var secretNames = []string{"password", "passwd", "passphrase", "secret", "token", "credential", "private", "apikey", "api_key", "seed", "nkey", "jwt"}

// withoutSecrets is a value of a plugin's configuration as it may be shown.
func withoutSecrets(name string, value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, x := range v {
			out[name] = withoutSecrets(name, x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = withoutSecrets(name, x)
		}
		return out
	case string:
		if u, err := url.Parse(v); err == nil && u.User != nil {
			if _, secret := u.User.Password(); secret {
				u.User = url.UserPassword(u.User.Username(), "redacted")
				v = u.String()
			}
		}
		if v != "" && isSecretName(name) {
			return redacted
		}
		return v
	default:
		if v != nil && isSecretName(name) {
			return redacted
		}
		return v
	}
}

// isSecretName goes by the name; a file that has a secret in it may be named.
func isSecretName(name string) bool {
	name = strings.ToLower(name)
	if strings.HasSuffix(name, "file") || strings.HasSuffix(name, "path") {
		return false
	}
	for _, part := range secretNames {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// MarshalYAML writes it as it is read.
func (d duration) MarshalYAML() (any, error) { //nolint:unparam // the interface of the library
	return time.Duration(d).String(), nil
}

// MarshalYAML writes it as it is read.
func (z size) MarshalYAML() (any, error) { //nolint:unparam // the interface of the library
	for _, u := range sizeUnits[:3] {
		if z >= size(u.bytes) && int64(z)%u.bytes == 0 {
			return strconv.FormatInt(int64(z)/u.bytes, 10) + u.suffix, nil
		}
	}
	return int64(z), nil
}

// MarshalYAML writes it as it is read.
func (o onError) MarshalYAML() (any, error) { //nolint:unparam // the interface of the library
	return hook.OnError(o).String(), nil
}

// MarshalYAML writes it as it is read.
func (w network) MarshalYAML() (any, error) { //nolint:unparam // the interface of the library
	return netip.Prefix(w).String(), nil
}

// MarshalYAML writes it as it is read.
func (v mqttVersion) MarshalYAML() (any, error) { //nolint:unparam // the interface of the library
	return mqtt.Version(v).String(), nil
}
