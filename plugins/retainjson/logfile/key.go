package logfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

// parseKey reads what the index needs to know of an intact line. Lines begin
// in the way that this program writes them, nearly always, and are then read
// without a look at the rest.
func parseKey(b []byte) (key, error) {
	if k, ok := quickKey(b); ok {
		return k, nil
	}
	var k key
	if err := json.Unmarshal(b, &k); err != nil {
		return k, err
	}
	if k.Batch != [2]int{} && !bytes.HasPrefix(b, []byte(batchPrefix)) {
		return k, errBatchNotFirst
	}
	return k, nil
}

// errBatchNotFirst: where compaction leaves lines of a batch out, it takes the
// mark off the others, and finds it only at the beginning.
var errBatchNotFirst = errors.New(`"batch" is not what it begins with`)

// quickKey reads a key whose fields are in the order of the struct, without
// space between them and without escapes in the topic.
func quickKey(b []byte) (k key, ok bool) {
	p := prefixParser{rest: b, ok: true}
	p.skip("{")
	if p.has(`"batch":[`) {
		k.Batch[0] = int(p.number())
		p.skip(",")
		k.Batch[1] = int(p.number())
		p.skip("],")
	}
	p.skip(`"op":"`)
	k.Op = p.op()
	p.skip(`,"rev":`)
	k.Rev = p.number()
	if k.Op == opClear {
		return k, p.ok && p.has(`,"crc"`)
	}
	p.skip(`,"topic":"`)
	k.Topic = p.text()
	return k, p.ok && p.has(`,"`)
}

// prefixParser reads the beginning of a line; ok is false once something was
// not as expected.
type prefixParser struct {
	rest []byte
	ok   bool
}

func (p *prefixParser) has(s string) bool {
	if len(p.rest) < len(s) || string(p.rest[:len(s)]) != s {
		return false
	}
	p.rest = p.rest[len(s):]
	return true
}

func (p *prefixParser) skip(s string) { p.ok = p.has(s) && p.ok }

func (p *prefixParser) op() string {
	for _, op := range [...]string{opPut, opDelete, opClear} {
		if p.has(op + `"`) {
			return op
		}
	}
	p.ok = false
	return ""
}

func (p *prefixParser) number() uint64 {
	end := 0
	for end < len(p.rest) && p.rest[end] >= '0' && p.rest[end] <= '9' {
		end++
	}
	n, err := strconv.ParseUint(string(p.rest[:end]), 10, 63)
	if err != nil || end > 1 && p.rest[0] == '0' {
		p.ok = false
	}
	p.rest = p.rest[end:]
	return n
}

// text reads a string up to its quote, and gives up on one with escapes.
func (p *prefixParser) text() string {
	end := bytes.IndexByte(p.rest, '"')
	if end < 0 || bytes.IndexByte(p.rest[:end], '\\') >= 0 || !utf8.Valid(p.rest[:end]) {
		p.ok = false
		return ""
	}
	s := string(p.rest[:end])
	p.rest = p.rest[end+1:]
	return s
}
