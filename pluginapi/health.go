package pluginapi

import "errors"

// Degraded returns an error for [Healther] that says: the plugin works, with
// the limitation that message names. Any other error says that it cannot work,
// and lets the broker start it again after a while.
func Degraded(message string) error { return &degraded{message} }

// IsDegraded reports whether err, or an error that it wraps, is one of
// [Degraded].
func IsDegraded(err error) bool {
	_, ok := errors.AsType[*degraded](err)
	return ok
}

type degraded struct{ message string }

// Error returns the message.
func (d *degraded) Error() string { return d.message }
