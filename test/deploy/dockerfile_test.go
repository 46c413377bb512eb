package deploy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// BuildKit understands the Dockerfile and has nothing against it; what it copies
// is there, its user is a number, and its command one that the broker takes.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	f, err := os.Open(filepath.Join(program.Root(), "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file, err := parser.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	lint := linter.New(&linter.Config{Warn: func(rule, description, _, message string, _ []parser.Range) {
		t.Errorf("%s: %s (%s)", rule, message, description)
	}})
	stages, _, err := instructions.Parse(file.AST, lint)
	if err != nil {
		t.Fatal(err)
	}
	image := stages[len(stages)-1]
	if image.BaseName != "scratch" {
		t.Errorf("the image is made of %s", image.BaseName)
	}
	var command []string
	var user string
	for _, c := range image.Commands {
		switch c := c.(type) {
		case *instructions.CopyCommand:
			for _, source := range c.SourcePaths {
				if c.From != "" {
					continue
				}
				if _, err := os.Stat(filepath.Join(program.Root(), source)); err != nil {
					t.Error(err)
				}
			}
		case *instructions.RunCommand:
			t.Error("there is no shell to run anything with")
		case *instructions.UserCommand:
			user = c.User
		case *instructions.EntrypointCommand:
			command = slices.Concat(c.CmdLine, command)
		case *instructions.CmdCommand:
			command = append(command, c.CmdLine...)
		case *instructions.HealthCheckCommand:
			if c.Health == nil || len(c.Health.Test) < 2 || c.Health.Test[0] != "CMD" || c.Health.Test[1] != "/usr/bin/broker" {
				t.Errorf("the health check needs a shell: %+v", c.Health)
			}
		}
	}
	if strings.Trim(user, "0123456789:") != "" || strings.HasPrefix(user, "0") || user == "" {
		t.Errorf("the user is %q: Kubernetes can't tell that this is not root", user)
	}
	config, err := os.ReadFile(filepath.Join(program.Root(), "contrib/docker/gatehouse.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	checkConfig(t, command[1:], string(config))
}
