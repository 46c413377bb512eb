package suites

import (
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/spec"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// users is who the suite's authentication test wants: one who may and one who
// may not. A client without a user name is refused with "not authorized".
const users = `
users:
  - name: allow
    password: HASH
    allow: {both: "#"}
`

// TestGomqtt runs the 66 tests of gomqtt's specification with authfile as the
// validator, as somebody would who has users.
func TestGomqtt(t *testing.T) {
	t.Parallel()
	// The suite connects often, and a machine may be busy with other tests.
	hash := program.Run(t, "", strings.NewReader("allow\n"), program.Ours(t, "./cmd/broker"), "password", "--memory=1024", "--time=1")
	b := program.Gatehouse(t, program.Options{
		Plugins: []string{"authfile"},
		Config:  "plugins: {authfile: {config: {file: users.yaml}, validator: {timeout: 20s}}}\n",
		Files:   map[string]string{"users.yaml": strings.Replace(users, "HASH", strings.TrimSpace(string(hash)), 1)},
	})
	config := spec.AllFeatures()
	config.URL = "tcp://allow:allow@" + b.Addr
	config.DenyURL = "tcp://" + b.Addr
	config.ProcessWait = 50 * time.Millisecond
	config.NoMessageWait = 50 * time.Millisecond
	config.MessageRetainWait = 50 * time.Millisecond
	spec.Run(t, config)
}
