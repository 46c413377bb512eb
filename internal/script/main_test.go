package script_test

import (
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"

	"github.com/gatehouse-mqtt/gatehouse/internal/script"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// folder makes a folder of scripts; a text alone is rules.star.
func folder(text string, more ...string) fstest.MapFS {
	files := fstest.MapFS{"rules.star": {Data: []byte(text)}}
	for i := 0; i+1 < len(more); i += 2 {
		files[more[i]] = &fstest.MapFile{Data: []byte(more[i+1])}
	}
	return files
}

func mustLoad(t testing.TB, o script.Options, text string, more ...string) *script.Set {
	t.Helper()
	s, err := script.Load(t.Context(), folder(text, more...), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
