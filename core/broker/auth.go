package broker

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// errAuthEnded is what a challenge returns when the connection cannot go on;
// the exchange keeps why.
var errAuthEnded = errors.New("the client ended the authentication")

// exchange is one enhanced authentication over a connection. It runs in the
// reader's goroutine.
type exchange struct {
	c      *conn
	again  bool
	method string
	end    *ending // why the connection has to end; nil while it need not
}

// Again implements hook.Exchange.
func (x *exchange) Again() bool { return x.again }

// Challenge implements hook.Exchange.
func (x *exchange) Challenge(ctx context.Context, s hook.AuthStep) (hook.AuthStep, error) {
	c := x.c
	c.w.send(&packet.Auth{Code: mqtt.ContinueAuthentication, Method: x.method, Data: s.Data, Reason: s.Reason, User: s.User})
	c.w.kick()
	if deadline, ok := ctx.Deadline(); ok {
		c.readBy(deadline)
	}
	for {
		p, err := c.dec.Next()
		if err == nil && p == nil {
			err = c.fill()
			if err == nil {
				continue
			}
		}
		if err != nil {
			return hook.AuthStep{}, x.failed(err)
		}
		c.countPacketIn()
		a, ok := p.(*packet.Auth)
		if !ok {
			if x.end = x.other(p); x.end != nil {
				return hook.AuthStep{}, errAuthEnded
			}
			continue
		}
		if e := x.check(a, mqtt.ContinueAuthentication); e != nil {
			x.end = e
			return hook.AuthStep{}, errAuthEnded
		}
		return hook.AuthStep{Data: a.Data, User: a.User}, nil
	}
}

// check holds an AUTH packet against the exchange [MQTT-4.12.0-5].
func (x *exchange) check(a *packet.Auth, code mqtt.ReasonCode) *ending {
	if a.Method != x.method {
		return protocolError("another authentication method than in CONNECT")
	}
	if a.Code != code {
		return protocolError("AUTH with an unexpected reason code")
	}
	return nil
}

// other handles a packet that is no AUTH: none may come before CONNACK
// [MQTT-3.1.2-30] but DISCONNECT, all may while a client authenticates anew.
func (x *exchange) other(p packet.Packet) *ending {
	if _, ok := p.(*packet.Disconnect); ok && !x.again {
		return &ending{kind: hook.ByClient, silent: true}
	}
	if !x.again {
		return protocolError("only AUTH is allowed before CONNACK")
	}
	if pub, ok := p.(*packet.Publish); ok {
		if e := x.c.run.add(x.c, pub); e != nil {
			return e
		}
		return x.c.run.flush(x.c)
	}
	return x.c.handle(p)
}

func (x *exchange) failed(err error) error {
	e := x.c.malformed(err)
	var pe *packet.Error
	if !errors.As(err, &pe) {
		e = x.c.readFailed(err)
	}
	x.end = e
	return errAuthEnded
}

// authenticate decides about a CONNECT with an authentication method. It
// returns false if there is nothing left to answer.
func (c *conn) authenticate(p *packet.Connect) (*hook.Admission, bool) {
	if !c.b.hooks.Authenticates(c.connect) {
		return &hook.Admission{Code: mqtt.BadAuthenticationMethod, Reason: "no validator knows this authentication method"}, true
	}
	x := &exchange{c: c, method: p.AuthMethod}
	adm := c.inTurn(c.ctx, func() *hook.Admission { return c.b.hooks.Authenticate(c.ctx, c.connect, x) })
	c.readBy(time.Time{})
	switch {
	case c.ending() != nil:
		return nil, false
	case x.end == nil:
		return adm, true
	case x.end.code.Failed() && !x.end.silent:
		return &hook.Admission{Code: x.end.code, Reason: x.end.reason}, true
	default:
		return nil, false
	}
}

// reauthenticate handles an AUTH of a connected client [MQTT-4.12.1-1]. A
// refusal ends the connection.
func (c *conn) reauthenticate(a *packet.Auth) *ending {
	if c.connect.AuthMethod == "" {
		return protocolError("no authentication method was agreed on")
	}
	x := &exchange{c: c, again: true, method: c.connect.AuthMethod}
	if e := x.check(a, mqtt.ReAuthenticate); e != nil {
		return e
	}
	in := *c.connect
	in.AuthData, in.User = a.Data, a.User
	adm := c.b.hooks.Authenticate(c.ctx, &in, x)
	if x.end != nil {
		return x.end
	}
	if e := c.readmit(adm); e != nil {
		return e
	}
	c.w.send(&packet.Auth{Code: mqtt.Success, Method: x.method, Data: adm.AuthData, User: adm.User})
	return nil
}
