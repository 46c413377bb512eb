package logfile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// sample is testdata/mqttnet.json as messages.
func sample(created time.Time) map[string]*pluginapi.Message {
	isText := true
	all := map[string]*pluginapi.Message{
		"site/kitchen/temperature": {Payload: []byte("21.5"), QoS: 1},
		"site/kitchen/image": {
			Payload: []byte{0, 255, 16}, QoS: 2, ContentType: "image/png", ResponseTopic: "site/answers", CorrelationData: []byte{1, 2, 3},
			PayloadIsUTF8: &isText, UserProperties: []pluginapi.UserProperty{{Key: "unit", Value: "none"}, {Key: "unit", Value: "ü"}},
		},
		"site/numbers": {Payload: []byte{104, 105, 0, 255}, QoS: 1},
		"site/named":   {Payload: []byte("x"), QoS: 2, UserProperties: []pluginapi.UserProperty{{Key: "k", Value: "v"}}},
	}
	for topic, m := range all {
		m.Topic, m.Retain, m.PayloadSize, m.Created = topic, true, len(m.Payload), created
	}
	return all
}

func importing(t *testing.T, path string) (*Store, error) {
	t.Helper()
	return Open(t.Context(), Options{Path: path, Now: func() time.Time { return time.Unix(1_700_000_000, 0) }})
}

// TestImport opens what MQTTnet's sample wrote, twice: the second time it is a
// file like any other.
func TestImport(t *testing.T) {
	text, err := os.ReadFile("testdata/mqttnet.json")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "RetainedMessages.json")
	if err := os.WriteFile(path, append([]byte(byteOrderMark), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, err := importing(t, path)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]*pluginapi.Message{}
		err = s.Load(t.Context(), func(r pluginapi.Record) error {
			got[r.Message.Topic] = r.Message
			return nil
		})
		if diff := cmp.Diff(sample(time.Unix(1_700_000_000, 0).UTC()), got); diff != "" || err != nil {
			t.Errorf("imported (-want +got), %v:\n%s", err, diff)
		}
		if revision, err := s.Apply(t.Context(), nil); revision != 4 || err != nil {
			t.Errorf("revision %d, %v", revision, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := filepath.Glob(path + importSuffix + "*.json")
	if err != nil || len(kept) != 1 {
		t.Fatalf("originals: %v, %v", kept, err)
	}
	if original, err := os.ReadFile(kept[0]); err != nil || string(original) != byteOrderMark+string(text) {
		t.Errorf("the original was not kept as it was: %v", err)
	}
}

// TestImportRefused leaves a file alone that can't be imported, and says where
// it is wrong.
func TestImportRefused(t *testing.T) {
	good := `{"Topic":"a","Payload":"eA=="}`
	for text, want := range map[string]string{
		"[\n  " + good + ",\n  {\"Topic\":\"b\",\"Payload\":\"e\"}\n]": "line 3, column 3: not a retained message: bytes are neither",
		"[\n" + good + "\n" + good + "]":                               "line 2, column 31",
		"[" + good + ",\n{\"Topic\":\"b\",\"Payload\":\"eA==":          "line 2, column 29: the file ends in the middle",
		"[" + good:                          "the file ends in the middle",
		"[" + good + "]\n[]":                "something follows the array",
		`[{"Payload":"eA=="}]`:              "line 1, column 2: not a retained message: it has no Topic",
		`[{"Topic":"a/#"}]`:                 `"a/#" is not the name of a topic`,
		`[{"Topic":"a","Payload":[1,256]}]`: "bytes",
		`[{"Topic":7}]`:                     "line 1, column 2",
		`["a"]`:                             "line 1, column 2",
		`[{"Topic":"a","QualityOfServiceLevel":3}]`:                            "3 is none of AtMostOnce, AtLeastOnce, ExactlyOnce",
		`[{"Topic":"a","PayloadFormatIndicator":"x"}]`:                         "is none of Unspecified, CharacterData",
		`[{"Topic":"a","UserProperties":[{"Name":"k","ValueBuffer":"/w=="}]}]`: "is not UTF-8",
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "r.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := importing(t, path)
		if !errors.Is(err, errForeign) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n%v, want %q", text, err, want)
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != text {
			t.Errorf("%s: the file was changed to %q, %v", text, now, err)
		}
		if files, err := filepath.Glob(filepath.Join(dir, "r.json.*")); err != nil || len(files) != 1 { // the lock
			t.Errorf("%s: files %v, %v", text, files, err)
		}
	}
}

// TestImportRepetitions keeps the last message of a topic, and none without a
// payload.
func TestImportRepetitions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	text := `[{"Topic":"a","Payload":"MQ=="},{"Topic":"b","Payload":null},{"Topic":"c","Payload":"Mg=="},{"Topic":"a","Payload":"Mw=="}]`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := importing(t, path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if diff := cmp.Diff(map[string]string{"a": "3@1", "c": "2@2"}, contents(t, s)); diff != "" {
		t.Error(diff)
	}
}

// TestImportCrash stops the machine, or has a call fail, at each call of an
// import: the next start imports, or has imported, and nothing is lost.
func TestImportCrash(t *testing.T) {
	const text = `[{"Topic":"a","Payload":"MQ=="},{"Topic":"b","Payload":"Mg=="}]`
	want := map[string]string{"a": "1@1", "b": "2@2"}
	begin := func() *disk {
		d := newDisk()
		node := &inode{data: []byte(text), platter: []byte(text)}
		d.names[onDisk(d).Path], d.durable[onDisk(d).Path] = node, node
		return d
	}
	check := func(name string, d *disk) {
		s, err := Open(t.Context(), onDisk(d))
		if err != nil {
			t.Errorf("%s: Open: %v", name, err)
			return
		}
		if diff := cmp.Diff(want, contents(t, s)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		kept := 0
		for name := range d.names {
			if strings.Contains(name, importSuffix) {
				kept++
			}
		}
		if kept == 0 || s.Problems() != nil {
			t.Errorf("%s: %d originals, problems %v", name, kept, s.Problems())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, f := range []fault{faultError, faultHalf, faultCrash, faultCrashed} {
		for k := 1; ; k++ {
			d := begin()
			d.fault = at(k, f)
			s, err := Open(t.Context(), onDisk(d))
			if err == nil && d.calls < k {
				_ = s.Close()
				break // the import has fewer calls
			}
			if err == nil {
				_ = s.Close()
			}
			name := fmt.Sprintf("call %d %s", k, f)
			check(name+" killed", d.killed())
			for cut := range uint64(6) {
				check(fmt.Sprintf("%s power %d", name, cut), d.unplugged(rand.New(rand.NewPCG(uint64(k), cut))))
			}
		}
	}
}
