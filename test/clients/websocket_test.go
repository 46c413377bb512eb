package clients

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// TestWebSockets tells every story with MQTT.js over WebSockets, with and
// without TLS, to a broker whose certificate is of "broker cert".
func TestWebSockets(t *testing.T) {
	t.Parallel()
	certs := t.TempDir()
	program.Run(t, "", nil, program.Ours(t, "./cmd/broker"), "cert", "server", "127.0.0.1", "--dir", certs)
	pair := fmt.Sprintf("{certificate: '%s', key: '%s'}", filepath.Join(certs, "127.0.0.1.crt"), filepath.Join(certs, "127.0.0.1.key"))
	b := program.Gatehouse(t, program.Options{Listeners: []string{
		"{url: 'ws://127.0.0.1:0/mqtt'}",
		"{url: 'wss://127.0.0.1:0/mqtt', tls: {certificates: [" + pair + "]}}",
	}})
	dial := openJSWith(t, "NODE_EXTRA_CA_CERTS="+filepath.Join(certs, "ca.crt"))
	js := libraries[len(libraries)-1]
	for i, url := range b.URLs {
		for _, v := range js.versions {
			for _, s := range stories {
				if s.only != 0 && s.only != v {
					continue
				}
				t.Run(fmt.Sprintf("%s/v%d/%s", []string{"ws", "wss"}[i], v, s.name), func(t *testing.T) {
					prefix := fmt.Sprintf("web%d%d%s", i, v, s.name)
					s.tell(&teller{T: t, addr: url, dial: dial, library: js, version: v, prefix: prefix})
				})
			}
		}
	}
}
