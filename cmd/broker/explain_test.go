//go:build unix

package main

import (
	"strings"
	"testing"
)

// Who may do what, and whose word it is, without doing it.
func TestExplain(t *testing.T) {
	s := newSite(t, twoPlugins, "authfile", "interceptlog")
	s.alice()
	p := s.start()
	if _, _, err := p.dial5("me", "alice", "secret"); err != nil {
		t.Fatal(err)
	}
	other := p.connect5("anybody")
	other.subscribe("#", 1)
	for _, tt := range []struct {
		args string
		want []string
	}{
		{"--client me --topic stamp/x", []string{
			`connect      authfile      allowed the connection as user "alice"`, `grants       authfile      its grant "stamp/#" allows it`,
			"interceptor  interceptlog  would be asked", "\naccepted\n",
		}},
		{"--client me --topic other/x --qos 1", []string{"authfile  none of its 1 grants allows it  <- ends it", "\nrefused with 0x87 not authorized\n"}},
		{"--client me --topic stamp/# --action subscribe --qos 2", []string{`its grant "stamp/#" allows it`, "\naccepted with QoS 2\n"}},
		{"--client me --topic # --action subscribe", []string{"none of its 1 grants", "\nrefused with 0x87"}},
		{"--client me --topic a#b --action subscribe", []string{"protocol  broker    the topic filter is not valid  <- ends it", "\nrefused with 0x8f"}},
		{"--client me --topic a/+", []string{"protocol", "\nrefused with 0x90"}},
		{"--client anybody --topic forbidden/x --payload p --ask", []string{
			"interceptor  interceptlog  refuse: quota exceeded not here  <- ends it", "\nrefused with 0x97 quota exceeded\n",
		}},
		{"--client anybody --topic stamp/x --payload {} --ask", []string{`changes it: topic "stamp/x", QoS 0`, "\naccepted\n"}},
		{"--client anybody --topic $SYS/x", []string{"is not for clients to publish to  <- ends it"}},
	} {
		out := s.does(append([]string{"explain"}, strings.Fields(tt.args)...)...)
		for _, want := range tt.want {
			if !strings.Contains(out, want) {
				t.Errorf("explain %s printed\n%s\nand not\n%s", tt.args, out, want)
			}
		}
	}
	select {
	case m := <-other.got:
		t.Errorf("a message that was only asked about was delivered: %v", m)
	default:
	}
	if _, _, err := p.dial5("locked-out", "alice", "wrong"); err == nil {
		t.Fatal("a wrong password was let in")
	}
	out := s.does("explain", "--client", "locked-out", "--topic", "t")
	for _, want := range []string{"connect  authfile  refused its CONNECT from 127.0.0.1:", "  <- ends it", "\nrefused with 0x8"} {
		if !strings.Contains(out, want) {
			t.Errorf("explain printed\n%s\nand not\n%s", out, want)
		}
	}
	if got := s.refusesTo("explain", "--client", "nobody", "--topic", "t"); !strings.Contains(got, `no client "nobody" is connected`) {
		t.Errorf("said %q", got)
	}
}
