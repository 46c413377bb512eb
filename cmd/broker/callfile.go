package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protojson"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// A file of calls has one JSON object per line: first a callHeader, then a
// gatehouse.admin.v1.WatchedCall for each call, in the order in which they were
// decided.
const (
	callFormat  = "gatehouse.calls"
	callVersion = 1

	// maxCallLine bounds a line: the largest message, before and after, in base64.
	maxCallLine = 800 << 20
)

// callHeader says what a file of calls is.
type callHeader struct {
	Format    string `json:"format"`
	Version   int    `json:"version"`
	Plugin    string `json:"plugin"`
	Broker    string `json:"broker"`    // version that recorded it
	Redaction string `json:"redaction"` // "secrets", "payloads" or "none"
}

func writeCallHeader(w io.Writer, h callHeader) error {
	h.Format, h.Version = callFormat, callVersion
	b, err := json.Marshal(h)
	if err == nil {
		_, err = fmt.Fprintf(w, "%s\n", b)
	}
	return err
}

// readCalls calls each with every call and the number of its line. The error
// names the line.
func readCalls(r io.Reader, each func(line int, c *adminv1.WatchedCall) error) (h callHeader, err error) {
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		text, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(bytes.TrimSpace(text)) == 0 {
			if n == 1 {
				return h, errors.New("the file is empty")
			}
			return h, nil
		}
		if err != nil && !errors.Is(err, io.EOF) || len(text) > maxCallLine {
			return h, fmt.Errorf("line %d: %w", n, errors.Join(err, errors.New("it can't be read")))
		}
		if n == 1 {
			if err := json.Unmarshal(text, &h); err != nil || h.Format != callFormat {
				return h, errors.New("line 1: it is no file of calls: \"broker plugin record\" makes one")
			}
			if h.Version != callVersion {
				return h, fmt.Errorf("line 1: the file is of version %d, and this program knows version %d", h.Version, callVersion)
			}
			continue
		}
		c := new(adminv1.WatchedCall)
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, c); err != nil {
			return h, fmt.Errorf("line %d: %w", n, plainError(err))
		}
		if err := each(n, c); err != nil {
			return h, err
		}
	}
}
