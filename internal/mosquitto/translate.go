package mosquitto

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// Translated is what became of a mosquitto.conf.
type Translated struct {
	// Config is the broker's configuration file.
	Config []byte
	// Users is authfile's users file; nil if mosquitto lets everybody in and has
	// no users.
	Users []byte
	Notes []Note
}

// Translate reads a mosquitto.conf and the files that it names, relative ones
// from the current folder as mosquitto does. users is where the users file will
// be, if there is one, for the configuration to name. An error means that a file
// can't be read.
func Translate(path, users string) (*Translated, error) {
	list, err := readConf(path, 0)
	if err != nil {
		return nil, err
	}
	t := &translation{path: path, usersPath: users, limits: make(map[string]any)}
	for _, d := range list {
		t.directive(d)
	}
	t.finishListeners()
	return t.result()
}

// security is who may connect, by the global options or those of a listener.
type security struct {
	anonymous    bool
	saidSo       bool // allow_anonymous is there
	passwordFile string
	aclFile      string
}

// translation gathers what is found.
type translation struct {
	path      string
	usersPath string
	notes     []Note

	perListener bool
	security    security
	listeners   []*listener
	current     *listener // whose options are read; nil before the first
	bridge      bool      // the options of a bridge are read
	standard    listener  // the options before the first listener
	certified   bool      // user names come from certificates

	limits   map[string]any
	top      yaml.MapSlice
	level    string
	persists bool
}

// listener is one listener of mosquitto's.
type listener struct {
	at                 directive
	port, host         string
	socket, web        bool
	cert, key, ca, crl string
	version            string
	required           bool
	usernameFrom       string
	mountpoint         string
	connections        int
	limits             map[string]any
	origins            []string
	family             string
	security           security
	used               bool // the standard one: port or bind_address is there
}

func (t *translation) note(file string, line int, format string, args ...any) {
	t.notes = append(t.notes, Note{file, line, fmt.Sprintf(format, args...)})
}

func (t *translation) noteAt(d directive, format string, args ...any) {
	t.note(d.file, d.line, "%s: %s", d.key, fmt.Sprintf(format, args...))
}

// directive takes one option over, or says what becomes of it.
func (t *translation) directive(d directive) {
	if d.key == "connection" {
		t.bridge = true
		t.noteAt(d, "bridges are not translated; mosquitto can go on bridging to the broker from its side")
		return
	}
	if d.key == "listener" {
		t.bridge = false
		t.openListener(d)
		return
	}
	if t.bridge && bridgeOption(d.key) {
		return // said at its connection
	}
	if f, ok := listenerOptions[d.key]; ok {
		l := t.current
		if l == nil {
			l = &t.standard
		}
		if err := f(l, d.value); err != nil {
			t.noteAt(d, "%v", err)
		}
		return
	}
	if f, ok := generalOptions[d.key]; ok {
		if err := f(t, d.value); err != nil {
			t.noteAt(d, "%v", err)
		}
		return
	}
	if why, ok := withoutEquivalent[d.key]; ok {
		if why != "" {
			t.noteAt(d, "%s", why)
		}
		return
	}
	switch {
	case strings.HasPrefix(d.key, "plugin_opt_"), strings.HasPrefix(d.key, "auth_opt_"):
		return // said at the plugin
	default:
		t.noteAt(d, "is not known")
	}
}

// openListener begins a listener: "PORT [ADDRESS]" or "0 SOCKET".
func (t *translation) openListener(d directive) {
	fields := strings.Fields(d.value)
	t.current = &listener{at: d, connections: -1}
	if len(fields) == 0 {
		t.noteAt(d, "has no port")
		return
	}
	t.current.port = fields[0]
	if len(fields) > 1 {
		t.current.host = fields[1]
	}
	t.current.socket = t.current.port == "0" && strings.HasPrefix(t.current.host, "/")
	t.listeners = append(t.listeners, t.current)
}

// finishListeners adds the listener of the options before the first "listener".
func (t *translation) finishListeners() {
	if t.standard.used || len(t.listeners) == 0 {
		s := t.standard
		s.at = directive{file: t.path}
		if s.port == "" {
			s.port = "1883"
		}
		if !s.used {
			s.host = "127.0.0.1" // mosquitto 2 without a listener
			if !t.security.saidSo {
				t.security.anonymous = true
			}
		}
		t.listeners = append([]*listener{&s}, t.listeners...)
	}
	for _, l := range t.listeners {
		t.certified = t.certified || l.usernameFrom != ""
	}
	if !t.perListener {
		return
	}
	// The first set of users is the one that is translated; listeners that let
	// everybody in are left to nobody.
	for _, l := range t.listeners {
		if t.security.passwordFile == "" && t.security.aclFile == "" && (l.security.passwordFile != "" || l.security.aclFile != "") {
			anonymous := t.security.anonymous
			t.security = l.security
			t.security.anonymous = t.security.anonymous || anonymous && !l.security.saidSo
		}
	}
	for _, l := range t.listeners {
		s := l.security
		if s.passwordFile != "" && s.passwordFile != t.security.passwordFile || s.aclFile != "" && s.aclFile != t.security.aclFile {
			t.noteAt(l.at, "it has a password or ACL file of its own; all listeners use the users of %s now: start authfile a second time under another name, with a users file made of that, and name it in the listener's validators",
				orNone(t.security.passwordFile))
		}
	}
}

func orNone(s string) string {
	if s == "" {
		return "no file"
	}
	return s
}

