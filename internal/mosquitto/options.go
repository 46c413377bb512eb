package mosquitto

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

const yes = "true"

// listenerOptions are those of a listener, or of the standard one if they stand
// before the first.
var listenerOptions = map[string]func(l *listener, value string) error{
	"port":         func(l *listener, v string) error { l.port, l.used = v, true; return nil },
	"bind_address": func(l *listener, v string) error { l.host, l.used = v, true; return nil },
	"protocol": func(l *listener, v string) error {
		if l.web = v == "websockets"; !l.web && v != "mqtt" {
			return fmt.Errorf("%q is not spoken", v)
		}
		return nil
	},
	"certfile":            func(l *listener, v string) error { l.cert = v; return nil },
	"keyfile":             func(l *listener, v string) error { l.key = v; return nil },
	"cafile":              func(l *listener, v string) error { l.ca = v; return nil },
	"crlfile":             func(l *listener, v string) error { l.crl = v; return nil },
	"require_certificate": func(l *listener, v string) error { l.required = v == yes; return nil },
	"use_identity_as_username": func(l *listener, v string) error {
		if v == yes {
			l.usernameFrom = "cn"
		}
		return nil
	},
	"use_subject_as_username": func(l *listener, v string) error {
		if v == yes {
			l.usernameFrom = "subject"
			return fmt.Errorf("subjects are written as in RFC 2253, with the most specific part first; compare with those of the ACL file")
		}
		return nil
	},
	"tls_version": func(l *listener, v string) error {
		switch v {
		case "tlsv1.3":
			l.version = "1.3"
		case "tlsv1.2":
			l.version = "1.2"
		default:
			return fmt.Errorf("%s is too old; TLS 1.2 is the least", v)
		}
		return nil
	},
	"mount_point": func(l *listener, v string) error { l.mountpoint = v; return nil },
	"max_connections": func(l *listener, v string) (err error) {
		l.connections, err = number(v)
		return err
	},
	"max_qos": func(l *listener, v string) error { return l.limit("max_qos", v) },
	"max_topic_alias": func(l *listener, v string) error {
		return l.limit("topic_aliases", v)
	},
	"max_topic_alias_broker": func(*listener, string) error { return nil },
	"websockets_origin":      func(l *listener, v string) error { l.origins = append(l.origins, v); return nil },
	"socket_domain":          func(l *listener, v string) error { l.family = v; return nil },
	"enable_proxy_protocol": func(*listener, string) error {
		return fmt.Errorf("name the proxies' networks in the listener's proxy_protocol: {from: [...]}")
	},
}

func (l *listener) limit(key, value string) error {
	n, err := number(value)
	if err != nil {
		return err
	}
	if l.limits == nil {
		l.limits = make(map[string]any)
	}
	l.limits[key] = n
	return nil
}

// generalOptions are those of the broker, and those of security, which belong
// to a listener with per_listener_settings.
var generalOptions map[string]func(t *translation, value string) error

func init() { //nolint:gochecknoinits // the table refers to methods that read it
	limit := func(key string) func(*translation, string) error {
		return func(t *translation, v string) error {
			n, err := number(v)
			if err == nil && n > 0 {
				t.limits[key] = n
			} else if err == nil {
				err = fmt.Errorf("there is always a limit here; it is the default of %s", key)
			}
			return err
		}
	}
	generalOptions = map[string]func(t *translation, value string) error{
		"per_listener_settings": func(t *translation, v string) error { t.perListener = v == yes; return nil },
		"allow_anonymous": func(t *translation, v string) error {
			s := t.place()
			s.anonymous, s.saidSo = v == yes, true
			return nil
		},
		"password_file":          func(t *translation, v string) error { t.place().passwordFile = v; return nil },
		"acl_file":               func(t *translation, v string) error { t.place().aclFile = v; return nil },
		"max_packet_size":        limit("packet_size"),
		"message_size_limit":     messageSizeLimit,
		"max_inflight_messages":  inFlight,
		"max_queued_messages":    limit("queue_messages"),
		"max_queued_bytes":       limit("queue_bytes"),
		"global_max_connections": limit("connections"),
		"global_max_clients":     limit("sessions"),
		"max_keepalive": func(t *translation, v string) error {
			n, err := number(v)
			if err == nil && n > 0 {
				t.limits["keep_alive"] = strconv.Itoa(n) + "s"
			}
			return err
		},
		"queue_qos0_messages": func(t *translation, v string) error {
			if v == yes {
				t.limits["queue_qos0_offline"] = true
			}
			return nil
		},
		"persistent_client_expiration": expiration,
		"sys_interval": func(t *translation, v string) error {
			n, err := number(v)
			if err == nil {
				t.top = append(t.top, yaml.MapItem{Key: "sys_interval", Value: strconv.Itoa(max(0, n)) + "s"})
			}
			return err
		},
		"persistence": func(t *translation, v string) error {
			if t.persists = v == yes; t.persists {
				return fmt.Errorf("retained messages are kept by retainjson; sessions do not survive a restart. What mosquitto.db holds is not read")
			}
			return nil
		},
		"log_type": func(t *translation, v string) error {
			if v == "all" || v == "debug" {
				t.level = "debug"
			}
			return nil
		},
	}
}

