package users_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/plugins/authfile/users"
)

var update = flag.Bool("update", false, "write the golden files")

// TestBrokenFiles compares what is said about each broken file with its golden
// text.
func TestBrokenFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("found %d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			set, err := users.Parse("users.yaml", data)
			if set != nil || err == nil {
				t.Fatal("the file is accepted")
			}
			var broken *users.Error
			if !errors.As(err, &broken) || len(broken.Problems) == 0 {
				t.Fatalf("error is %T: %v", err, err)
			}
			checkProblems(t, broken, data)
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// checkProblems checks what holds for the problems of any file.
func checkProblems(t *testing.T, e *users.Error, data []byte) {
	t.Helper()
	lines := strings.Split(string(data), "\n")
	before := 0
	for _, p := range e.Problems {
		if p.Line < before || p.Line > len(lines) {
			t.Errorf("line %d comes after line %d of %d", p.Line, before, len(lines))
		}
		before = p.Line
		if p.Message == "" || strings.Contains(p.Message, "\n") {
			t.Errorf("message is %q", p.Message)
		}
		if p.Line > 0 && p.Column < 1 {
			t.Errorf("column is %d", p.Column)
		}
	}
}

// TestNoSecretInProblems puts secrets into files that are broken in many ways
// and looks for them in what is said.
func TestNoSecretInProblems(t *testing.T) {
	const secret = "S3cr3t"
	for _, file := range []string{
		"users:\n  - name: a\n    password: " + secret,
		"users:\n  - name: a\n    password: '" + secret + "'",
		"users:\n  - name: a\n    password: \"" + secret + "\\q\"",
		"users:\n  - name: a\n    password: [" + secret + "]",
		"users:\n  - name: a\n    password: {" + secret + ": 1}",
		"users:\n  - name: a\n    password:\n      " + secret,
		"users:\n  - name: a\n    password: |\n      " + secret,
		"users:\n  - name: a\n    password: >-\n      x\n      " + secret,
		"users:\n  - {name: a, password: " + secret + ", x: y}",
		"users:\n  - {\"name\": \"a\", \"password\": \"" + secret + "\", \"x\": 1}",
		"users:\n  - name: a\n    Password: " + secret,
		"users:\n  - name: a\n    passwort: $argon2id$" + secret,
		"users:\n  - name: a\n    hash: $2y$" + secret + "\n  x",
		"users:\n  - $6$" + secret,
		"$7$" + secret,
		"password: " + secret,
		"users:\n  - name: a\n    pasword: " + secret,
		"users:\n  - name: a\n    \"pasword\": " + secret,
		"users:\n  - {name: a, password: $argon2id$v=19$m=64,t=1,p=1$" + secret + "$x}",
		"users:\n  - name: a\n   password: " + secret,
		"users:\n  - password: '" + secret,
		"users:\n  - password: &x " + secret,
		"users:\n  - password: !!binary " + secret,
	} {
		_, err := users.Parse("users.yaml", []byte(file))
		if err == nil {
			t.Errorf("accepted:\n%s", file)
			continue
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the file\n%s\ngives the secret away:\n%v", file, err)
		}
	}
}
