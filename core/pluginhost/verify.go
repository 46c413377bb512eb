package pluginhost

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// verified is what a start needs to know of a plugin, read from its files after
// they passed the checks.
type verified struct {
	manifest *pluginapi.Manifest // nil if only the running plugin can tell
	program  string              // to execute; "" for an attached plugin
	args     []string            // argv without the program's name
	env      []string
	attach   string // socket of a plugin that somebody else runs
}

// verifier checks the files of one plugin before each start.
type verifier struct {
	found
	pins          *pins // nil: every file will do
	shadowing     *shadowing
	describeLimit time.Duration

	// A program that describes itself is asked again only after it changed.
	described *pluginapi.Manifest
	asOf      fingerprint

	// shunned is the socket of a guest that answered nothing for too long; see shuns.
	shunned string
}

// verify reads and checks everything anew. The error says what is wrong and
// what to do. The manifest comes even with an error, once it is known: which
// hooks a plugin has, and so whose policies hold, must not depend on whether
// it can run.
func (v *verifier) verify(ctx context.Context) (*verified, error) {
	p := v.place
	switch {
	case p.err != nil:
		return &verified{}, p.err
	case p.attach != "":
		return &verified{attach: p.attach}, nil
	}
	if err := v.pins.check(ctx, v.Name, p, v.guest()); err != nil {
		return &verified{}, err
	}
	switch {
	case p.folder != "":
		return v.verifyFolder()
	default:
		return v.verifyFile(ctx)
	}
}

// verifyFile checks a bare executable.
func (v *verifier) verifyFile(ctx context.Context) (*verified, error) {
	out := new(verified)
	program, info, err := trusted(v.place.root, v.place.file)
	if err != nil {
		return out, err
	}
	if err := executable(info); err != nil {
		return out, fmt.Errorf("%s can't be run: %w", program, err)
	}
	if err := v.checkHash(program); err != nil {
		return out, err
	}
	if now := v.fingerprint(); v.described == nil || v.asOf != now {
		text, err := describe(ctx, program, v.describeLimit)
		if err != nil {
			return out, fmt.Errorf("%s is not a plugin, or not one for this system: %w; run %q to see, or put a dot in front of its name to have it skipped",
				program, err, program+" describe")
		}
		m, err := pluginapi.ParseManifest(text)
		if err != nil {
			return out, fmt.Errorf("what %q prints is not acceptable: %w", program+" describe", err)
		}
		v.described, v.asOf = m, now
	}
	out.manifest, out.program = v.described, program
	return out, v.complete(out)
}

// verifyFolder checks a folder: attach.json if the plugin that it names is
// there, else plugin.json.
func (v *verifier) verifyFolder() (*verified, error) {
	out := new(verified)
	manifest := filepath.Join(v.place.folder, manifestFile)
	var attachErr error
	if exists(filepath.Join(v.place.folder, attachFile)) {
		if out.attach, attachErr = v.readAttach(); v.shuns(out.attach) {
			out.attach = ""
		}
	}
	if exists(manifest) {
		text, err := v.readFile(manifest)
		if err != nil {
			return out, errors.Join(attachErr, err)
		}
		if out.manifest, err = pluginapi.ParseManifest(text); err != nil {
			return out, fmt.Errorf("%s: %w", manifest, err)
		}
	}
	switch {
	case out.attach != "" && (out.manifest == nil || answers(out.attach)):
		return out, nil
	case attachErr != nil && out.manifest == nil:
		return out, attachErr
	case out.manifest == nil:
		return out, fmt.Errorf("%s has no %s: is it the source of a plugin? build it, and name the folder of its build, such as %s",
			v.place.folder, manifestFile, filepath.Join(v.place.folder, "build", filepath.Base(v.place.folder)))
	}
	out.attach = ""
	if err := v.command(out); err != nil {
		return out, err
	}
	if err := v.checkHash(out.program); err != nil {
		return out, err
	}
	return out, v.complete(out)
}

