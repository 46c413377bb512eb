package script_test

import (
	"testing"
	"testing/fstest"
	"time"

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

// mustLoad loads scripts, with time enough for a busy machine unless the test is
// about time.
func mustLoad(t testing.TB, o script.Options, text string, more ...string) *script.Set {
	t.Helper()
	o.Limits = patient(o.Limits)
	s, err := script.Load(t.Context(), folder(text, more...), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func patient(l script.Limits) script.Limits {
	if l.Time == 0 {
		l.Time = time.Minute
	}
	if l.ConnectTime == 0 {
		l.ConnectTime = time.Minute
	}
	l.BackgroundTime = time.Minute
	return l
}
