package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// Each file of testdata/script is a story of somebody at a terminal.
func TestScripts(t *testing.T) {
	known := goEnvironment(t)
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			// Somebody who writes a plugin has Go, its caches and a checkout.
			for name, value := range known {
				e.Setenv(name, value)
			}
			e.Setenv("CHECKOUT", root)
			return nil
		},
	})
}

// goEnvironment is what "go" needs to know where there is no home.
func goEnvironment(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.Command("go", "env", "-json", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GOFLAGS", "GOTOOLCHAIN").Output()
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]string)
	if err := json.Unmarshal(out, &known); err != nil {
		t.Fatal(err)
	}
	known["GOFLAGS"] = "" // those of the tests are not those of an author
	return known
}
