package peer

import (
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Programs builds the brokers that are written in Go, and finds the others.
type Programs struct {
	Root string // of this repository
	Dir  string // where programs are built
}

// Null is a broker of this program itself: see its commands null and null+gate.
func (Programs) Null(command string) (Broker, error) {
	self, err := os.Executable()
	return Broker{Name: command, Command: func(_ string, addr netip.AddrPort) ([]string, error) {
		return []string{self, command, addr.String()}, nil
	}}, err
}

// Plugin is one that Gatehouse runs.
type Plugin struct {
	Package string // in this repository
	Config  string // its configuration as YAML in one line; empty for none
}

// User is who connects where a broker asks for it.
const User = "bench"

// Password is that of [User].
const Password = "secret"

// Users is a users file of the plugin authfile for User, whose password is
// hashed cheaply: what is measured is the way to the plugin and back.
func Users() string {
	const salt = "0123456789ab"
	hash := sha512.Sum512([]byte(Password + salt))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("users: [{name: %s, password: '$6$%s$%s', allow: {both: '#'}}]\n", User, encode([]byte(salt)), encode(hash[:]))
}

// Gatehouse is this repository's broker. config is added to its configuration;
// in that of a plugin, $DIR is a folder in which files exist. Where config has
// listeners, $ADDR is where to listen.
func (p Programs) Gatehouse(name, config string, files map[string]string, plugins ...Plugin) (Broker, error) {
	program, err := p.build("gatehouse", "", "./cmd/broker")
	if err != nil {
		return Broker{}, err
	}
	if len(plugins) > 0 {
		config += "plugins:\n"
	}
	for _, plugin := range plugins {
		name := filepath.Base(plugin.Package)
		path, err := p.build(name, "", plugin.Package)
		if err != nil {
			return Broker{}, err
		}
		config += fmt.Sprintf("  %s:\n    path: %s\n    required: true\n", name, path)
		if plugin.Config != "" {
			config += "    config: " + plugin.Config + "\n"
		}
	}
	return Broker{Name: name, Command: func(dir string, addr netip.AddrPort) ([]string, error) {
		if err := writeAll(dir, files); err != nil {
			return nil, err
		}
		file, err := write(dir, "broker.yaml", fmt.Sprintf("data_dir: %s/data\nrun_dir: %s/run\nlog: {level: warn}\n", dir, dir),
			strings.NewReplacer("$DIR", dir, "$ADDR", addr.String()).Replace(config))
		args := []string{program, "serve", "--config", file}
		if !strings.Contains(config, "listeners:") {
			args = append(args, "--listen", "tcp://"+addr.String())
		}
		return args, err
	}}, nil
}

// GatehouseTLS is Gatehouse behind a TLS listener.
func (p Programs) GatehouseTLS(name, config string) (Broker, error) {
	certificate, key, err := Certificate()
	if err != nil {
		return Broker{}, err
	}
	config += "listeners: [{url: 'tls://$ADDR', tls: {certificates: [{certificate: $DIR/server.crt, key: $DIR/server.key}]}}]\n"
	return p.Gatehouse(name, config, map[string]string{"server.crt": certificate, "server.key": key})
}

// MosquittoTLS is mosquitto behind a TLS listener.
func (p Programs) MosquittoTLS() (Broker, error) {
	certificate, key, err := Certificate()
	if err != nil {
		return Broker{}, err
	}
	return p.mosquitto("mosquitto+tls", map[string]string{"server.crt": certificate, "server.key": key},
		"user root\ncertfile $DIR/server.crt\nkeyfile $DIR/server.key\n")
}

// Mosquitto is the mosquitto on the PATH, with its own limits on queues taken
// away.
func (p Programs) Mosquitto() (Broker, error) { return p.mosquitto("mosquitto", nil, "") }

func (p Programs) mosquitto(name string, files map[string]string, config string) (Broker, error) {
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/mosquitto"); err != nil {
			return Broker{}, fmt.Errorf("mosquitto is not installed: %w", err)
		}
	}
	return Broker{Name: name, Command: func(dir string, addr netip.AddrPort) ([]string, error) {
		if err := writeAll(dir, files); err != nil {
			return nil, err
		}
		file, err := write(dir, "mosquitto.conf", fmt.Sprintf("listener %d %s\n", addr.Port(), addr.Addr()),
			"allow_anonymous true\nmax_queued_messages 0\nlog_type error\n", strings.ReplaceAll(config, "$DIR", dir))
		return []string{program, "-c", file}, err
	}}, nil
}

// Mochi is mochi-mqtt's broker as its own command runs it.
func (p Programs) Mochi() (Broker, error) {
	program, err := p.build("mochi", "mochi", "github.com/mochi-mqtt/server/v2/cmd")
	return Broker{Name: "mochi", Command: func(_ string, addr netip.AddrPort) ([]string, error) {
		return []string{program, "-tcp", addr.String(), "-ws", "127.0.0.1:0", "-info", "127.0.0.1:0"}, nil
	}}, err
}

// NATS is nats-server with its MQTT listener.
func (p Programs) NATS() (Broker, error) {
	program, err := p.build("nats-server", "nats", "github.com/nats-io/nats-server/v2")
	return Broker{Name: "nats", Command: func(dir string, addr netip.AddrPort) ([]string, error) {
		file, err := write(dir, "nats.conf", fmt.Sprintf("server_name: bench\nport: -1\njetstream { store_dir: %q }\nmqtt { host: %s, port: %d, max_ack_pending: 60000 }\n",
			dir, addr.Addr(), addr.Port()))
		return []string{program, "-c", file}, err
	}}, err
}

// build compiles a command and returns its path. module names the folder under
// internal/bench/peers whose go.mod says which version; none for our own.
func (p Programs) build(name, module, pkg string) (string, error) {
	out := filepath.Join(p.Dir, name)
	args := []string{"build", "-o", out}
	if module != "" {
		args = append(args, "-modfile="+filepath.Join("internal", "bench", "peers", module, "go.mod"))
	}
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Dir = p.Root
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, said)
	}
	return out, nil
}

func writeAll(dir string, files map[string]string) error {
	for name, content := range files {
		if _, err := write(dir, name, content); err != nil {
			return err
		}
	}
	return nil
}

func write(dir, name string, parts ...string) (string, error) {
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", err
	}
	return file, os.WriteFile(file, []byte(strings.Join(parts, "")), 0o600)
}
