package pluginhost

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// defaultPath is PATH for plugins of a broker that has none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// alwaysPassed are the variables that every plugin sees if the broker has
// them. Everything else is the broker's own: credentials in its environment
// are none of a plugin's business.
func alwaysPassed() []string {
	if runtime.GOOS == "windows" {
		return []string{"PATH", "LANG", "TZ", "TMP", "TEMP", "SYSTEMROOT", "PATHEXT", "COMSPEC"}
	}
	return []string{"PATH", "LANG", "TMPDIR", "TZ"}
}

// environment is what a plugin sees: the allow-list, what its manifest asks
// for (names, or prefixes with * at the end), and what its configuration adds.
// host is the broker's own.
func environment(host, wanted []string, added map[string]string) []string {
	var env []string
	path := false
	for _, kv := range host {
		name, _, ok := strings.Cut(kv, "=")
		if !ok || name == "" || reservedVariable(name) {
			continue
		}
		if _, replaced := added[name]; replaced {
			continue
		}
		if slices.Contains(alwaysPassed(), name) || wants(wanted, name) {
			env = append(env, kv)
			path = path || name == "PATH"
		}
	}
	for _, name := range slices.Sorted(maps.Keys(added)) {
		env = append(env, name+"="+added[name])
		path = path || name == "PATH"
	}
	if !path && runtime.GOOS != "windows" {
		env = append(env, "PATH="+defaultPath)
	}
	return env
}

func wants(wanted []string, name string) bool {
	for _, w := range wanted {
		prefix, isPrefix := strings.CutSuffix(w, "*")
		if w == name || isPrefix && prefix != "" && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// reservedVariable names what only the host may set.
func reservedVariable(name string) bool {
	return strings.HasPrefix(name, "PLUGIN_") || name == pluginapi.Handshake.MagicCookieKey ||
		name == pluginapi.EnvLifeline
}

// checkEnv refuses variables that a configuration can't add.
func checkEnv(added map[string]string) error {
	for name, value := range added {
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0):
			return fmt.Errorf("env: %q is not the name of a variable", name)
		case reservedVariable(name):
			return fmt.Errorf("env: %s is set by the broker itself", name)
		}
	}
	return nil
}

// lookup finds a program without a slash in its name along env's PATH.
func lookup(program string, env []string) (string, error) {
	for _, kv := range env {
		list, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			if !filepath.IsAbs(dir) {
				continue // never from wherever the broker was started
			}
			path := filepath.Join(dir, program)
			if info, err := os.Stat(path); err == nil && executable(info) == nil {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("there is no program %s in PATH: install it, or set PATH in the plugin's env", program)
}
