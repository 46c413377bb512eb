package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// Each file of testdata/script is a story of somebody at a terminal.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script"})
}
