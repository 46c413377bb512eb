package conformance_test

import (
	_ "embed"
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

//go:embed testdata/bad-input.tsv
var catalogueText string

// entry is a line of the catalogue.
type entry struct{ id, clause, input, expected string }

func catalogue(t *testing.T) []entry {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(catalogueText), "\n")[1:]
	list := make([]entry, len(lines))
	for i, line := range lines {
		f := strings.Split(line, "\t")
		if len(f) != 4 {
			t.Fatalf("line %d has %d fields", i+2, len(f))
		}
		list[i] = entry{f[0], f[1], f[2], f[3]}
	}
	return list
}

// Every entry of the catalogue is a row of its letter's table, and a row that
// is not of our own has an entry that allows its answer.
func TestBadInputIsComplete(t *testing.T) {
	entries := make(map[string]entry)
	for _, e := range catalogue(t) {
		if _, twice := entries[e.id]; twice {
			t.Errorf("%s is in the catalogue twice", e.id)
		}
		entries[e.id] = e
	}
	rows := make(map[string]bool)
	for letter, table := range badInput {
		for _, row := range table {
			if rows[row.id] || !strings.HasPrefix(row.id, letter) {
				t.Errorf("%s is there twice, or in the table of %s", row.id, letter)
			}
			rows[row.id] = true
			if row.ours() {
				continue
			}
			e, found := entries[row.id]
			if !found {
				t.Errorf("%s is not in the catalogue", row.id)
			} else if row.run == nil && !e.allows(row.want) {
				t.Errorf("%s: the catalogue wants %q, the table says %+v", row.id, e.expected, row.want)
			}
		}
	}
	for id, e := range entries {
		if !rows[id] {
			t.Errorf("%s is missing: %s", id, e.input)
		}
	}
}

// allows reports whether an answer is one that the entry names. A limit of ours
// may refuse earlier.
func (e entry) allows(a outcome) bool {
	code := a.code()
	named := strings.Contains(e.expected, fmt.Sprintf("0x%02x", byte(code)))
	if c, ok := a.says.(*packet.Connack); ok && c.Code == mqtt.ClientIdentifierNotValid {
		named = named || strings.Contains(e.expected, "CONNACK 0x02") // as MQTT 3.1.1 says it
	}
	mayClose := strings.Contains(e.expected, "close")
	mayRefuse := strings.Contains(e.expected, "refused")
	switch {
	case a.stays:
		return code == 0 || named || mayRefuse || code == mqtt.UnspecifiedError
	case a.says == nil:
		return mayClose || mayRefuse
	default:
		return named || mayRefuse || code == mqtt.PacketTooLarge || strings.HasSuffix(e.expected, "or close")
	}
}
