package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gatehouse-mqtt/gatehouse/internal/mosquitto"
)

type importCmd struct {
	Mosquitto importMosquittoCmd `cmd:"" help:"Translate a mosquitto.conf with its password and ACL files."`
}

type importMosquittoCmd struct {
	File string `arg:"" help:"The mosquitto.conf; files that it names are read from where they are."`
	Out  string `help:"Folder for gatehouse.yaml and users.yaml." default:"." placeholder:"DIR"`
}

// Run writes the files, and says what has no equivalent.
func (cmd *importMosquittoCmd) Run(t *terminal) error {
	// The broker may be started in any folder.
	users, err := filepath.Abs(filepath.Join(cmd.Out, "users.yaml"))
	if err != nil {
		return err
	}
	res, err := mosquitto.Translate(cmd.File, users)
	if err != nil {
		return err
	}
	if _, err := parseConfig("gatehouse.yaml", res.Config); err != nil {
		return fmt.Errorf("the translation is no good configuration: %w\n\n%s", err, res.Config)
	}
	files := map[string][]byte{"gatehouse.yaml": res.Config}
	if res.Users != nil {
		files["users.yaml"] = res.Users
	}
	for name := range files {
		if _, err := os.Lstat(filepath.Join(cmd.Out, name)); err == nil {
			return fmt.Errorf("%s exists; choose another folder with --out", filepath.Join(cmd.Out, name))
		}
	}
	if err := os.MkdirAll(cmd.Out, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, name := range []string{"gatehouse.yaml", "users.yaml"} {
		text, ok := files[name]
		if !ok {
			continue
		}
		path := filepath.Join(cmd.Out, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return err
		}
		fmt.Fprintln(t.out, path)
	}
	if len(res.Notes) > 0 {
		fmt.Fprintln(t.out, "\nTo be looked at:")
	}
	for _, n := range res.Notes {
		fmt.Fprintln(t.out, " ", n)
	}
	if bytes.Contains(res.Config, []byte("plugins:")) {
		fmt.Fprintf(t.out, "\nThe plugins have to be found: broker serve --config %s --plugin-dir DIR\n", filepath.Join(cmd.Out, "gatehouse.yaml"))
	}
	return nil
}
