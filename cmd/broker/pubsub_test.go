//go:build unix

package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/certificate"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// subscribed begins a broker sub, and waits until the broker has its subscription.
func (p *proc) subscribed(args ...string) *typed {
	p.t.Helper()
	before := strings.Count(p.does("subscription", "list"), "\n")
	c := p.typeAway(append([]string{"sub"}, args...)...)
	deadline := time.Now().Add(patience)
	for strings.Count(p.does("subscription", "list"), "\n") == before {
		select {
		case <-c.done:
			p.t.Fatalf("%q ended: %d %s", args, c.exit, &c.err)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%q does not subscribe: %s", args, &c.err)
		}
	}
	return c
}

// Over each kind of listener, with each version.
func TestPubSubTransports(t *testing.T) {
	s := newTLSSite(t)
	s.keep("client", s.issue(certificate.Request{CommonName: "me", Client: true}))
	const secure = "tls: {certificates: [{certificate: broker.crt, key: broker.key}], client_certificates: required, client_ca: [ca.crt]}"
	s.write("gatehouse.yaml", "data_dir: data\nrun_dir: run\nlisteners:\n"+
		"  - url: tcp://127.0.0.1:0\n  - url: unix://"+s.path("mqtt.sock")+"\n  - url: ws://127.0.0.1:0/mqtt\n"+
		"  - {url: 'tls://127.0.0.1:0', "+secure+"}\n  - {url: 'wss://127.0.0.1:0/mqtt', "+secure+"}\n")
	p := s.start()
	var urls []string
	for _, m := range regexp.MustCompile(`"url":"([^"]+)"`).FindAllStringSubmatch(s.does("listener", "list", "--json"), -1) {
		urls = append(urls, m[1])
	}
	if len(urls) != 5 {
		t.Fatal(urls)
	}
	for _, url := range urls {
		for _, version := range []string{"5", "3.1.1"} {
			flags := []string{"-L", url, "-V", version, "--cafile", s.path("ca.crt"), "--cert", s.path("client.crt"), "--key", s.path("client.key")}
			sub := p.subscribed(append(flags, "-t", "t/#", "-q", "1", "-C", "3", "-v")...)
			pub := s.typeAway(append([]string{"pub"}, append(flags, "-t", "t/1", "-m", "hello", "-q", "1", "--repeat", "3", "--rate", "1000")...)...)
			if pub.wait() != 0 || sub.wait() != 0 {
				t.Fatalf("%s, %s: %s %s", url, version, &pub.err, &sub.err)
			}
			if got := sub.out.String(); got != strings.Repeat("t/1 hello\n", 3) {
				t.Errorf("%s, %s: %q", url, version, got)
			}
		}
	}
}

// What is sent is what comes, in each format.
func TestPubSubProperties(t *testing.T) {
	s := newSite(t, "")
	p := s.start()
	at := "tcp://" + p.addr
	sub := func(args ...string) *typed {
		return p.subscribed(append([]string{"-L", at, "-C", "1", "-q", "2"}, args...)...)
	}
	formats := map[string]*typed{}
	for _, format := range []string{"json", "hex", "text", "raw", "{{.Topic}}={{.Payload}} {{.QoS}} {{range .User}}{{.Key}}:{{.Value}} {{end}}"} {
		formats[format] = sub("-t", "p", "-F", format, "--subscription-identifier", "7", "--property", "a=b")
	}
	if c := s.typeAway(strings.Fields("pub -L " + at + " -t p -m xyz -q 2 -r --expiry 60 --content-type text --utf8 --response-topic r --correlation-data c --property k=v --property k=w=x")...); c.wait() != 0 {
		t.Fatal(&c.err)
	}
	for format, want := range map[string]string{
		"json": `"topic":"p","qos":2,"retain":false,"packet_id":1,"payload":"xyz","size":3,"expiry":60,"content_type":"text","payload_is_utf8":true,` +
			`"response_topic":"r","correlation_data":"Yw==","user_properties":[{"key":"k","value":"v"},{"key":"k","value":"w=x"}],"subscription_identifiers":[7]}` + "\n",
		"hex": "78797a\n", "text": "xyz\n", "raw": "xyz",
		"{{.Topic}}={{.Payload}} {{.QoS}} {{range .User}}{{.Key}}:{{.Value}} {{end}}": "p=xyz 2 k:v k:w=x \n",
	} {
		c := formats[format]
		if c.wait() != 0 || !strings.HasSuffix(c.out.String(), want) {
			t.Errorf("%s: %s %s", format, &c.out, &c.err)
		}
	}
	run := func(input, args string) *typed {
		c := &typed{t: t, args: strings.Fields(args), done: make(chan struct{})}
		c.exit = runTyped(c, input, at)
		close(c.done)
		return c
	}
	for _, tt := range []struct {
		input, args string
		exit        int
		out         string
	}{
		{"", "sub -t p --retained-only -C 1", 0, "xyz\n"},
		{"", "sub -t p -R -C 1 -W 100ms", 27, ""},
		{"", "sub -t none -W 100ms", 0, ""},
		{"", "sub -t p --retain-handling 2 -C 1 -W 100ms", 27, ""},
		{"", "sub -t p -F nonsense", 1, ""},
		{"", "sub -t p -F {{.Nothing", 1, ""},
		{"", "sub -t #/a", 0x8f, ""},
		{"", "sub -V 311 -t p --no-local", 1, ""},
		{"", "pub -V 311 -t p -m x --utf8", 1, ""},
		{"", "pub -t p", 1, ""},
		{"", "pub -t p -m x -n", 2, ""},
		{"", "pub -t p -m x -q 3", 1, ""},
		{"", "pub -t $SYS/x -m x -q 1", 0x87, ""},
		{"", "pub -t p -n -r", 0, ""},
		{"", "sub -t p --retained-only -C 1 -W 100ms", 27, ""},
		{"one\ntwo\n", "pub -t lines/1 -l -r -q 1", 0, ""},
		{"", "sub -t lines/+ -C 1", 0, "two\n"},
		{"a\nb", "pub -t lines/2 -s -r", 0, ""},
		{"", "sub -t lines/2 -C 1", 0, "a\nb\n"},
		{"", "pub -t p -f /none", 1, ""},
		{"", "pub -t none -m x --request -W 100ms", 27, ""},
		{"", "pub -L tcp://127.0.0.1:1 -t t -m x", exitNoBroker, ""},
		{"", "pub -L gopher://x -t t -m x", exitNoBroker, ""},
		{"", "sub -c -t t", 1, ""},
	} {
		c := run(tt.input, tt.args)
		if c.exit != tt.exit || c.out.String() != tt.out {
			t.Errorf("%s: %d %q %s", tt.args, c.exit, &c.out, &c.err)
		}
	}
}

