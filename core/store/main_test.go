package store

import (
	"testing"

	"go.uber.org/goleak"
)

// What [opening.run] says stays for ever may do so, with what pebble has started
// for it.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/gatehouse-mqtt/gatehouse/core/store.(*opening).run"),
		goleak.IgnoreAnyFunction("github.com/cockroachdb/pebble/v2.(*cleanupManager).mainLoop"),
		goleak.IgnoreAnyFunction("github.com/cockroachdb/pebble/v2/internal/genericcache.(*shard[...]).releaseLoop"),
	)
}
