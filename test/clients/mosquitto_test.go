package clients

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// mosquitto tells stories with mosquitto's programs in one version.
type mosquitto struct {
	*testing.T
	host, port string
	version    string // as option -V takes it
	prefix     string
}

const mosquittoPackage = "mosquitto-clients"

// TestMosquitto tells them in each version.
func TestMosquitto(t *testing.T) {
	t.Parallel()
	b := program.Gatehouse(t, program.Options{})
	host, port := b.HostPort()
	tales := []struct {
		name string
		tell func(m *mosquitto)
		only string
	}{
		{"qos", (*mosquitto).qos, ""},
		{"retained", (*mosquitto).retained, ""},
		{"will", (*mosquitto).will, ""},
		{"session", (*mosquitto).session, ""},
		{"share", (*mosquitto).share, ""},
		{"request", (*mosquitto).request, "mqttv5"},
		{"properties", (*mosquitto).properties, "mqttv5"},
		{"options", (*mosquitto).options, "mqttv5"},
		{"unsubscribe", (*mosquitto).unsubscribe, ""},
	}
	for _, v := range []string{"mqttv31", "mqttv311", "mqttv5"} {
		for _, tale := range tales {
			if tale.only != "" && tale.only != v {
				continue
			}
			t.Run(v+"/"+tale.name, func(t *testing.T) {
				tale.tell(&mosquitto{T: t, host: host, port: port, version: v, prefix: v + "/" + tale.name})
			})
		}
	}
}

func (m *mosquitto) topic(s string) string { return m.prefix + "/" + s }

// common are the options that every program gets.
func (m *mosquitto) common(more ...string) []string {
	return append([]string{"-h", m.host, "-p", m.port, "-V", m.version}, more...)
}

// start starts one of the programs, which shall print its lines at once.
func (m *mosquitto) start(name string, more ...string) *program.Process {
	m.Helper()
	args := append([]string{"-oL", program.Need(m, name, mosquittoPackage)}, m.common(more...)...)
	return program.Start(m, "", program.Need(m, "stdbuf", "coreutils"), args...)
}

// sub starts mosquitto_sub and waits until its subscriptions are granted. -d
// makes it say so, in lines that begin with "Client" or "Subscribed".
func (m *mosquitto) sub(more ...string) *program.Process {
	m.Helper()
	p := m.start("mosquitto_sub", append([]string{"-d"}, more...)...)
	p.WaitOutput("that it has subscribed", func(out string) bool { return strings.Contains(out, "Subscribed (mid: ") })
	return p
}

func (m *mosquitto) pub(more ...string) {
	m.Helper()
	program.Run(m, "", nil, program.Need(m, "mosquitto_pub", mosquittoPackage), m.common(more...)...)
}

// lines are what mosquitto_sub printed of messages.
func lines(out string) (list []string) {
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		if line != "" && !strings.HasPrefix(line, "Client ") && !strings.HasPrefix(line, "Subscribed ") && !strings.HasPrefix(line, "Warning: ") {
			list = append(list, line)
		}
	}
	return list
}

// gets waits for the program's end and compares what it printed.
func (m *mosquitto) gets(p *program.Process, want ...string) {
	m.Helper()
	out, code := p.Wait()
	if got := lines(out); code != 0 || strings.Join(got, "\n") != strings.Join(want, "\n") {
		m.Fatalf("exit code %d, got\n%s\nwant\n%s\nall it said:\n%s", code, strings.Join(got, "\n"), strings.Join(want, "\n"), out)
	}
}

const format = "%t %p %q %r"

func (m *mosquitto) qos() {
	for granted := range 3 {
		s := m.sub("-q", fmt.Sprint(granted), "-t", m.topic("#"), "-C", "3", "-F", format)
		var want []string
		for published := range 3 {
			m.pub("-q", fmt.Sprint(published), "-t", m.topic("x"), "-m", "m")
			want = append(want, fmt.Sprintf("%s m %d 0", m.topic("x"), min(granted, published)))
		}
		m.gets(s, want...)
	}
}

func (m *mosquitto) retained() {
	m.pub("-q", "1", "-r", "-t", m.topic("r"), "-m", "kept")
	m.gets(m.sub("-q", "2", "-t", m.topic("#"), "-C", "1", "-F", format), m.topic("r")+" kept 1 1")
	m.pub("-r", "-n", "-t", m.topic("r"))
	s := m.sub("-t", m.topic("#"), "-C", "1", "-F", format)
	m.pub("-t", m.topic("end"), "-m", "end")
	m.gets(s, m.topic("end")+" end 0 0")
}

