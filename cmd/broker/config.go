package main

import (
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

// config is the broker's configuration file. docs/operations.md describes it;
// a test compares the two. Relative paths are relative to the folder in which
// the broker was started.
type config struct {
	Listeners      []listenerConfig        `yaml:"listeners"`
	AllowAnonymous bool                    `yaml:"allow_anonymous"`
	PluginDir      string                  `yaml:"plugin_dir"`
	PluginsLock    string                  `yaml:"plugins_lock"`
	PluginsLocked  bool                    `yaml:"plugins_locked"`
	DataDir        string                  `yaml:"data_dir"`
	RunDir         string                  `yaml:"run_dir"`
	Admin          adminConfig             `yaml:"admin"`
	Log            logConfig               `yaml:"log"`
	Limits         limitsConfig            `yaml:"limits"`
	MQTT           mqttConfig              `yaml:"mqtt"`
	Retained       retainedConfig          `yaml:"retained"`
	Sessions       sessionsConfig          `yaml:"sessions"`
	SysInterval    *duration               `yaml:"sys_interval"`
	Metrics        metricsConfig           `yaml:"metrics"`
	Traces         tracesConfig            `yaml:"traces"`
	Plugins        map[string]pluginConfig `yaml:"plugins"`
}

type listenerConfig struct {
	URL              string               `yaml:"url"`
	Name             string               `yaml:"name"`
	Systemd          string               `yaml:"systemd"`
	Backlog          int                  `yaml:"backlog"`
	HalfOpenTimeout  *duration            `yaml:"half_open_timeout"`
	HandshakeTimeout duration             `yaml:"handshake_timeout"`
	Handshakes       int                  `yaml:"handshakes"`
	Validators       []string             `yaml:"validators"`
	Mountpoint       string               `yaml:"mountpoint"`
	Versions         []mqttVersion        `yaml:"versions"`
	Connections      int                  `yaml:"connections"`
	ConnectRate      float64              `yaml:"connect_rate"`
	ConnectBurst     int                  `yaml:"connect_burst"`
	Durability       string               `yaml:"durability"`
	Limits           listenerLimitsConfig `yaml:"limits"`
	TLS              *tlsConfig           `yaml:"tls"`
	WebSocket        webSocketConfig      `yaml:"websocket"`
	ProxyProtocol    proxyProtocolConfig  `yaml:"proxy_protocol"`
}

// listenerLimitsConfig narrow the limits for the clients of one listener.
type listenerLimitsConfig struct {
	PacketSize             *size     `yaml:"packet_size"`
	MaxQoS                 *uint8    `yaml:"max_qos"`
	KeepAlive              *duration `yaml:"keep_alive"`
	SessionExpiry          *duration `yaml:"session_expiry"`
	ReceiveMaximum         *uint16   `yaml:"receive_maximum"`
	TopicAliases           *uint16   `yaml:"topic_aliases"`
	QueueMessages          *int      `yaml:"queue_messages"`
	QueueBytes             *size     `yaml:"queue_bytes"`
	SubscriptionsPerClient *int      `yaml:"subscriptions_per_client"`
	MessagesPerSecond      *float64  `yaml:"messages_per_second"`
	BytesPerSecond         *size     `yaml:"bytes_per_second"`
}

type tlsConfig struct {
	Certificates       []certificateConfig `yaml:"certificates"`
	MinVersion         string              `yaml:"min_version"`
	ClientCertificates string              `yaml:"client_certificates"`
	ClientCA           []string            `yaml:"client_ca"`
	CRL                []string            `yaml:"crl"`
	UsernameFrom       string              `yaml:"username_from"`
}

type certificateConfig struct {
	Certificate  string `yaml:"certificate"`
	Key          string `yaml:"key"`
	PKCS12       string `yaml:"pkcs12"`
	Password     string `yaml:"password"`
	PasswordFile string `yaml:"password_file"`
}

type webSocketConfig struct {
	Origins        []string  `yaml:"origins"`
	TrustedProxies []network `yaml:"trusted_proxies"`
}

type proxyProtocolConfig struct {
	From []network `yaml:"from"`
}

// adminConfig says where the admin API is, beside the socket in the run folder.
type adminConfig struct {
	URL       string     `yaml:"url"`
	TokenFile string     `yaml:"token_file"`
	Hosts     []string   `yaml:"hosts"`
	TLS       *tlsConfig `yaml:"tls"`
}

type logConfig struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
	Audit  string `yaml:"audit"` // file; "": the log
}

