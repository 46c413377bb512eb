package conformance_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if playBroker() {
		return
	}
	goleak.VerifyTestMain(m)
}
