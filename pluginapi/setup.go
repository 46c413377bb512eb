package pluginapi

import (
	"fmt"
	"log/slog"
	"reflect"
)

// Setup is what a plugin is given at its start, and again when it is
// reconfigured. It is not kept by the SDK; the plugin may keep it.
type Setup struct {
	// Instance is the name under which the plugin runs. Several instances of
	// one plugin differ in it.
	Instance string
	// DataDir is a private folder of this instance that is kept between
	// starts.
	DataDir string
	// Logger writes to the broker's log under the plugin's name. It is also
	// slog's default, and what package log writes to. Count what happens per
	// message instead of logging it.
	Logger *slog.Logger
	// Host is the broker to call; nil where there is none, which its methods
	// answer with [ErrNoHost].
	Host *Host

	config   []byte
	defaults any // Plugin.Config
	read     bool
	warnings []ConfigError
}

// NewSetup makes a Setup with a configuration as JSON, nil for an empty one, for
// tests of [Plugin.New]. Everything else is the author's to fill.
func NewSetup(config []byte) *Setup {
	return &Setup{Logger: slog.New(slog.DiscardHandler), config: config}
}

// Config decodes the configuration into the struct that into points to, which
// holds the defaults: keys that are missing leave what is there. A struct that
// is zero and of the type of [Plugin.Config] starts with the defaults of that.
//
// Keys are those of the json tags. An unknown key, a value of the wrong type or
// out of range, a missing key that the tag required:"true" wants, and a string
// that the tag enum:"a,b" does not list are each a [ConfigError]; the error
// joins all of them, and into is then unchanged. Durations are strings ("10s").
func (s *Setup) Config(into any) error {
	s.read = true
	startWith(into, s.defaults)
	return decodeConfig(s.config, into)
}

// startWith copies defaults to a zero struct of their type.
func startWith(into, defaults any) {
	if defaults == nil || reflect.TypeOf(into) != reflect.TypeOf(defaults) {
		return
	}
	dst, src := reflect.ValueOf(into), reflect.ValueOf(defaults)
	if dst.Kind() == reflect.Pointer && !dst.IsNil() && !src.IsNil() && dst.Elem().IsZero() {
		dst.Elem().Set(src.Elem())
	}
}

// Warn adds a remark that does not refuse the configuration but is shown to
// whoever wrote it: path is as in [ConfigError]. It is not for concurrent use.
func (s *Setup) Warn(path, format string, args ...any) {
	s.warnings = append(s.warnings, ConfigError{Path: path, Message: fmt.Sprintf(format, args...)})
}
