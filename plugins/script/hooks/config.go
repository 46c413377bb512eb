package hooks

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/internal/script"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Config is the plugin's configuration.
type Config struct {
	Folder string       `json:"folder" doc:"folder with scripts, *.star; empty for none"`
	Memory int64        `json:"memory" doc:"memory of the whole process in bytes; 0 for no limit"`
	REPL   bool         `json:"repl" doc:"serve interactive sessions: broker script repl"`
	Limits LimitsConfig `json:"limits" doc:"what one call of a script may take"`
	HTTP   HTTPConfig   `json:"http" doc:"what scripts may ask for by HTTP"`
}

// LimitsConfig bounds one call.
type LimitsConfig struct {
	Steps          uint64        `json:"steps" doc:"steps of the interpreter"`
	Memory         int64         `json:"memory" doc:"bytes that a call may allocate in all"`
	Result         int64         `json:"result" doc:"bytes of a payload, an item or a shared value"`
	Time           time.Duration `json:"time" doc:"time for a message, a subscription or an event"`
	ConnectTime    time.Duration `json:"connect_time" doc:"time for a CONNECT"`
	BackgroundTime time.Duration `json:"background_time" doc:"time for loading, initialize, destroy and timers"`
}

// HTTPConfig is what scripts may reach.
type HTTPConfig struct {
	Hosts    []string      `json:"hosts" doc:"host names, or host:port; none: no HTTP"`
	Timeout  time.Duration `json:"timeout" doc:"time for one request"`
	MaxBytes int64         `json:"max_bytes" doc:"bytes of an answer"`
}

func defaultConfig() Config {
	return Config{
		Memory: 512 << 20,
		Limits: LimitsConfig{
			Steps: 1_000_000, Memory: 32 << 20, Result: 1 << 20, Time: 150 * time.Millisecond,
			ConnectTime: 1500 * time.Millisecond, BackgroundTime: 5 * time.Second,
		},
		HTTP: HTTPConfig{Timeout: time.Second, MaxBytes: 256 << 10},
	}
}

// minMemory is what the process needs itself, with room for some calls.
const minMemory = 128 << 20

// readConfig reads and checks a configuration.
func readConfig(s *pluginapi.Setup) (Config, error) {
	c := defaultConfig()
	if err := s.Config(&c); err != nil {
		return c, err
	}
	wrong := func(path, format string, args ...any) error {
		return pluginapi.ConfigError{Path: path, Message: fmt.Sprintf(format, args...)}
	}
	switch l := &c.Limits; {
	case c.Memory != 0 && c.Memory < minMemory:
		return c, wrong("/memory", "%d bytes are too few for the process; give it %d or more, or 0 for no limit", c.Memory, minMemory)
	case l.Steps < 1000:
		return c, wrong("/limits/steps", "must be 1000 or more")
	case l.Memory < 64<<10:
		return c, wrong("/limits/memory", "must be 65536 or more")
	case l.Result < 1024:
		return c, wrong("/limits/result", "must be 1024 or more")
	case l.Time < time.Millisecond, l.ConnectTime < time.Millisecond, l.BackgroundTime < time.Millisecond:
		return c, wrong("/limits", "times must be 1ms or more")
	case c.HTTP.Timeout <= 0, c.HTTP.MaxBytes <= 0:
		return c, wrong("/http", "timeout and max_bytes must be more than nothing")
	}
	if c.Folder == "" {
		return c, nil
	}
	info, err := os.Stat(c.Folder)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no folder", c.Folder)
	}
	if err != nil {
		return c, wrong("/folder", "%v", err)
	}
	return c, nil
}

// options are what the scripts are given.
func (c *Config) options(s *pluginapi.Setup) script.Options {
	return script.Options{
		Limits: script.Limits{
			Steps: c.Limits.Steps, Memory: c.Limits.Memory, Result: c.Limits.Result, Time: c.Limits.Time,
			ConnectTime: c.Limits.ConnectTime, BackgroundTime: c.Limits.BackgroundTime,
		},
		HTTP:   script.HTTP{Hosts: c.HTTP.Hosts, Timeout: c.HTTP.Timeout, MaxBytes: c.HTTP.MaxBytes},
		Broker: script.BrokerOf(s.Host),
		Logger: s.Logger,
	}
}

// load loads the scripts of the folder; none if there is no folder.
func (c *Config) load(ctx context.Context, s *pluginapi.Setup, stuck func(string)) (*script.Set, error) {
	o := c.options(s)
	o.Stuck = stuck
	if c.Folder == "" {
		return script.LoadFiles(ctx, script.Folder("."), nil, o)
	}
	return script.Load(ctx, script.Folder(c.Folder), o)
}

// problems makes of an error about scripts what the broker shows of a
// configuration.
func problems(err error) []error {
	var out []error
	for _, f := range script.Failures(err) {
		place := f.Place
		if place == "" {
			place = "/folder"
		}
		message := f.Message
		if f.Function != "" {
			message = "in " + f.Function + ": " + message
		}
		out = append(out, pluginapi.ConfigError{Path: place, Message: message})
	}
	return out
}