func (t *translation) result() (*Translated, error) {
	users, err := t.usersFile()
	if err != nil {
		return nil, err
	}
	var out yaml.MapSlice
	open := t.security.passwordFile == "" && t.security.aclFile == "" && t.security.anonymous
	if open {
		users = nil
		out = append(out, yaml.MapItem{Key: "allow_anonymous", Value: true})
	} else if len(users) == 0 {
		return nil, errors.New("nobody may connect: there are no users, and anonymous clients are not allowed")
	}
	var listeners []yaml.MapSlice
	for _, l := range t.listeners {
		listeners = append(listeners, t.listenerConfig(l, users != nil))
	}
	out = append(yaml.MapSlice{{Key: "listeners", Value: listeners}}, out...)
	out = append(out, t.top...)
	if t.level != "" {
		out = append(out, yaml.MapItem{Key: "log", Value: yaml.MapSlice{{Key: "level", Value: t.level}}})
	}
	if len(t.limits) > 0 {
		out = append(out, yaml.MapItem{Key: "limits", Value: sorted(t.limits)})
	}
	plugins := yaml.MapSlice{}
	if users != nil {
		plugins = append(plugins, yaml.MapItem{Key: "authfile", Value: yaml.MapSlice{
			{Key: "config", Value: yaml.MapSlice{{Key: "file", Value: t.usersPath}}},
		}})
	}
	if t.persists {
		plugins = append(plugins, yaml.MapItem{Key: "retainjson", Value: yaml.MapSlice{}})
		out = append(out, yaml.MapItem{Key: "retained", Value: yaml.MapSlice{{Key: "store", Value: "retainjson"}}})
	}
	if len(plugins) > 0 {
		out = append(out, yaml.MapItem{Key: "plugins", Value: plugins})
	}
	res := &Translated{Notes: t.notes}
	if res.Config, err = yaml.MarshalWithOptions(out, yaml.IndentSequence(true)); err != nil {
		return nil, err
	}
	if users != nil {
		if res.Users, err = yaml.MarshalWithOptions(users, yaml.IndentSequence(true)); err != nil {
			return nil, err
		}
	}
	sortNotes(res.Notes)
	return res, nil
}

func sorted(m map[string]any) (out yaml.MapSlice) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, yaml.MapItem{Key: k, Value: m[k]})
	}
	return out
}

// listenerConfig is the listener as the broker's file has it.
func (t *translation) listenerConfig(l *listener, users bool) yaml.MapSlice {
	secure := l.cert != ""
	scheme := map[[2]bool]string{{false, false}: "tcp", {true, false}: "tls", {false, true}: "ws", {true, true}: "wss"}[[2]bool{secure, l.web}]
	host := l.host
	if host == "" {
		host = map[string]string{"ipv4": "0.0.0.0", "ipv6": "::"}[l.family]
	}
	u := scheme + "://" + net.JoinHostPort(host, l.port)
	if l.socket {
		u = "unix://" + l.host
	}
	out := yaml.MapSlice{{Key: "url", Value: u}}
	if secure {
		tls := yaml.MapSlice{{Key: "certificates", Value: []yaml.MapSlice{{{Key: "certificate", Value: l.cert}, {Key: "key", Value: l.key}}}}}
		if l.version != "" {
			tls = append(tls, yaml.MapItem{Key: "min_version", Value: l.version})
		}
		if l.ca != "" && (l.required || l.usernameFrom != "") {
			mode := "optional"
			if l.required {
				mode = "required"
			}
			tls = append(tls, yaml.MapItem{Key: "client_certificates", Value: mode}, yaml.MapItem{Key: "client_ca", Value: []string{l.ca}})
			if l.crl != "" {
				tls = append(tls, yaml.MapItem{Key: "crl", Value: []string{l.crl}})
			}
			if l.usernameFrom != "" {
				tls = append(tls, yaml.MapItem{Key: "username_from", Value: l.usernameFrom})
				t.certificateNote(l)
			}
		}
		out = append(out, yaml.MapItem{Key: "tls", Value: tls})
	} else if l.required || l.usernameFrom != "" {
		t.noteAt(l.at, "it asks for client certificates and has no certfile")
	}
	if l.mountpoint != "" {
		mount := l.mountpoint
		if !strings.HasSuffix(mount, "/") {
			t.noteAt(l.at, "mount_point %s has no slash at its end; topics are now below %s/", mount, mount)
			mount += "/"
		}
		out = append(out, yaml.MapItem{Key: "mountpoint", Value: mount})
	}
	if l.connections > 0 {
		out = append(out, yaml.MapItem{Key: "connections", Value: l.connections})
	}
	if len(l.limits) > 0 {
		out = append(out, yaml.MapItem{Key: "limits", Value: sorted(l.limits)})
	}
	if len(l.origins) > 0 {
		out = append(out, yaml.MapItem{Key: "websocket", Value: yaml.MapSlice{{Key: "origins", Value: l.origins}}})
	} else if l.web {
		// mosquitto lets scripts of all sites in.
		out = append(out, yaml.MapItem{Key: "websocket", Value: yaml.MapSlice{{Key: "origins", Value: []string{"*"}}}})
	}
	if t.perListener && users && l.security.anonymous && l.security.passwordFile == "" && l.security.aclFile == "" {
		out = append(out, yaml.MapItem{Key: "validators", Value: []string{}})
		t.noteAt(l.at, "it lets everybody in, with all rights; where other machines reach it, the broker needs allow_anonymous: true")
	}
	return out
}

// certificateNote says what to do about users that only certificates name.
func (t *translation) certificateNote(l *listener) {
	t.noteAt(l.at, "user names come from certificates; users of the ACL file without a password have a rule in users.yaml, others need one")
}

func (t *translation) aclUsers(a *acl) []string {
	if a == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(a.users))
}

// certificateField is where user names come from.
func (t *translation) certificateField() string {
	for _, l := range t.listeners {
		if l.usernameFrom != "" {
			return l.usernameFrom
		}
	}
	return "cn"
}

func number(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < -1 {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return n, nil
}
