package logfile

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestQuickKey(t *testing.T) {
	tests := []struct {
		line string
		want key
		ok   bool
	}{
		{`{"op":"put","rev":1,"topic":"a/b","text":"x"}`, key{Op: opPut, Rev: 1, Topic: "a/b"}, true},
		{`{"batch":[2,64],"op":"delete","rev":9223372036854775807,"topic":"ä","crc":"0"}`, key{Batch: [2]int{2, 64}, Op: opDelete, Rev: 1<<63 - 1, Topic: "ä"}, true},
		{`{"op":"clear","rev":7,"crc":"00000000"}`, key{Op: opClear, Rev: 7}, true},
		{`{"op":"put","rev":18446744073709551615,"topic":"a","text":"x"}`, key{}, false},
		{`{"op":"put","rev":1,"topic":"a\"b","text":"x"}`, key{}, false},
		{`{"op":"put","rev":1,"topic":"a"}`, key{}, false},
		{`{"op":"put","rev":01,"topic":"a","text":"x"}`, key{}, false},
		{`{"op":"put", "rev":1,"topic":"a","text":"x"}`, key{}, false},
		{`{"op":"merge","rev":1,"topic":"a","text":"x"}`, key{}, false},
		{`{"rev":1,"op":"put","topic":"a","text":"x"}`, key{}, false},
		{`{"op":"put","rev":,"topic":"a","text":"x"}`, key{}, false},
		{`{"op":"put","rev":1,"topic":"a`, key{}, false},
		{``, key{}, false},
	}
	for _, test := range tests {
		got, ok := quickKey([]byte(test.line))
		if ok != test.ok || ok && got != test.want {
			t.Errorf("%s: %+v, %v", test.line, got, ok)
		}
	}
}

// FuzzQuickKey compares the quick way with encoding/json.
func FuzzQuickKey(f *testing.F) {
	f.Add(`{"op":"put","rev":1,"topic":"a/b","text":"x"}`)
	f.Add(`{"batch":[2,64],"op":"delete","rev":3,"topic":"x","crc":"0"}`)
	f.Add(`{"op":"clear","rev":7,"crc":"00000000"}`)
	f.Fuzz(func(t *testing.T, line string) {
		got, ok := quickKey([]byte(line))
		var want key
		if !ok || json.Unmarshal([]byte(line), &want) != nil || got == want {
			return
		}
		// Keys that come twice, in any case, are not what any store writes.
		folded := strings.ToLower(line)
		for _, name := range []string{"op", "rev", "topic", "batch", "\\u", "\u017f", "\u212a"} {
			if strings.Count(folded, name) > 1 || strings.Contains(folded, "\\u") {
				return
			}
		}
		t.Errorf("%s: %+v, json says %+v", line, got, want)
	})
}
