package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
)

// TestMain lets the test binary be the plugin.
func TestMain(m *testing.M) {
	if strings.HasPrefix(filepath.Base(os.Args[0]), "minimal-validator") && !strings.Contains(os.Args[0], ".test") {
		main()
	}
	os.Exit(m.Run())
}

// TestConformance runs the plugin, which is this test binary under its name,
// against everything that a validator has to do.
func TestConformance(t *testing.T) {
	plugintest.Check(t, plugintest.Install(t, t.TempDir(), "minimal-validator"), plugintest.KnownUser("kitchen", "anybody", "sesame"))
}
