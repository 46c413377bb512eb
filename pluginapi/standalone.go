package pluginapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// AttachFile is the name of the file by which a plugin that runs by itself tells
// the broker where it is: DIR/<name>/attach.json in the plugin directory DIR.
const AttachFile = "attach.json"

// Attach is the content of the file. Whoever can read it can call the plugin, so
// it is only its owner's.
type Attach struct {
	Schema  int       `json:"schema"` // 1
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Address string    `json:"address"` // a gRPC target, "unix:///..."
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
}

// serveStandalone serves on a socket of its own until it is interrupted.
func serveStandalone(p Plugin, dir string) int {
	level := new(slog.LevelVar)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	c, err := newCore(p, log, level)
	if err == nil {
		// A broker comes and goes while the debugger stays.
		c.again = true
		err = runStandalone(c, dir)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", p.Name, err)
		return 1
	}
	return 0
}

func runStandalone(c *core, dir string) (err error) {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()

	private, err := os.MkdirTemp("", "gatehouse-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(private)) }()
	socket := filepath.Join(private, "plugin.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	file, err := writeAttach(dir, Attach{
		Schema: 1, Name: c.plugin.Name, Version: c.plugin.version(),
		Address: target(socket), PID: os.Getpid(), Started: time.Now().UTC().Truncate(time.Second),
	})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer func() { err = errors.Join(err, os.Remove(file)) }()
	fmt.Fprintf(os.Stderr, `%[1]s serves on %[2]s
  attach file:  %[3]s
  look at it:   grpcurl -plaintext -unix %[4]s list
  Ctrl-C stops it
`, c.plugin.Name, target(socket), file, socket)

	s := newServer(c)
	var stopper sync.WaitGroup
	defer stopper.Wait()
	stopper.Go(func() {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		_ = s.Stop(stop)
	})
	defer cancel()
	if err := s.Serve(l); err != nil {
		return err
	}
	return c.stopErr
}

// target is the gRPC target of a socket.
func target(socket string) string {
	socket = filepath.ToSlash(socket)
	if !strings.HasPrefix(socket, "/") {
		socket = "/" + socket // C:/...
	}
	return "unix://" + socket
}

// writeAttach writes the file at once, so that a broker never reads half of it.
// A file of a plugin that still runs is not replaced.
func writeAttach(dir string, a Attach) (string, error) {
	folder := filepath.Join(dir, a.Name)
	if info, err := os.Stat(folder); err == nil && !info.IsDir() {
		return "", fmt.Errorf("%s is a program: move it and its plugin.json (see describe) into a folder of that name, where %s then goes", folder, AttachFile)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	path := filepath.Join(folder, AttachFile)
	if other, ok := attached(path); ok {
		return "", fmt.Errorf("process %d serves this plugin already and has written %s", other.PID, path)
	}
	content, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return "", err
	}
	draft, err := os.CreateTemp(folder, ".attach-") // with mode 0600
	if err != nil {
		return "", err
	}
	_, err = draft.Write(append(content, '\n'))
	if err := errors.Join(err, draft.Close()); err != nil {
		return "", errors.Join(err, os.Remove(draft.Name()))
	}
	if err := os.Rename(draft.Name(), path); err != nil {
		return "", errors.Join(err, os.Remove(draft.Name()))
	}
	return path, nil
}

// attached reads an attach file and reports whether somebody answers there.
func attached(path string) (Attach, bool) {
	content, err := os.ReadFile(path)
	if err != nil {
		return Attach{}, false
	}
	var a Attach
	if json.Unmarshal(content, &a) != nil {
		return Attach{}, false
	}
	conn, err := net.DialTimeout("unix", strings.TrimPrefix(a.Address, "unix://"), time.Second)
	if err != nil {
		return Attach{}, false
	}
	_ = conn.Close()
	return a, true
}
