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
	Schema configSchemaCmd `cmd:"" help:"Print the JSON Schema of the configuration file, for editors."`
}

type configSchemaCmd struct{}

// Run prints the schema.
func (configSchemaCmd) Run(t *terminal) error {
	_, err := fmt.Fprint(t.out, configSchema)
	return err
}