// command finds the program and its arguments for this system.
func (v *verifier) command(out *verified) error {
	target := runtime.GOOS + "/" + runtime.GOARCH
	argv := out.manifest.Exec[target]
	if argv == nil {
		argv = out.manifest.Exec["*"]
	}
	if argv == nil {
		if len(out.manifest.Exec) > 0 {
			return fmt.Errorf("its manifest names no program for %s: install a build for this system", target)
		}
		argv = []string{"./" + v.Name}
		if runtime.GOOS == "windows" {
			argv[0] += ".exe"
		}
	}
	out.env = environment(os.Environ(), out.manifest.Env, v.Env)
	for _, arg := range argv[1:] {
		path, err := v.argument(arg)
		if err != nil {
			return err
		}
		out.args = append(out.args, path)
	}
	if !strings.ContainsAny(argv[0], `/\`) {
		var err error
		out.program, err = lookup(argv[0], out.env)
		return err
	}
	program, info, err := trusted(v.place.root, filepath.Join(v.place.folder, filepath.FromSlash(argv[0])))
	if err != nil {
		return err
	}
	if err := executable(info); err != nil {
		return fmt.Errorf("%s can't be run: %w", program, err)
	}
	out.program = program
	return nil
}

// argument makes the path of a file in the folder, such as an interpreter's
// script, absolute: the plugin runs in the broker's directory. Anything else
// stays as it is.
func (v *verifier) argument(arg string) (string, error) {
	if strings.HasPrefix(arg, "-") || !filepath.IsLocal(filepath.FromSlash(arg)) {
		return arg, nil
	}
	path := filepath.Join(v.place.folder, filepath.FromSlash(arg))
	if !exists(path) {
		return arg, nil
	}
	path, _, err := trusted(v.place.root, path)
	return path, err
}

// complete checks what is the same for all that the broker runs.
func (v *verifier) complete(out *verified) error {
	if out.env == nil {
		out.env = environment(os.Environ(), out.manifest.Env, v.Env)
	}
	if !slices.Contains(out.manifest.API, pluginapi.APIPackage) {
		return fmt.Errorf("it speaks %s, and this broker speaks %s: install a version of the plugin that was built for this broker",
			strings.Join(out.manifest.API, ", "), pluginapi.APIPackage)
	}
	return v.shadowing.checkManifest(out.manifest)
}

// readFile reads a file of the folder.
func (v *verifier) readFile(path string) ([]byte, error) {
	target, _, err := trusted(v.place.root, path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(target)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxDescription+1))
	if err == nil && len(text) > maxDescription {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxDescription)
	}
	return text, err
}

// readAttach reads the address in attach.json.
func (v *verifier) readAttach() (string, error) {
	path := filepath.Join(v.place.folder, attachFile)
	text, err := v.readFile(path)
	if err != nil {
		return "", err
	}
	var a pluginapi.Attach
	if err := json.Unmarshal(text, &a); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	socket, err := socketPath(a.Address)
	if err != nil {
		return "", fmt.Errorf("%s: address: %w", path, err)
	}
	return socket, nil
}

// guest is the socket that attach.json names, if somebody is there to be attached.
func (v *verifier) guest() string {
	if v.place.folder == "" || !exists(filepath.Join(v.place.folder, attachFile)) {
		return ""
	}
	socket, err := v.readAttach()
	if err != nil || v.shuns(socket) || !answers(socket) {
		return ""
	}
	return socket
}

// shuns reports whether the plugin is run without the guest at a socket. A
// folder that has nothing to run waits for the guest instead.
func (v *verifier) shuns(socket string) bool {
	return socket == v.shunned && exists(filepath.Join(v.place.folder, manifestFile))
}

// answers reports whether somebody listens on a socket.
func answers(socket string) bool {
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// checkHash compares a program with the hash that the configuration demands.
func (v *verifier) checkHash(program string) error {
	if v.SHA256 == "" {
		return nil
	}
	f, err := os.Open(program)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); !strings.EqualFold(sum, v.SHA256) {
		return fmt.Errorf("%s has the SHA-256 %s, and the configuration demands %s: install the right file, or change sha256",
			program, sum, strings.ToLower(v.SHA256))
	}
	return nil
}
