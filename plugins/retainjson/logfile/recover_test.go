package logfile

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// written returns the file of a store after some batches.
func written(t *testing.T, batches ...[]pluginapi.Change) []byte {
	t.Helper()
	d := newDisk()
	s := mustOpen(t, onDisk(d))
	for _, b := range batches {
		mustApply(t, s, b...)
	}
	return bytes.Clone(d.names[testPath].data)
}

func diskWith(data []byte) *disk {
	d := newDisk()
	d.names[testPath] = &inode{data: data, platter: data}
	d.durable = maps.Clone(d.names)
	return d
}

// asides returns the files that were set aside.
func asides(d *disk) (files [][]byte) {
	for name, node := range d.names {
		if strings.Contains(name, ".corrupt-") {
			files = append(files, node.data)
		}
	}
	return files
}

func TestTornTail(t *testing.T) {
	file := written(t,
		[]pluginapi.Change{put1("a", "1", 1)},
		[]pluginapi.Change{put1("b", "2", 2), put1("c", "3", 3), del("a", 4)})
	first := bytes.Index(file, []byte(`{"batch"`))
	begin := bytes.IndexByte(file, '\n') + 1
	for size := range file {
		var log bytes.Buffer
		d := diskWith(bytes.Clone(file[:size]))
		o := onDisk(d)
		o.Logger = logTo(&log)
		s := mustOpen(t, o)
		want, clean := map[string]string{"a": "1@1"}, size == first
		if size < first {
			want, clean = map[string]string{}, size == 0 || size == begin
		}
		wantContents(t, s, want)
		if clean != (log.Len() == 0) {
			t.Errorf("cut at %d, log: %s", size, log.String())
		}
		if err := s.Problems(); err != nil || len(asides(d)) > 0 {
			t.Errorf("cut at %d: %v, %d files set aside", size, err, len(asides(d)))
		}
		mustApply(t, s, put1("z", "9", 9))
		want["z"] = "9@9"
		wantContents(t, mustOpen(t, onDisk(d.killed())), want)
	}
}

func TestUnwrittenSpaceAtTheEnd(t *testing.T) {
	file := written(t, []pluginapi.Change{put1("a", "1", 1)}, []pluginapi.Change{put1("b", "2", 2), put1("c", "3", 3)})
	cut := bytes.Index(file, []byte(`{"batch"`))
	for name, data := range map[string][]byte{
		"zeros":                append(bytes.Clone(file[:cut]), make([]byte, 5000)...),
		"zeros at the start":   append(append(bytes.Clone(file[:cut]), make([]byte, 20)...), file[cut+20:]...),
		"zeros over a newline": append(append(bytes.Clone(file[:cut+30]), make([]byte, 100)...), file[cut+130:]...),
	} {
		t.Run(name, func(t *testing.T) {
			d := diskWith(data)
			s := mustOpen(t, onDisk(d))
			wantContents(t, s, map[string]string{"a": "1@1"})
			if err := s.Problems(); err != nil || len(asides(d)) > 0 {
				t.Errorf("%v, %d files set aside", err, len(asides(d)))
			}
		})
	}
}

func TestNothingButUnwrittenSpace(t *testing.T) {
	d := diskWith(make([]byte, 5000))
	s := mustOpen(t, onDisk(d))
	wantContents(t, s, map[string]string{})
	if got := len(d.names[testPath].data); s.Problems() != nil || int64(got) != int64(s.Numbers().Bytes) {
		t.Errorf("%v, the file has %d bytes", s.Problems(), got)
	}
}

