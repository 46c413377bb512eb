package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// manCmd prints manual pages for who packages the broker; they are made of the
// command tree and of the schema of the configuration.
type manCmd struct {
	Page string `arg:"" optional:"" enum:"broker,gatehouse.yaml" default:"broker" help:"broker or gatehouse.yaml."`
}

// Run prints one page.
func (cmd *manCmd) Run(t *terminal, app *kong.Application) error {
	var page string
	if cmd.Page == "gatehouse.yaml" {
		var err error
		if page, err = configManual(); err != nil {
			return err
		}
	} else {
		page = commandManual(app.Node)
	}
	_, err := fmt.Fprint(t.out, page)
	return err
}

// commandManual is broker(1), a section for each command.
func commandManual(root *kong.Node) string {
	m := newManual("broker", 1, "Gatehouse MQTT broker and the tool to run it with")
	m.section("SYNOPSIS")
	m.command("broker", "COMMAND [FLAGS]")
	m.section("DESCRIPTION")
	m.text("Gatehouse is an MQTT broker for versions 3.1, 3.1.1 and 5 that is programmed from outside: plugins, which are processes " +
		"that speak gRPC, decide who may connect, change messages on their way, and keep retained messages.")
	m.text("Commands about a running broker speak to its admin socket, admin.sock in its run directory. They need the broker's own user or root.")
	m.section("COMMANDS")
	m.commands(root)
	m.section("EXIT STATUS")
	m.term("0", "after an orderly end.")
	m.term("1", "after an error, which was printed.")
	m.term("2", "if the command line makes no sense.")
	m.term("3", "if what was named does not exist.")
	m.term("4", "if no broker answers.")
	m.term("5", "if the broker does not let the caller in.")
	m.section("SIGNALS")
	m.term("SIGTERM, SIGINT", "End in order: clients are told, messages are written, plugins are stopped.")
	m.term("SIGHUP", "Read the configuration and the certificates again; clients stay connected.")
	m.section("FILES")
	m.term("/etc/gatehouse/gatehouse.yaml", "The configuration of the service, where a package installed it.")
	m.term("/usr/lib/gatehouse/plugins", "Plugins that a package installed.")
	m.term("/var/lib/gatehouse", "What the service has to keep.")
	m.term("/run/gatehouse", "Its run directory, with the admin socket.")
	m.section("SEE ALSO")
	m.references("gatehouse.yaml(5)", "mosquitto_pub(1)", "mosquitto_sub(1)")
	return m.String()
}

// commands writes the leaves of a command tree, with arguments and flags.
func (m *manual) commands(n *kong.Node) {
	for _, c := range n.Children {
		if c.Hidden || c.Type != kong.CommandNode {
			continue
		}
		if len(c.Children) > 0 {
			m.commands(c)
			continue
		}
		words := strings.Fields(c.FullPath())
		var args []string
		for _, p := range c.Positional {
			args = append(args, p.Summary())
		}
		if len(c.AllFlags(true)) > 0 {
			args = append(args, "[FLAGS]")
		}
		m.subsection(strings.Join(words[1:], " "))
		m.command(strings.Join(words, " "), strings.Join(args, " "))
		m.text(c.Help)
		if c.Detail != "" {
			m.text(c.Detail)
		}
		for _, p := range c.Positional {
			m.term("<"+p.Name+">", p.Help)
		}
		for _, group := range c.AllFlags(true) {
			for _, f := range group {
				if f.Name != "help" {
					m.term(f.String(), f.Help)
				}
			}
		}
	}
}

// schemaNode is what the manual says of a JSON Schema.
type schemaNode struct {
	Description          string                 `json:"description"`
	Properties           map[string]*schemaNode `json:"properties"`
	Items                *schemaNode            `json:"items"`
	AdditionalProperties json.RawMessage        `json:"additionalProperties"`
	AnyOf                []*schemaNode          `json:"anyOf"`
}

// configManual is gatehouse.yaml(5), a term for each key.
func configManual() (string, error) {
	root := new(schemaNode)
	if err := json.Unmarshal([]byte(configSchema), root); err != nil {
		return "", fmt.Errorf("the schema of the configuration: %w", err)
	}
	m := newManual("gatehouse.yaml", 5, "configuration of the Gatehouse MQTT broker")
	m.section("DESCRIPTION")
	m.text("A YAML file; unknown keys are errors. In values ${NAME} is a variable of the environment, ${NAME:-default} one that may be " +
		"missing or empty, and $${ the characters themselves. Durations are written 200ms, 5s, 1h30m, sizes 65536, 64KiB, 16MiB. " +
		"Relative paths are relative to the folder in which the broker was started.")
	m.text("broker serve --config FILE --check-config tells what is wrong with one, with line and column. SIGHUP puts in force what can " +
		"change while clients stay connected.")
	m.section("KEYS")
	m.keys("", root)
	m.section("SEE ALSO")
	m.references("broker(1)")
	return m.String(), nil
}

// keys writes the keys below a node, in the order of their names.
func (m *manual) keys(path string, n *schemaNode) {
	names := make([]string, 0, len(n.Properties))
	for name := range n.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		child := n.Properties[name]
		if child.Description != "" || child.leaf() {
			m.term(path+name, child.Description)
		}
		m.below(path+name, child)
	}
}

// leaf tells whether no keys are below a node.
func (n *schemaNode) leaf() bool {
	if len(n.Properties) > 0 || n.Items != nil {
		return false
	}
	return !slices.ContainsFunc(n.AnyOf, func(one *schemaNode) bool { return !one.leaf() })
}

// below writes the keys that the value of a key may have.
func (m *manual) below(path string, n *schemaNode) {
	if len(n.Properties) > 0 {
		m.keys(path+".", n)
	}
	if n.Items != nil {
		m.below(path+"[]", n.Items)
	}
	for _, one := range n.AnyOf {
		m.below(path, one)
	}
	value := new(schemaNode)
	if json.Unmarshal(n.AdditionalProperties, value) == nil { // else it is a boolean, or not there
		m.below(path+".NAME", value)
	}
}
