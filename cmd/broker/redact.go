package main

import (
	"strings"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// redacted stands for what was left out.
const redacted = "[redacted]"

// redact leaves out of a call what is nobody's business. Slices may be shared
// with the broker and are replaced whole.
func redact(c *adminv1.WatchedCall, what adminv1.Redaction) {
	if what == adminv1.Redaction_REDACTION_NONE {
		return
	}
	redactConnect(c.GetConnect())
	if d := c.GetDecision(); d != nil {
		d.AuthenticationData = hidden(d.AuthenticationData)
	}
	if what != adminv1.Redaction_REDACTION_PAYLOADS {
		return
	}
	for _, m := range []*pluginv1.Message{
		c.GetConnect().GetWill().GetMessage(), c.GetCall().GetPublish().GetMessage(), c.GetCall().GetDeliver().GetMessage(),
		c.GetEvent().GetMessage(),
	} {
		if m != nil {
			m.Payload = nil // its size is told
		}
	}
	if change := c.GetVerdict().GetMessage(); change != nil {
		change.Payload = hidden(change.Payload)
	}
}

func redactConnect(c *pluginv1.Connect) {
	if c == nil {
		return
	}
	c.Password, c.AuthenticationData = hidden(c.Password), hidden(c.AuthenticationData)
	for _, h := range c.GetWebsocket().GetHeaders() {
		switch strings.ToLower(h.GetKey()) {
		case "authorization", "cookie", "proxy-authorization":
			h.Value = redacted
		}
	}
}

// hidden is what stands for a secret; nil stays nil.
func hidden(secret []byte) []byte {
	if secret == nil {
		return nil
	}
	return []byte(redacted)
}
