package main

import (
	_ "embed" // the schema
	"fmt"
)

// configSchema is the JSON Schema of the configuration file. A test makes it of
// the structs and of docs/operations.md, and holds it up to date.
//
//go:embed gatehouse.schema.json
var configSchema string

type configCmd struct {
	Show   configShowCmd   `cmd:"" help:"Print the configuration that a running broker has in force, without its secrets."`
	Check  configCheckCmd  `cmd:"" help:"Check the configuration."`
	Reload configReloadCmd `cmd:"" help:"Have a running broker read its configuration again, and wait for the result."`
	Schema configSchemaCmd `cmd:"" help:"Print the JSON Schema of the configuration file, for editors."`
}

type configSchemaCmd struct{}

// Run prints the schema.
func (configSchemaCmd) Run(t *terminal) error {
	_, err := fmt.Fprint(t.out, configSchema)
	return err
}