// TestSetAsideSurvivesPowerCuts: what is set aside is not lost as well.
func TestSetAsideSurvivesPowerCuts(t *testing.T) {
	data := bytes.Replace(written(t, []pluginapi.Change{put1("a", "1", 1)}, []pluginapi.Change{put1("b", "2", 2)}),
		[]byte(`"topic":"a"`), []byte(`"topic":"A"`), 1)
	for cut := range uint64(8) {
		d := diskWith(bytes.Clone(data))
		wantContents(t, mustOpen(t, onDisk(d)), map[string]string{"b": "2@2"})
		after := d.unplugged(rand.New(rand.NewPCG(3, cut)))
		if kept := asides(after); len(kept) != 1 || !bytes.Equal(kept[0], data) {
			t.Errorf("%d files set aside, or not as they were", len(kept))
		}
		wantContents(t, mustOpen(t, onDisk(after)), map[string]string{"b": "2@2"})
	}
}

func TestDamagedFileIsSetAside(t *testing.T) {
	good := written(t,
		[]pluginapi.Change{put1("a", "1", 1)},
		[]pluginapi.Change{put1("b", "2", 2), put1("c", "3", 3), put1("d", "4", 4)},
		[]pluginapi.Change{put1("e", "5", 5)})
	lines := bytes.SplitAfter(good, []byte("\n"))[:6] // the header and five changes
	all := map[string]string{"a": "1@1", "b": "2@2", "c": "3@3", "d": "4@4", "e": "5@5"}
	lineTopics := []string{"", "a", "b", "c", "d", "e"}
	damage := map[string]func([]byte) []byte{
		"a bit":     func(l []byte) []byte { l[len(l)/2] ^= 4; return l },
		"the brace": func(l []byte) []byte { l[len(l)-2] = 'x'; return l },
		"rubbish":   func([]byte) []byte { return []byte("rubbish\n") },
		"a line":    func(l []byte) []byte { return append([]byte("rubbish\n"), l...) },
		"newline":   func(l []byte) []byte { l[len(l)-1] = ' '; return l },
	}
	for name, spoil := range damage {
		for i := range lines {
			if name == "newline" && i == len(lines)-1 {
				continue // that is a torn tail
			}
			t.Run(fmt.Sprintf("%s in line %d", name, i), func(t *testing.T) {
				var data []byte
				for j, l := range lines {
					l = bytes.Clone(l)
					if j == i {
						l = spoil(l)
					}
					data = append(data, l...)
				}
				want := maps.Clone(all)
				if name != "a line" {
					delete(want, lineTopics[i])
				}
				if name == "newline" {
					delete(want, lineTopics[i+1])
				}
				var log bytes.Buffer
				d := diskWith(bytes.Clone(data))
				o := onDisk(d)
				o.Logger = logTo(&log)
				s := mustOpen(t, o)
				wantContents(t, s, want)
				if got := asides(d); len(got) != 1 || !bytes.Equal(got[0], data) {
					t.Errorf("%d files set aside, or not as they were", len(got))
				}
				if err := s.Problems(); err == nil || !strings.Contains(err.Error(), "1 lines of") {
					t.Errorf("Problems: %v", err)
				}
				if !strings.Contains(log.String(), "set aside") {
					t.Errorf("log: %s", log.String())
				}
				mustApply(t, s, put1("z", "9", 9))
				want["z"] = "9@9"
				next := d.killed()
				again := mustOpen(t, onDisk(next))
				wantContents(t, again, want)
				if err := again.Problems(); err != nil {
					t.Errorf("Problems after the next start: %v", err)
				}
			})
		}
	}
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	seal := func(s string) string {
		var b bytes.Buffer
		b.WriteString(strings.TrimSuffix(s, "}"))
		sealLine(&b, 0)
		return b.String()
	}
	head := seal(`{"format":"gatehouse-retained","schema":1,"revision":0,"floor":0}`)
	tests := map[string]struct{ file, err string }{
		"newer schema":  {seal(`{"format":"gatehouse-retained","schema":2}`), "schema 2, known is 1"},
		"no schema":     {seal(`{"format":"gatehouse-retained"}`), "schema 0, known is 1"},
		"other format":  {seal(`{"format":"other","schema":1}`), "does not name the format"},
		"a JSON array":  {"[{\"Name\":\"a\"}]\n", "it is a JSON array and not one of retained messages"},
		"new operation": {head + seal(`{"op":"merge","rev":1,"topic":"a"}`), `unknown operation "merge"`},
		"not an object": {head + seal(`{"op":7}`), "is not a record"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := diskWith([]byte(test.file))
			_, err := Open(t.Context(), onDisk(d))
			if err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), testPath) {
				t.Errorf("error %v, want one with %q", err, test.err)
			}
			if got := string(d.names[testPath].data); got != test.file || len(d.names) != 1 {
				t.Errorf("the file was changed: %q", got)
			}
		})
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	var b bytes.Buffer
	for _, l := range []string{
		`{"format":"gatehouse-retained","schema":1,"revision":7,"floor":0,"made_by":"a later version"`,
		`{"op":"put","rev":8,"topic":"a","text":"1","colour":"red"`,
	} {
		start := b.Len()
		b.WriteString(l)
		sealLine(&b, start)
	}
	s := mustOpen(t, onDisk(diskWith(b.Bytes())))
	wantContents(t, s, map[string]string{"a": "1@8"})
}

