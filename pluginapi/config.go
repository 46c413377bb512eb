package pluginapi

import (
	"bytes"
	"encoding/json"
	"errors"
)

// Config decodes the plugin's configuration into a pointer to a struct that
// holds the defaults.
func (s *Setup) Config(into any) error {
	if len(s.config) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(s.config))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// ConfigError is one remark about a configuration: what is wrong, and where.
type ConfigError struct {
	// Path is a JSON pointer into the configuration ("/users/0/name"), or
	// "file:line:column".
	Path string
	// Message says what is wrong and what to do: one line, lower case.
	Message string
}

// Error returns the path and the message.
func (e ConfigError) Error() string {
	if e.Path == "" {
		return e.Message
	}
	return e.Path + ": " + e.Message
}

// Degraded returns an error for [Healther] that says: works, with a limitation.
func Degraded(message string) error { return &degraded{message} }

type degraded struct{ message string }

func (d *degraded) Error() string { return d.message }

var errNotServed = errors.New("pluginapi: not served yet")
