package pluginapi

import (
	"errors"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi/internal/strictjson"
)

// ConfigError is one remark about a configuration: what is wrong, and where.
// Return it from [Plugin.New], [Plugin.Check] or a [Reconfigurer], several of
// them with errors.Join; the broker shows each.
type ConfigError struct {
	// Path is a JSON pointer into the configuration ("/users/0/name"), or
	// "file:line:column". "" is the configuration as a whole.
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

// decodeConfig decodes strictly; the error joins one [ConfigError] per problem.
func decodeConfig(config []byte, into any) error {
	problems := strictjson.Decode(config, into)
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = ConfigError{Path: p.Path, Message: p.Message}
	}
	return errors.Join(errs...)
}

// configErrors takes an error apart: the ConfigErrors that it wraps or joins,
// and any other error as one without a path.
func configErrors(err error) []ConfigError {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []ConfigError
		for _, e := range many.Unwrap() {
			all = append(all, configErrors(e)...)
		}
		return all
	}
	// A wrapper around several errors would lose their paths as one line of text.
	if inner := errors.Unwrap(err); inner != nil {
		if found := configErrors(inner); len(found) > 1 || found[0].Path != "" {
			return found
		}
	}
	if e, ok := errors.AsType[ConfigError](err); ok && e.Path != "" {
		return []ConfigError{e}
	}
	if e, ok := errors.AsType[*ConfigError](err); ok && e.Path != "" {
		return []ConfigError{*e}
	}
	return []ConfigError{{Message: strings.ReplaceAll(err.Error(), "\n", "; ")}}
}