// place is where an option of security belongs.
func (t *translation) place() *security {
	if t.perListener && t.current != nil {
		return &t.current.security
	}
	return &t.security
}

func messageSizeLimit(t *translation, v string) error {
	n, err := number(v)
	if err == nil && n > 0 {
		t.limits["packet_size"] = n + 1024
		err = fmt.Errorf("here the whole packet is limited, so that it is 1024 bytes more")
	}
	return err
}

func inFlight(t *translation, v string) error {
	n, err := number(v)
	if err != nil {
		return err
	}
	if n == 0 {
		n = 65535
	}
	t.limits["in_flight"] = n
	return nil
}

// expiration reads "14d": hours, days, weeks, months or years.
func expiration(t *translation, v string) error {
	if v == "" {
		return fmt.Errorf("there is no time")
	}
	hours, ok := map[byte]int{'h': 1, 'd': 24, 'w': 7 * 24, 'm': 30 * 24, 'y': 365 * 24}[v[len(v)-1]]
	n, err := strconv.Atoi(v[:len(v)-1])
	if err != nil || !ok {
		return fmt.Errorf("%q is no time", v)
	}
	t.limits["session_expiry"] = strconv.Itoa(n*hours) + "h"
	return nil
}

const (
	always   = "" // it is so without saying
	systemds = "systemd, or whoever starts the broker, sees to that"
	goTLS    = "Go's TLS chooses by itself"
	ownLog   = "the log goes to standard error, where systemd or a container takes it"
	psk      = "TLS with pre-shared keys is not spoken; give the clients certificates"
	plugins  = "plugins of mosquitto do not run here; see docs/plugins.md for a validator or an interceptor in its place"
)

// withoutEquivalent says of all other options what becomes of them.
var withoutEquivalent = map[string]string{
	"set_tcp_nodelay": always, "allow_duplicate_messages": always, "connection_messages": always, "log_timestamp": always,
	"log_timestamp_format": always, "autosave_interval": always, "autosave_on_changes": always, "persistence_file": always,
	"persistence_location": "data_dir says where things are kept", "clientid_prefixes": "write client_id_prefix for each user in users.yaml",
	"allow_zero_length_clientid": always, "auto_id_prefix": "client identifiers that the broker gives begin with auto-",
	"check_retain_source": always, "retain_available": "retained messages can't be switched off; deny them in users.yaml with retain: true",
	"retain_expiry_interval": "there is no such limit", "upgrade_outgoing_qos": "messages are never sent with a higher QoS than they were published with",
	"memory_limit": "limit the queues instead, or let systemd do it (MemoryMax)", "user": systemds, "pid_file": systemds,
	"log_dest": ownLog, "log_facility": ownLog, "websockets_log_level": always, "websockets_headers_size": always, "http_dir": "no files are served",
	"capath": "name the authorities in files: client_ca", "ciphers": goTLS, "ciphers_tls1.3": goTLS, "dhparamfile": goTLS,
	"tls_engine": goTLS, "tls_engine_kpass_sha1": goTLS, "tls_keyform": goTLS, "psk_file": psk, "psk_hint": psk, "use_username_as_clientid": "write client_id: \"%u\" for each user in users.yaml",
	"plugin": plugins, "global_plugin": plugins, "auth_plugin": plugins, "plugin_load": plugins, "plugin_use": plugins,
	"auth_plugin_deny_special_chars": always, "bind_interface": "name the interface's address in the URL", "accept_protocol_versions": "write versions: [...] in the listener",
	"packet_buffer_size": always, "disable_client_cert_date_checks": "dates are always checked",
}

// bridgeOption reports whether an option belongs to the bridge above it.
func bridgeOption(key string) bool {
	return strings.HasPrefix(key, "bridge_") || strings.HasPrefix(key, "remote_") || strings.HasPrefix(key, "local_") || slices.Contains([]string{
		"address", "addresses", "topic", "cleansession", "clean_session", "clientid", "idle_timeout", "keepalive_interval", "notifications",
		"notification_topic", "notifications_local_only", "password", "restart_timeout", "round_robin", "start_type", "threshold",
		"try_private", "username",
	}, key)
}
