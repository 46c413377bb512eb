package deploy

import (
	"os"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

func TestMain(m *testing.M) {
	code := m.Run()
	program.Clean()
	os.Exit(code)
}
