package wholefile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func names(t *testing.T, folder string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestReplace(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "x.json")
	// What an earlier process left behind is in nobody's way.
	if err := os.WriteFile(filepath.Join(folder, ".x.json.new"), []byte("a longer draft"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one", "", "three"} {
		if err := Replace(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
		if list := names(t, folder); !slices.Equal(list, []string{"x.json"}) {
			t.Errorf("the folder has %q", list)
		}
	}
}

// After an error what was there is there, and nothing else.
func TestReplaceFails(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "x")
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("text"), 0o600); err == nil || errors.Is(err, ErrUnsettled) {
		t.Errorf("a folder was replaced: %v", err)
	}
	if list := names(t, folder); !slices.Equal(list, []string{"x"}) {
		t.Errorf("the folder has %q", list)
	}
	if err := Replace(filepath.Join(folder, "none", "x"), nil, 0o600); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
}