// runTyped runs a command for a broker at an address, unless it names another.
func runTyped(c *typed, input, at string) int {
	args := c.args
	if !strings.Contains(strings.Join(args, " "), "-L ") {
		args = append(args, "-L", at)
	}
	return run(args, strings.NewReader(input), &c.out, &c.err)
}

// A request gets its answer; a refusal is the exit status.
func TestPubRequestAndRefusals(t *testing.T) {
	s := newSite(t, "", "authfile")
	s.alice()
	s.write("gatehouse.yaml", "listeners: [{url: 'tcp://127.0.0.1:0'}]\nplugin_dir: plugins\ndata_dir: data\nrun_dir: run\nplugins: {authfile: {config: {file: users.yaml}}}\n")
	p := s.start()
	at := "tcp://" + p.addr
	b := brokertest.At(t, p.addr)
	server := b.Connect("server")
	server.Subscribe(0, "ask")
	c := s.typeAway(strings.Fields("pub -L " + at + " -t ask -m what --request --correlation-data 7")...)
	q, ok := server.Next().(*packet.Publish)
	if !ok {
		t.Fatalf("%+v", q)
	}
	answer := *q.Message.Properties
	server.Publish(mqtt.Message{Topic: answer.ResponseTopic, Payload: []byte("other"), Properties: &mqtt.Properties{CorrelationData: []byte("8")}}, 0)
	server.Publish(mqtt.Message{Topic: answer.ResponseTopic, Payload: []byte("that"), Properties: &mqtt.Properties{CorrelationData: answer.CorrelationData}}, 0)
	if c.wait() != 0 || c.out.String() != "that\n" {
		t.Errorf("%d %s %s", c.exit, &c.out, &c.err)
	}
	s.write("password", "secret\n")
	for _, tt := range []struct {
		args string
		exit int
	}{
		{"pub -u alice -P secret -t stamp/x -m x -q 1", 0},
		{"pub -u alice --password-file " + s.path("password") + " -t stamp/x -m x -q 1", 0},
		{"pub -u alice -P wrong -t stamp/x -m x", 0x86},
		{"pub -V 311 -u alice -P wrong -t stamp/x -m x", 0x86},
		{"pub -u alice -P secret -t other -m x -q 1", 0x87},
		{"sub -u alice -P secret -t other", 0x87},
		{"sub -V 311 -u alice -P secret -t other", 0x80},
	} {
		if c := s.typeAway(strings.Fields(tt.args + " -L " + at)...); c.wait() != tt.exit {
			t.Errorf("%s: %d %s", tt.args, c.exit, &c.err)
		}
	}
	// Who is disconnected learns why.
	sub := p.subscribed("-L", at, "-t", "x", "-i", "victim")
	s.does("client", "disconnect", "victim", "--reason", "enough")
	if sub.wait() != 0x98 || !strings.Contains(sub.err.String(), "enough") {
		t.Errorf("%d %s", sub.exit, &sub.err)
	}
	// The will of one who is lost.
	will := p.subscribed("-L", at, "-t", "will", "-C", "1")
	victim := p.subscribed("-L", at, "-t", "x", "-i", "victim", "--will-topic", "will", "--will-payload", "gone")
	s.does("client", "disconnect", "victim")
	if victim.wait() != 0x98 || will.wait() != 0 || will.out.String() != "gone\n" {
		t.Errorf("%s %s", &will.out, &victim.err)
	}
}
