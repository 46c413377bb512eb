package broker

import (
	"testing"
	"unsafe"
)

// What an idle connection takes is told in docs/operations.md: a field more must not take
// the step to the allocator's next size unseen.
func TestSizes(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("the sizes are those of 64 bits")
	}
	if n := unsafe.Sizeof(conn{}); n > 704 {
		t.Errorf("a connection is %d bytes, for which 768 are allocated", n)
	}
	if n := unsafe.Sizeof(client{}); n > 256 {
		t.Errorf("a client is %d bytes, for which 288 are allocated", n)
	}
}
