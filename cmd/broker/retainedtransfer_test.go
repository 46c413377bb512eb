//go:build unix

package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// What was exported comes back as it was, whether by a file or a pipe.
func TestRetainedExportImport(t *testing.T) {
	s := newSite(t, "")
	s.start()
	for i := range 5 {
		s.does("retained", "put", fmt.Sprintf("t/%d", i), strings.Repeat("x", i+1), "-q", "1", "--content-type", "text", "--property", "k=v=w")
	}
	if c := s.typeIn("from a pipe", "retained", "put", "u", "--stdin", "--expiry", "3600"); c.wait() != 0 {
		t.Fatal(&c.err)
	}
	all := s.does("retained", "export")
	if strings.Count(all, "\n") != 6 || !strings.Contains(all, `"content_type":"text","user_properties":[{"key":"k","value":"v=w"}]`) {
		t.Fatal(all)
	}
	if out := s.does("retained", "export", "t/#", "--out", s.path("kept")); !strings.Contains(out, "5 retained messages written") {
		t.Error(out)
	}
	if _, err := os.Stat(s.path("kept.part")); err == nil {
		t.Error("the unfinished file is still there")
	}
	s.does("retained", "delete", "--all")
	if out := s.does("retained", "import", s.path("kept")); !strings.Contains(out, "5 retained messages imported, 0 had expired") {
		t.Error(out)
	}
	if c := s.typeIn(all, "retained", "import", "-", "--json"); c.wait() != 0 || !strings.Contains(c.out.String(), `{"imported":"6"}`) {
		t.Error(&c.out, &c.err)
	}
	if again := s.does("retained", "export"); strings.ReplaceAll(again, `"origin":"server"`, "") != strings.ReplaceAll(all, `"origin":"server"`, "") {
		t.Errorf("exported\n%s\nand then\n%s", all, again)
	}
	s.does("retained", "delete", "--all")
	if c := s.typeIn(strings.Split(all, "\n")[0]+"\n{\"topic\":1}\n", "retained", "import", "-"); c.wait() != 1 || !strings.Contains(c.err.String(), "-:2: ") {
		t.Errorf("%d %s", c.exit, &c.err)
	}
	if out := s.does("retained", "list"); strings.Count(out, "\n") != 2 {
		t.Errorf("what came before the mistake: %s", out)
	}
	for args, want := range map[string]int{"retained put a/# x": 1, "retained export #/a": 1, "retained import /none": 1} {
		if c := s.typeIn("", strings.Fields(args)...); c.wait() != want {
			t.Errorf("%s: %d %s", args, c.exit, &c.err)
		}
	}
}
