package admin

import (
	"fmt"
)

const (
	defaultPage = 100
	maxPage     = 1000

	// maxPageBytes is about how many bytes of payloads or values a page has.
	maxPageBytes = 2 << 20
)

// pageSize is how many entries a request wants.
func pageSize(limit uint32) (int, error) {
	if limit > maxPage {
		return 0, fmt.Errorf("%w: limit %d: a page has at most %d entries", ErrInvalid, limit, maxPage)
	}
	if limit == 0 {
		return defaultPage, nil
	}
	return int(limit), nil
}

func count(n int) uint64 { return uint64(max(0, n)) }
