package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/gatehouse-mqtt/gatehouse/core/certificate"
)

const (
	authorityValid = 10 * 365 * 24 * time.Hour
	// leafValid is what Apple's systems accept of a server at most.
	leafValid = 825 * 24 * time.Hour
)

// certCmd issues certificates for development and small installations.
type certCmd struct {
	CA     certCACmd     `cmd:"" name:"ca" help:"Make an authority: ca.crt and ca.key."`
	Server certServerCmd `cmd:"" help:"Make a server certificate, and an authority if there is none."`
	Client certClientCmd `cmd:"" help:"Make a client certificate, and an authority if there is none."`
}

// certFlags are where the files are.
type certFlags struct {
	Dir string `help:"Folder of the files." default:"certs" placeholder:"DIR"`
}

type certCACmd struct {
	certFlags
	Name string `help:"Common name of the authority." default:"Gatehouse development CA"`
}

type certServerCmd struct {
	certFlags
	Hosts []string `arg:"" help:"Names and IP addresses by which clients reach the broker; the first names the files." placeholder:"HOST"`
	certLeafFlags
}

type certClientCmd struct {
	certFlags
	Name  string   `arg:"" help:"Common name: the user name with \"username_from: cn\"."`
	DNS   []string `help:"DNS names." placeholder:"NAME"`
	Email []string `help:"E-mail addresses." placeholder:"ADDRESS"`
	URI   []string `help:"URIs." placeholder:"URI"`
	certLeafFlags
}

type certLeafFlags struct {
	Out                string `help:"Name of the files, without .crt and .key." placeholder:"NAME"`
	Days               int    `help:"Days for which it is valid." default:"825"`
	PKCS12PasswordFile string `name:"pkcs12-password-file" help:"Write a .pfx file too, with the password in this file." placeholder:"FILE"`
}

// Run makes an authority.
func (cmd *certCACmd) Run(t *terminal) error {
	dir := certDir{cmd.Dir, t}
	_, err := dir.newAuthority(cmd.Name)
	return err
}

// Run makes a server certificate.
func (cmd *certServerCmd) Run(t *terminal) error {
	hosts := cmd.Hosts
	return cmd.issue(certDir{cmd.Dir, t}, hosts[0], certificate.Request{
		CommonName: hosts[0], Hosts: hosts, Server: true,
	})
}

// Run makes a client certificate.
func (cmd *certClientCmd) Run(t *terminal) error {
	return cmd.issue(certDir{cmd.Dir, t}, cmd.Name, certificate.Request{
		CommonName: cmd.Name, Hosts: cmd.DNS, Emails: cmd.Email, URIs: cmd.URI, Client: true,
	})
}

func (f *certLeafFlags) issue(dir certDir, name string, r certificate.Request) error {
	if f.Out != "" {
		name = f.Out
	}
	name = fileName(name)
	if name == "ca" {
		return errors.New("ca.crt and ca.key are the authority's; choose other names with --out")
	}
	if f.Days < 1 {
		return errors.New("--days must be at least 1")
	}
	if r.Valid = time.Duration(f.Days) * 24 * time.Hour; r.Server {
		r.Valid = min(r.Valid, leafValid)
	}
	pfx := ""
	if f.PKCS12PasswordFile != "" {
		pfx = name + ".pfx"
	}
	if err := dir.free(name+".crt", name+".key", pfx); err != nil {
		return err
	}
	ca, err := dir.authority()
	if err != nil {
		return err
	}
	issued, err := ca.Issue(r)
	if err != nil {
		return err
	}
	if err := dir.write(name, issued); err != nil {
		return err
	}
	if pfx == "" {
		return nil
	}
	c := certificateConfig{PasswordFile: f.PKCS12PasswordFile}
	password, err := c.readPassword()
	if err != nil {
		return err
	}
	bundle, err := pkcs12.Modern.Encode(issued.Key, issued.Certificate, nil, password)
	if err != nil {
		return err
	}
	return dir.create(pfx, bundle, 0o600)
}

// fileName makes a name that is good for a file anywhere.
func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>| `, r) || r < ' ' {
			return '-'
		}
		return r
	}, strings.TrimLeft(s, "."))
}

// certDir is a folder with an authority and what it issued.
type certDir struct {
	path string
	t    *terminal
}

// authority reads the authority, or makes one.
func (d certDir) authority() (*certificate.Issued, error) {
	crt, err := os.ReadFile(filepath.Join(d.path, "ca.crt"))
	if errors.Is(err, fs.ErrNotExist) {
		return d.newAuthority("Gatehouse development CA")
	}
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(filepath.Join(d.path, "ca.key"))
	if err != nil {
		return nil, err
	}
	ca, err := certificate.ParsePEM(crt, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(d.path, "ca.crt"), err)
	}
	return ca, nil
}

func (d certDir) newAuthority(name string) (*certificate.Issued, error) {
	if err := d.free("ca.crt", "ca.key"); err != nil {
		return nil, err
	}
	ca, err := certificate.NewAuthority(name, authorityValid)
	if err != nil {
		return nil, err
	}
	return ca, d.write("ca", ca)
}

// free reports an error if there is a file already.
func (d certDir) free(names ...string) error {
	for _, name := range names {
		path := filepath.Join(d.path, name)
		if _, err := os.Lstat(path); name != "" && err == nil {
			return fmt.Errorf("%s exists; remove it, or choose another folder with --dir", path)
		}
	}
	return nil
}

func (d certDir) write(name string, c *certificate.Issued) error {
	crt, key, err := c.PEM()
	if err != nil {
		return err
	}
	if err := d.create(name+".key", key, 0o600); err != nil {
		return err
	}
	return d.create(name+".crt", crt, 0o644)
}

// create writes a file that must not exist.
func (d certDir) create(name string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(d.path, 0o755); err != nil { //nolint:gosec // keys in it have a mode of their own
		return err
	}
	path := filepath.Join(d.path, name)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(d.t.out, path)
	return err
}
