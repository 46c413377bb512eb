package pluginapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi/internal/strictjson"
)

// APIPackage is the proto package of the contract that this SDK speaks.
const APIPackage = "gatehouse.plugin.v1"

// ManifestSchema is the version of the manifest that this SDK writes and reads.
const ManifestSchema = 1

// Manifest describes a plugin to the broker before it runs. "PLUGIN describe"
// prints it as JSON, and the same JSON is the file plugin.json of a plugin's
// folder. Later versions of schema 1 only gain fields.
type Manifest struct {
	Schema  int    `json:"schema"` // ManifestSchema
	Name    string `json:"name"`
	Version string `json:"version"`
	Summary string `json:"summary,omitempty"`
	// API lists the proto packages of the contract that the plugin speaks.
	API []string `json:"api"`
	// Exec is the command line by "os/arch", "*" for any other; paths with a
	// slash are relative to the plugin's folder. Empty for a bare executable.
	Exec map[string][]string `json:"exec,omitempty"`
	// Services are the full names of the gRPC services it serves,
	// PluginService left out.
	Services []string `json:"services"`
	// ConfigSchema is the JSON Schema of the configuration.
	ConfigSchema json.RawMessage `json:"config_schema,omitempty"`
	// Env names the environment variables to pass on, "*" at the end for a
	// prefix.
	Env []string `json:"env,omitempty"`
	// Exclusive says that only one process may run at a time.
	Exclusive bool `json:"exclusive,omitempty"`
	// Interest is for information; Init's answer holds.
	Interest []Interest `json:"interest,omitempty"`
}

// Manifest returns the plugin's manifest, or an error that says what its author
// has to write.
func (p *Plugin) Manifest() (*Manifest, error) {
	a, err := p.abilities()
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", p.Name, err)
	}
	m := &Manifest{
		Schema:    ManifestSchema,
		Name:      p.Name,
		Version:   p.version(),
		Summary:   p.Summary,
		API:       []string{APIPackage},
		Services:  a.services(),
		Env:       p.Env,
		Exclusive: p.Exclusive,
	}
	if m.ConfigSchema, err = strictjson.Schema(p.Config); err != nil {
		return nil, fmt.Errorf("plugin %s: Plugin.Config: %w", p.Name, err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("plugin %s: %w", p.Name, err)
	}
	return m, nil
}

func (p *Plugin) version() string {
	if p.Version == "" {
		return "0.0.0"
	}
	return p.Version
}

// ParseManifest reads a manifest and checks it. Fields that it does not know
// are skipped, as they are those of a later version. The error names every
// field that is wrong.
func ParseManifest(data []byte) (*Manifest, error) {
	m := new(Manifest)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return m, nil
}

var (
	nameSyntax    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	versionSyntax = regexp.MustCompile(`^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)([-+][0-9A-Za-z.+-]+)?$`)
	serviceSyntax = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*(\.[a-zA-Z_][a-zA-Z0-9_]*)+$`)
	envSyntax     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*\*?$`)
	targetSyntax  = regexp.MustCompile(`^(\*|[a-z0-9]+/[a-z0-9]+)$`)
	allHooks      = []Hook{HookConnect, HookPublish, HookSubscribe, HookUnsubscribe, HookDeliver, HookEvent, HookRetain}
	payloadModes  = []PayloadMode{"", PayloadFull, PayloadHead, PayloadNone}
)

// check returns all that is wrong with a manifest, joined.
func (m *Manifest) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if m.Schema != ManifestSchema {
		// Nothing else can be judged by the rules of another schema.
		return fmt.Errorf("schema is %d, only %d is known", m.Schema, ManifestSchema)
	}
	if !nameSyntax.MatchString(m.Name) {
		bad("name %q: use up to 63 lower-case letters, digits and dashes", m.Name)
	}
	if !versionSyntax.MatchString(m.Version) {
		bad("version %q: write a semantic version such as 1.2.3", m.Version)
	}
	if strings.ContainsAny(m.Summary, "\r\n") {
		bad("summary: must be one line")
	}
	if len(m.API) == 0 {
		bad("api: is empty; this broker speaks %s", APIPackage)
	}
	if len(m.Services) == 0 {
		bad("services: is empty, so that there would be nothing to call")
	}
	for _, s := range m.Services {
		if !serviceSyntax.MatchString(s) {
			bad("services: %q is not the full name of a gRPC service", s)
		}
	}
	for _, e := range m.Env {
		if !envSyntax.MatchString(e) {
			bad("env: %q is neither a variable's name nor a prefix with * at its end", e)
		}
	}
	errs = append(errs, m.checkExec()...)
	errs = append(errs, checkInterest(m.Interest)...)
	if s := strings.TrimSpace(string(m.ConfigSchema)); s != "" && !strings.HasPrefix(s, "{") {
		bad("config_schema: must be a JSON Schema object")
	}
	return errors.Join(errs...)
}

// checkExec checks the command lines. What a path leads to is the host's to
// look at.
func (m *Manifest) checkExec() []error {
	var errs []error
	for target, argv := range m.Exec {
		switch {
		case !targetSyntax.MatchString(target):
			errs = append(errs, fmt.Errorf("exec: %q is neither os/arch nor *", target))
		case len(argv) == 0 || argv[0] == "":
			errs = append(errs, fmt.Errorf("exec: %s names no program", target))
		case strings.ContainsRune(strings.Join(argv, ""), 0):
			errs = append(errs, fmt.Errorf("exec: %s contains a zero byte", target))
		case strings.ContainsAny(argv[0], `/\`) && !filepath.IsLocal(filepath.FromSlash(argv[0])):
			errs = append(errs, fmt.Errorf("exec: %q is not inside the plugin's folder", argv[0]))
		}
	}
	// Map order would make the same mistake read differently each time.
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errs
}

func checkInterest(all []Interest) []error {
	var errs []error
	for i, in := range all {
		if !slices.Contains(allHooks, in.Hook) {
			errs = append(errs, fmt.Errorf("interest %d: unknown hook %q", i, in.Hook))
		}
		if !slices.Contains(payloadModes, in.Payload) {
			errs = append(errs, fmt.Errorf("interest %d: unknown payload mode %q", i, in.Payload))
		}
		if in.HeadSize < 0 {
			errs = append(errs, fmt.Errorf("interest %d: head_size is negative", i))
		}
		if slices.Contains(in.Filters, "") {
			errs = append(errs, fmt.Errorf("interest %d: a filter is empty", i))
		}
	}
	return errs
}