func (m *mosquitto) will() {
	w := m.sub("-q", "2", "-t", m.topic("will"), "-C", "1", "-F", format)
	polite := m.sub("-t", m.topic("none"), "-C", "1", "--will-topic", m.topic("will"), "--will-payload", "polite")
	m.pub("-t", m.topic("none"), "-m", "go")
	m.gets(polite, "go")
	rude := m.sub("-t", m.topic("none"), "--will-topic", m.topic("will"), "--will-payload", "gone", "--will-qos", "2")
	rude.Signal(syscall.SIGKILL)
	m.gets(w, m.topic("will")+" gone 2 0")
}

func (m *mosquitto) session() {
	lasting := []string{"-i", strings.ReplaceAll(m.prefix, "/", ""), "-c", "-q", "2", "-t", m.topic("#")}
	if m.version == "mqttv5" {
		lasting = append(lasting, "-x", "3600")
	}
	m.gets(m.sub(append(lasting, "-E")...))
	var want []string
	for i := range 4 {
		m.pub("-q", fmt.Sprint(1+i%2), "-t", m.topic("m"), "-m", fmt.Sprint(i))
		want = append(want, fmt.Sprintf("%s %d %d 0", m.topic("m"), i, 1+i%2))
	}
	p := m.start("mosquitto_sub", append(lasting, "-C", "4", "-F", format)...)
	out, code := p.Wait()
	// A QoS 2 message is printed when it is complete.
	got := lines(out)
	if code != 0 || len(got) != len(want) {
		m.Fatalf("exit code %d:\n%s", code, out)
	}
	for _, line := range want {
		if !strings.Contains(out, line) {
			m.Errorf("%q did not come:\n%s", line, out)
		}
	}
}

func (m *mosquitto) share() {
	const each = 5
	filter := "$share/g/" + m.topic("s")
	a := m.sub("-q", "1", "-t", filter, "-C", fmt.Sprint(each))
	b := m.sub("-q", "1", "-t", filter, "-C", fmt.Sprint(each))
	var in strings.Builder
	for i := range 2 * each {
		fmt.Fprintln(&in, i)
	}
	program.Run(m, "", strings.NewReader(in.String()), program.Need(m, "mosquitto_pub", mosquittoPackage),
		m.common("-q", "1", "-t", m.topic("s"), "-l")...)
	seen := make(map[string]bool)
	for _, p := range []*program.Process{a, b} {
		out, _ := p.Wait() // ends because it got its half
		for _, line := range lines(out) {
			seen[line] = true
		}
	}
	if len(seen) != 2*each {
		m.Errorf("%d of %d messages came: %v", len(seen), 2*each, seen)
	}
}

// request asks with mosquitto_rr; a mosquitto_sub shows the question and a
// mosquitto_pub answers it.
func (m *mosquitto) request() {
	service := m.sub("-q", "1", "-t", m.topic("ask"), "-C", "1", "-F", "%R %D %p")
	rr := m.start("mosquitto_rr", "-q", "1", "-t", m.topic("ask"), "-e", m.topic("answer"), "-m", "why", "-F", "%t %p %D",
		"-D", "publish", "correlation-data", "42")
	m.gets(service, m.topic("answer")+" 42 why")
	m.pub("-q", "1", "-t", m.topic("answer"), "-m", "because", "-D", "publish", "correlation-data", "42")
	m.gets(rr, m.topic("answer")+" because 42")
}

func (m *mosquitto) properties() {
	s := m.sub("-q", "1", "-t", m.topic("p"), "-C", "1", "-F", "%C|%R|%D|%P|%F|%S|%p",
		"-D", "subscribe", "subscription-identifier", "9")
	m.pub("-q", "1", "-t", m.topic("p"), "-m", "m", "-D", "publish", "content-type", "text/plain",
		"-D", "publish", "response-topic", "reply", "-D", "publish", "correlation-data", "c",
		"-D", "publish", "user-property", "k", "1", "-D", "publish", "user-property", "a", "2",
		"-D", "publish", "payload-format-indicator", "1", "-D", "publish", "message-expiry-interval", "1000")
	m.gets(s, "text/plain|reply|c|k:1 a:2|1|9|m")
}

func (m *mosquitto) options() {
	m.pub("-q", "1", "-r", "-t", m.topic("o"), "-m", "kept")
	s := m.sub("-t", m.topic("o"), "-C", "2", "-F", format, "--retain-as-published")
	m.pub("-q", "1", "-r", "-t", m.topic("o"), "-m", "live")
	m.gets(s, m.topic("o")+" kept 0 1", m.topic("o")+" live 0 1")
}

func (m *mosquitto) unsubscribe() {
	s := m.sub("-t", m.topic("#"), "-U", m.topic("#"), "-t", m.topic("end"), "-C", "1", "-F", format)
	s.WaitOutput("that it has unsubscribed", func(out string) bool { return strings.Contains(out, "received UNSUBACK") })
	m.pub("-q", "1", "-t", m.topic("x"), "-m", "nobody is subscribed")
	m.pub("-q", "1", "-t", m.topic("end"), "-m", "end")
	m.gets(s, m.topic("end")+" end 0 0")
}