// limitsConfig are broker.Limits as people write them; zero is the default.
type limitsConfig struct {
	ConnectTimeout         duration       `yaml:"connect_timeout"`
	ConnectPacketSize      size           `yaml:"connect_packet_size"`
	ConnectWillSize        size           `yaml:"connect_will_size"`
	PacketTimeout          duration       `yaml:"packet_timeout"`
	WriteTimeout           duration       `yaml:"write_timeout"`
	ClientIDLength         int            `yaml:"client_id_length"`
	UserProperties         int            `yaml:"user_properties"`
	UserPropertyBytes      size           `yaml:"user_property_bytes"`
	PacketSize             size           `yaml:"packet_size"`
	TopicLevels            int            `yaml:"topic_levels"`
	Connections            int            `yaml:"connections"`
	ConnectionsPerAddress  int            `yaml:"connections_per_address"`
	ConnectRate            float64        `yaml:"connect_rate"`
	ConnectBurst           int            `yaml:"connect_burst"`
	ConnectRatePerAddress  float64        `yaml:"connect_rate_per_address"`
	ConnectBurstPerAddress int            `yaml:"connect_burst_per_address"`
	ExemptNetworks         []network      `yaml:"exempt_networks"`
	Authentications        int            `yaml:"authentications"`
	Flapping               flappingConfig `yaml:"flapping"`
	MessagesPerSecond      float64        `yaml:"messages_per_second"`
	BytesPerSecond         size           `yaml:"bytes_per_second"`
	RatePatience           duration       `yaml:"rate_patience"`
	Sessions               int            `yaml:"sessions"`
	RetainedMessages       int            `yaml:"retained_messages"`
	RetainedBytes          size           `yaml:"retained_bytes"`
	SharedKeys             int            `yaml:"shared_keys"`
	SharedBytes            size           `yaml:"shared_bytes"`
	SubscriptionsPerClient int            `yaml:"subscriptions_per_client"`
	FiltersPerPacket       int            `yaml:"filters_per_packet"`
	MaxQoS                 *uint8         `yaml:"max_qos"`
	KeepAlive              duration       `yaml:"keep_alive"`
	MinKeepAlive           duration       `yaml:"min_keep_alive"`
	IdleTimeout            duration       `yaml:"idle_timeout"`
	SessionExpiry          duration       `yaml:"session_expiry"`
	ReceiveMaximum         uint16         `yaml:"receive_maximum"`
	TopicAliases           uint16         `yaml:"topic_aliases"`
	InFlight               uint16         `yaml:"in_flight"`
	QueueMessages          int            `yaml:"queue_messages"`
	QueueBytes             size           `yaml:"queue_bytes"`
	QueueBytesTotal        size           `yaml:"queue_bytes_total"`
	QueueOverflow          string         `yaml:"queue_overflow"`
	QueueQoS0Offline       bool           `yaml:"queue_qos0_offline"`
}

// flappingConfig is when a client identifier that comes again and again is
// banned.
type flappingConfig struct {
	Connects int      `yaml:"connects"`
	Within   duration `yaml:"within"`
	Ban      duration `yaml:"ban"`
}

// metricsConfig is the listener for whoever watches the broker.
type metricsConfig struct {
	URL         string `yaml:"url"` // "": none
	AllowRemote bool   `yaml:"allow_remote"`
}

// tracesConfig says where traces of publishes go.
type tracesConfig struct {
	Endpoint string   `yaml:"endpoint"` // "": nowhere
	Sample   *float64 `yaml:"sample"`   // share of the publishes, 0 to 1
}

// mqttConfig is what the protocol leaves to the server.
type mqttConfig struct {
	SharedStrategy      string `yaml:"shared_strategy"`
	CheckPayloadFormat  bool   `yaml:"check_payload_format"`
	ResponseInformation string `yaml:"response_information"`
}

type retainedConfig struct {
	// Store names the plugin that keeps retained messages; "" is the one that
	// offers it, else "disk", the store of sessions; "memory" is none.
	Store       string `yaml:"store"`
	WriteBehind bool   `yaml:"write_behind"`
}

// sessionsConfig says how sessions outlive the broker.
type sessionsConfig struct {
	Store      string `yaml:"store"`
	Durability string `yaml:"durability"`
	Strict     bool   `yaml:"strict"`

	QueueMessages   int    `yaml:"queue_messages"`
	QueueBytes      size   `yaml:"queue_bytes"`
	QueueBytesTotal size   `yaml:"queue_bytes_total"`
	QueueMemory     size   `yaml:"queue_memory"`
	QueueFull       string `yaml:"queue_full"`
}

type pluginConfig struct {
	Enabled      *bool             `yaml:"enabled"`
	Required     *bool             `yaml:"required"`
	Order        int               `yaml:"order"`
	Path         string            `yaml:"path"`
	Attach       string            `yaml:"attach"`
	StartTimeout duration          `yaml:"start_timeout"`
	Probation    *duration         `yaml:"probation"`
	DebugTimeout duration          `yaml:"debug_timeout"`
	Config       map[string]any    `yaml:"config"`
	Env          map[string]string `yaml:"env"`
	Validator    policyConfig      `yaml:"validator"`
	Interceptor  policyConfig      `yaml:"interceptor"`
	MayBypass    bool              `yaml:"may_bypass_authorization"`
	Observer     observerConfig    `yaml:"observer"`
	Scopes       []string          `yaml:"scopes"`
	Shadow       *shadowConfig     `yaml:"shadow"`
}

// shadowConfig is a second version of a plugin, whose answers are not used.
type shadowConfig struct {
	Path   string         `yaml:"path"`
	Attach string         `yaml:"attach"`
	Config map[string]any `yaml:"config"`
}

type policyConfig struct {
	Timeout       duration `yaml:"timeout"`
	OnError       onError  `yaml:"on_error"`
	HoldFor       duration `yaml:"hold_for"`
	HoldBytes     size     `yaml:"hold_bytes"`
	MaxConcurrent int      `yaml:"max_concurrent"`

	BreakerFailures int      `yaml:"breaker_failures"`
	BreakerPause    duration `yaml:"breaker_pause"`
}

type observerConfig struct {
	Queue int `yaml:"queue"`
}

// policy returns p as the hooks want it.
func (p policyConfig) policy() hook.Policy {
	return hook.Policy{
		Timeout: time.Duration(p.Timeout), OnError: hook.OnError(p.OnError), HoldFor: time.Duration(p.HoldFor),
		HoldBytes: int64(p.HoldBytes), MaxConcurrent: p.MaxConcurrent,
		BreakerFailures: p.BreakerFailures, BreakerPause: time.Duration(p.BreakerPause),
	}
}
