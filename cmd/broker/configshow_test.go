package main

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// What is shown can be read again and says the same.
func TestShownConfigReadsAgain(t *testing.T) {
	text, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want, err := parseConfig("full.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := want.shown(broker.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseConfig("shown.yaml", shown)
	if err != nil {
		t.Fatalf("%v\n%s", err, shown)
	}
	// Secrets apart, which are not shown.
	for i := range want.Listeners {
		want.Listeners[i] = want.Listeners[i].withoutSecrets()
	}
	for name, p := range want.Plugins {
		want.Plugins[name] = p.withoutSecrets()
	}
	if diff := cmp.Diff(want, got, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
		t.Errorf("%s\n%s", diff, shown)
	}
}

func TestShownConfigHasNoSecrets(t *testing.T) {
	text := `
listeners:
  - url: tls://127.0.0.1:8883
    tls: {certificates: [{pkcs12: a.pfx, password: s3cret}]}
plugins:
  x:
    env: {DB: s3cret}
    config:
      url: nats://me:s3cret@127.0.0.1:4222
      api_token: s3cret
      password_file: kept
      deep: [{Password: s3cret, name: kept}, {secrets: [s3cret, 7]}]
`
	cfg, err := parseConfig("x.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	shown, err := cfg.shown(broker.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(shown), "s3cret") || strings.Count(string(shown), "kept") != 2 || strings.Contains(string(shown), "7]") {
		t.Errorf("%s", shown)
	}
	if cfg.Plugins["x"].Config["api_token"] != "s3cret" || cfg.Listeners[0].TLS.Certificates[0].Password != "s3cret" {
		t.Error("the configuration itself was changed")
	}
}

// Every limit that has a default shows it.
func TestShownConfigHasDefaults(t *testing.T) {
	var l limitsConfig
	l.fill(brokertest.Start(t, broker.Options{}).Limits())
	v := reflect.ValueOf(l)
	unlimited := map[string]bool{
		"Connections": true, "MaxQoS": true, "KeepAlive": true, "MinKeepAlive": true, "SessionExpiry": true, "IdleTimeout": true,
		"QueueOverflow": true, "QueueQoS0Offline": true,
		"ConnectionsPerAddress": true, "ConnectRate": true, "ConnectBurst": true, "ConnectRatePerAddress": true,
		"ConnectBurstPerAddress": true, "ExemptNetworks": true, "MessagesPerSecond": true, "BytesPerSecond": true,
	}
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() != unlimited[name] {
			t.Errorf("%s: %v", name, v.Field(i))
		}
	}
	if !reflect.DeepEqual(l.limits(), (&limitsConfig{}).withBrokerDefaults(t)) {
		t.Errorf("%+v", l)
	}
}

// withBrokerDefaults are the limits of a broker that was given these, as far as
// a configuration can say them.
func (l *limitsConfig) withBrokerDefaults(t *testing.T) broker.Limits {
	t.Helper()
	all := brokertest.Start(t, broker.Options{Limits: l.limits()}).Limits()
	said := l.limits()
	to, from := reflect.ValueOf(&said).Elem(), reflect.ValueOf(all)
	for i := range to.NumField() {
		name := to.Type().Field(i).Name
		if _, ours := reflect.TypeFor[limitsConfig]().FieldByName(name); ours && name != "SessionExpiry" && name != "MaxQoS" {
			to.Field(i).Set(from.Field(i))
		}
	}
	return said
}
