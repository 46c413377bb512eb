package plugins

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// The examples in other languages do what the contract asks of them: the same
// cases as for plugins in Go.
func TestConformance(t *testing.T) {
	t.Parallel()
	python(t)
	for name, args := range map[string][]string{
		example(t, "python-validator"): {"--client-id", "lamp", "--username", "any", "--password", "sesame"},
		nodeExample(t):                 nil,
	} {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			text := program.Run(t, t.TempDir(), nil, program.Ours(t, "./cmd/broker"), append([]string{"plugin", "check", "--json", name, "--env", "PATH=" + path}, args...)...)
			var report struct{ Passed, Failed int }
			if err := json.Unmarshal(text, &report); err != nil || report.Failed != 0 || report.Passed < 15 {
				t.Errorf("%v: %s", err, text)
			}
		})
	}
}
