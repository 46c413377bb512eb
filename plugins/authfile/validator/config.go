package validator

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/plugins/authfile/users"
)

// Config is the configuration of the plugin.
type Config struct {
	File          string `json:"file" required:"true" doc:"the users file; a relative path is one in the folder in which the broker was started"`
	Reload        bool   `json:"reload" doc:"whether a change of the users file is followed"`
	UnknownUsers  string `json:"unknown_users" enum:"refuse,abstain" doc:"what is said about clients of which the users file says nothing; abstain leaves them to other validators"`
	HashMemoryMiB int    `json:"hash_memory_mib" doc:"how much memory password checks may take together, 8 to 65536 MiB"`
	TimeZone      string `json:"time_zone" doc:"where the days and months of quotas begin, such as Europe/Berlin; Local is the zone of the broker's machine"`
}

const (
	refuseUnknown  = "refuse"
	abstainUnknown = "abstain"

	minHashMemory, maxHashMemory = 8, 65536 // MiB
)

func defaultConfig() Config {
	return Config{Reload: true, UnknownUsers: refuseUnknown, HashMemoryMiB: 256, TimeZone: "Local"}
}

// Plugin describes the plugin.
func Plugin() pluginapi.Plugin {
	config := defaultConfig()
	return pluginapi.Plugin{
		Name:       "authfile",
		Version:    "0.1.0",
		Summary:    "users, passwords and rules in a file",
		Config:     &config,
		Hooks:      (*Authfile)(nil),
		New:        func(ctx context.Context, s *pluginapi.Setup) (any, error) { return open(ctx, s) },
		Check:      check,
		Idempotent: true,
	}
}

// readConfig decodes and checks the configuration. File becomes absolute, so
// that problems name a file that a person can find.
func readConfig(s *pluginapi.Setup) (Config, error) {
	c := defaultConfig()
	if err := s.Config(&c); err != nil {
		return Config{}, err
	}
	if c.HashMemoryMiB < minHashMemory || c.HashMemoryMiB > maxHashMemory {
		return Config{}, pluginapi.ConfigError{
			Path:    "/hash_memory_mib",
			Message: fmt.Sprintf("must be %d to %d", minHashMemory, maxHashMemory),
		}
	}
	if c.File == "" {
		return Config{}, pluginapi.ConfigError{Path: "/file", Message: "must name the users file"}
	}
	if _, err := time.LoadLocation(c.TimeZone); err != nil {
		return Config{}, pluginapi.ConfigError{Path: "/time_zone", Message: err.Error()}
	}
	path, err := filepath.Abs(c.File)
	if err != nil {
		return Config{}, pluginapi.ConfigError{Path: "/file", Message: err.Error()}
	}
	c.File = path
	return c, nil
}

// warn shows the warnings about a users file to whoever wrote the configuration.
func warn(s *pluginapi.Setup, set *users.Set) {
	for _, w := range set.Warnings() {
		s.Warn(w.Place(), "%s", w.Message)
	}
}

// asConfigErrors makes one remark of each problem of a users file.
func asConfigErrors(err error) error {
	broken, ok := errors.AsType[*users.Error](err)
	if !ok {
		return pluginapi.ConfigError{Path: "/file", Message: err.Error()}
	}
	var remarks []error
	for _, p := range broken.Problems {
		remarks = append(remarks, pluginapi.ConfigError{Path: p.Place(), Message: p.Message})
	}
	if broken.More > 0 {
		remarks = append(remarks, pluginapi.ConfigError{
			Path:    broken.Problems[0].File,
			Message: fmt.Sprintf("has %d more problems", broken.More),
		})
	}
	return errors.Join(remarks...)
}

// check looks at a configuration and its users file without using them.
func check(_ context.Context, s *pluginapi.Setup) error {
	c, err := readConfig(s)
	if err != nil {
		return err
	}
	set, err := users.Load(c.File)
	if err != nil {
		return asConfigErrors(err)
	}
	warn(s, set)
	return nil
}

// newJudge puts together what decides under a configuration.
func (c Config) newJudge(set *users.Set) *judge {
	return &judge{
		set:     set,
		abstain: c.UnknownUsers == abstainUnknown,
		zone:    c.TimeZone,
		check:   newGate(int64(c.HashMemoryMiB)<<20, runtime.GOMAXPROCS(0)).check,
	}
}
