package pluginhost

import (
	"log/slog"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// facades are the hooks of one slot. They exist as long as the slot does and
// keep their identity over restarts of the plugin.
type facades struct{}

// newFacades makes the facades of a slot. They are not bound.
func newFacades(s *slot, log *slog.Logger) *facades { return &facades{} }

// bind lets the facades call in. It does not block: streams open lazily.
func (f *facades) bind(in *instance) error { return nil }

// unbind ends every outstanding call to in with [hook.ErrLost].
func (f *facades) unbind(in *instance) {}

// interests converts what a plugin asked for at Init.
func interests(init *pluginv1.InitResponse) []hook.Interest { return nil }
