package pluginapi

// Degraded returns an error for [Healther] that says: the plugin works, with
// the limitation that message names. Any other error says that it cannot work,
// and lets the broker start it again after a while.
func Degraded(message string) error { return &degraded{message} }

type degraded struct{ message string }

// Error returns the message.
func (d *degraded) Error() string { return d.message }
