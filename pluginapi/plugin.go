package pluginapi

import (
	"context"
	"runtime"
)

// Plugin describes a plugin to [Serve].
type Plugin struct {
	// Name is what the broker and its configuration call the plugin: lower-case
	// letters, digits and dashes.
	Name    string
	Version string // semantic version; "" means "0.0.0"
	Summary string // one line for a person

	// Config is a pointer to a struct that holds the defaults of the
	// configuration; nil if there is nothing to configure. Its JSON Schema
	// becomes part of the manifest, with the tags doc:"what it is",
	// enum:"a,b" and required:"true". It is only read; see [Setup.Config].
	Config any

	// Hooks says by its type which hooks the plugin has: a value of the type
	// that New returns, (*auth)(nil) for example. The broker asks for them
	// before New is called. Without New it is the plugin itself, and New is
	// not needed by a plugin that has no configuration.
	Hooks any

	// New makes the plugin once its configuration is known. ctx ends when New
	// has returned. What New returns has the hooks of Hooks. An error refuses
	// the configuration, see [ConfigError] for one that says where; the
	// process lives on and New may be called again with another. nil: Hooks
	// is the plugin.
	New func(ctx context.Context, s *Setup) (any, error)

	// Check looks at a configuration without using it, beyond what Config says
	// of it. It is asked before New and Reconfigure and whenever somebody wants
	// to know, possibly from many goroutines. nil: nothing more to check.
	Check func(ctx context.Context, s *Setup) error

	// Env names the environment variables that the plugin wants to see, "*" at
	// the end for a prefix. Everything else is kept from it.
	Env []string

	// Exclusive says that only one process may run at a time, such as the
	// writer of a file: the broker stops the old one before it starts a new.
	Exclusive bool

	// Idempotent says that deciding the same call twice does no harm. After a
	// crash the broker then asks again what was not answered.
	Idempotent bool

	// CompleteInterest says that what [Interester] answers is all: a hook that it
	// leaves out is not asked, even if it leaves out all of them. Without it a
	// [Validator] is always asked, and an interceptor or an observer is if the
	// interest names none of its hooks. A plugin whose validator comes and goes
	// with its configuration says so; as long as it leaves the validator out it
	// has no say in who may connect.
	CompleteInterest bool

	// Workers is how many calls of the single interceptor interfaces run at
	// once; those of one client never do. 0 means 16 for each CPU.
	Workers int
}

// workers is how many calls of single interceptors run at once.
func (p *Plugin) workers() int {
	if p.Workers > 0 {
		return p.Workers
	}
	return 16 * runtime.GOMAXPROCS(0)
}
