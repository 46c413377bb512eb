package pluginapi

import "encoding/json"

// Manifest describes a plugin to the broker before it runs. "PLUGIN describe"
// prints it as JSON, and the same JSON is the file plugin.json of a plugin's
// folder.
type Manifest struct {
	Schema  int    `json:"schema"` // 1
	Name    string `json:"name"`
	Version string `json:"version"`
	Summary string `json:"summary,omitempty"`
	// API lists the proto packages of the contract that the plugin speaks.
	API []string `json:"api"`
	// Exec is the command line by "os/arch", "*" for any other; paths with a
	// slash are relative to the plugin's folder. Empty for a bare executable.
	Exec map[string][]string `json:"exec,omitempty"`
	// Services are the full names of the gRPC services it serves.
	Services     []string        `json:"services"`
	ConfigSchema json.RawMessage `json:"config_schema,omitempty"` // JSON Schema
	Env          []string        `json:"env,omitempty"`
	Exclusive    bool            `json:"exclusive,omitempty"`
	Interest     []Interest      `json:"interest,omitempty"` // for information; Init's answer holds
}
