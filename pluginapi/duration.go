package pluginapi

import (
	"fmt"
	"time"
)

// Duration is a time.Duration that JSON and YAML write as a string: "10s",
// "1m30s". [Setup.Config] reads fields of type time.Duration in the same way;
// Duration is for structs that are also written, or decoded by others.
type Duration time.Duration

// String writes the duration as time.Duration does.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes the duration as [Duration.String] does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("must be a duration such as \"10s\" or \"1m30s\", not %q", text)
	}
	*d = Duration(v)
	return nil
}
