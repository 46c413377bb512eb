package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
)

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "min" {
		main()
	}
	os.Exit(m.Run())
}

// TestSize holds what the README promises.
func TestSize(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(source, []byte("\n")); n > 15 {
		t.Errorf("main.go has %d lines, want at most 15", n)
	}
}

func TestProgram(t *testing.T) {
	p := plugintest.Launch(t, plugintest.Install(t, t.TempDir(), "min"))
	for password, want := range map[string]pluginapi.Word{"secret": pluginapi.Allow, "guess": pluginapi.Deny} {
		d, err := p.ValidateConnection(t.Context(), plugintest.Connect("c", plugintest.Credentials("anna", password)))
		if err != nil || d.Word != want {
			t.Errorf("password %s: %v, %v", password, d, err)
		}
	}
}
