package users

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// day is the longest unit of a duration.
const day = 24 * time.Hour

// parseSeconds reads whole seconds: "90", "90s", "15m", "12h", "1h30m", "7d".
func parseSeconds(s string) (uint64, error) {
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return n, nil
	}
	if digits, found := strings.CutSuffix(s, "d"); found {
		if n, err := strconv.ParseUint(digits, 10, 16); err == nil {
			return n * uint64(day/time.Second), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d%time.Second != 0 {
		return 0, errors.New("must be whole seconds, such as 90, 90s, 15m, 12h or 7d")
	}
	return uint64(d / time.Second), nil
}

var sizeUnits = []struct {
	suffix string
	bytes  uint64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"kB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"B", 1},
	{"", 1},
}

// parseBytes reads a size: "65536", "64KiB", "1 MiB", "10MB".
func parseBytes(s string) (uint64, error) {
	for _, u := range sizeUnits {
		digits, found := strings.CutSuffix(s, u.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSuffix(digits, " "), 10, 64)
		if err != nil || n > math.MaxUint64/u.bytes {
			break
		}
		return n * u.bytes, nil
	}
	return 0, errors.New("must be a number of bytes, such as 65536, 64KiB or 1MiB")
}
