package mosquitto_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/internal/mosquitto"
	"github.com/gatehouse-mqtt/gatehouse/plugins/authfile/users"
)

var update = flag.Bool("update", false, "write the golden files")

var fresh = regexp.MustCompile(`\$argon2id\$\S+`) // a hash is another one every time

// Each folder of testdata is a site as there are many; what becomes of it is in
// its golden file, and the users file is one that authfile takes.
func TestTranslate(t *testing.T) {
	sites, err := filepath.Glob("testdata/*/mosquitto.conf")
	if err != nil || len(sites) < 5 {
		t.Fatal(sites, err)
	}
	for _, conf := range sites {
		dir := filepath.Dir(conf)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			res, err := mosquitto.Translate(conf, "users.yaml")
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			fmt.Fprintf(&got, "# gatehouse.yaml\n%s", res.Config)
			if res.Users != nil {
				set, err := users.Parse("users.yaml", res.Users)
				if err != nil {
					t.Fatalf("%v\n%s", err, res.Users)
				}
				if set.Len() == 0 && set.Anonymous() == nil {
					t.Error("nobody may connect")
				}
				fmt.Fprintf(&got, "# users.yaml\n%s", fresh.ReplaceAll(res.Users, []byte("$$argon2id$$...")))
			}
			got.WriteString("# notes\n")
			for _, n := range res.Notes {
				fmt.Fprintln(&got, n)
			}
			golden := filepath.Join(dir, "golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestTranslateErrors(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"listener 1883\nallow_anonymous false\n":            "nobody may connect",
		"listener 1883\npassword_file " + dir + "/none\n":   "none",
		"include_dir " + dir + "/none\n":                    "none",
		"allow_anonymous true\nacl_file " + dir + "/none\n": "none",
		"include_dir " + dir + "\nlistener 1883\n":          "nested too deeply",
	} {
		path := filepath.Join(dir, "m.conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := mosquitto.Translate(path, "users.yaml"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := mosquitto.Translate(filepath.Join(dir, "absent"), "users.yaml"); err == nil {
		t.Error("a file that is not there")
	}
}