// TestFileFormat holds the format: a file that an older version wrote must
// always be readable, and what is written must be what README.md says.
func TestFileFormat(t *testing.T) {
	golden, err := os.ReadFile("testdata/schema1.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	got := written(t,
		[]pluginapi.Change{put1("demo/kitchen", "21.5", 1)},
		[]pluginapi.Change{put1("demo/raw", "\x00\xff", 2), del("demo/old", 3)},
		[]pluginapi.Change{wipe(4)},
		[]pluginapi.Change{put1("demo/last", `{"on":true}`, 5)})
	if diff := cmp.Diff(string(golden), string(got)); diff != "" {
		t.Errorf("format (-want +got):\n%s", diff)
	}
	s := mustOpen(t, onDisk(diskWith(golden)))
	wantContents(t, s, map[string]string{"demo/last": `{"on":true}@5`})
}

// FuzzRecover starts a store on any file: it opens, or leaves the file alone
// and says why; what it opens can be written, and is the same the next time.
// With sealed, every line that has a checksum gets the right one.
func FuzzRecover(f *testing.F) {
	golden, err := os.ReadFile("testdata/schema1.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for _, sealed := range []bool{false, true} {
		f.Add(golden, sealed)
		f.Add(golden[:len(golden)-3], sealed)
		f.Add(bytes.ReplaceAll(golden, []byte("demo"), []byte("DEMO")), sealed)
	}
	f.Add([]byte("[]"), false)
	f.Add([]byte("\x00\x00\n\n"), false)
	f.Fuzz(func(t *testing.T, data []byte, sealed bool) {
		if sealed {
			data = resealed(data)
		}
		d := diskWith(bytes.Clone(data))
		s, err := Open(t.Context(), onDisk(d))
		if err != nil {
			if !bytes.Equal(d.names[testPath].data, data) {
				t.Error("a file that was refused was changed")
			}
			return
		}
		const rev = 1 << 62
		if s.Numbers().Revision >= rev || s.Load(t.Context(), func(pluginapi.Record) error { return nil }) != nil {
			return // lines that no store writes, with right checksums
		}
		first := contents(t, s)
		mustApply(t, s, put1("fuzz", "x", rev))
		wantIndexAsInFile(t, s)
		if err := s.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantIndexAsInFile(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		first["fuzz"] = fmt.Sprintf("x@%d", uint64(rev))
		next := mustOpen(t, onDisk(d.killed()))
		if err := next.Problems(); err != nil {
			t.Errorf("damaged after a repair: %v", err)
		}
		wantContents(t, next, first)
	})
}

func resealed(data []byte) []byte {
	var b bytes.Buffer
	for l := range bytes.Lines(data) {
		cut := len(l) - sumSize - 1
		if cut < 1 || !bytes.HasPrefix(l[cut:], []byte(sumPrefix)) {
			b.Write(l)
			continue
		}
		start := b.Len()
		b.Write(l[:cut])
		sealLine(&b, start)
	}
	return b.Bytes()
}
