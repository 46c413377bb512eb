package users

import "testing"

func TestParseSeconds(t *testing.T) {
	for s, want := range map[string]uint64{
		"0": 0, "90": 90, "90s": 90, "15m": 900, "12h": 43200, "1h30m": 5400, "7d": 604800, "4294967295": 4294967295,
	} {
		if got, err := parseSeconds(s); err != nil || got != want {
			t.Errorf("parseSeconds(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "-1", "-1s", "1.5s", "500ms", "1w", "d", "-1d", "1.5d", "99999d", "1 h", "s", "99999999999999999999"} {
		if got, err := parseSeconds(s); err == nil {
			t.Errorf("parseSeconds(%q) = %d", s, got)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for s, want := range map[string]uint64{
		"0": 0, "1": 1, "65536": 65536, "10B": 10, "64KiB": 65536, "1 MiB": 1 << 20, "2GiB": 2 << 30,
		"64kB": 64000, "10MB": 10e6, "1GB": 1e9, "18446744073709551615": 1<<64 - 1,
	} {
		if got, err := parseBytes(s); err != nil || got != want {
			t.Errorf("parseBytes(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "B", "KiB", "-1", "1.5MiB", "64KB", "64kib", "64k", "1  MiB", "18446744073709551616", "99999999999GiB"} {
		if got, err := parseBytes(s); err == nil {
			t.Errorf("parseBytes(%q) = %d", s, got)
		}
	}
}
