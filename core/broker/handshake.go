package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/listener"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// readAhead bounds what is read of a client while the validators decide; it is
// read only to notice that the client hangs up.
const readAhead = 16 << 10

// handshake takes the connection from its first byte to CONNACK. It returns
// false if the client is not connected; a refusal is then queued.
func (c *conn) handshake(l listener.Listener) bool {
	c.readBy(time.Now().Add(c.b.limits().ConnectTimeout))
	p, err := c.readConnect()
	if err != nil {
		c.refuseMalformed(err)
		return false
	}
	c.version = p.Version
	c.enc = packet.Encoder{Version: p.Version, MaxPacketSize: p.MaximumPacketSize, NoProblemInfo: !p.RequestProblemInfo}
	if code, reason := c.checkConnect(p); code != mqtt.Success {
		c.refuse(RefusedProtocol, p.ClientID, &hook.Admission{Code: code, Reason: reason})
		return false
	}
	c.connect = c.connectInfo(p, l)
	c.followConnect()
	defer c.endConnect(mqtt.UnspecifiedError, "the client has gone") // unless it was told something
	if err := c.at.identify(c.connect); err != nil {
		c.refuse(RefusedNotAdmitted, p.ClientID, &hook.Admission{Code: mqtt.BadUserNameOrPassword, Reason: err.Error()})
		return false
	}
	if adm := c.banned(p.ClientID, c.connect.Username); adm != nil {
		c.refuse(RefusedBanned, p.ClientID, adm)
		return false
	}
	ask := c.validate
	if p.HasAuthMethod {
		ask = c.authenticate
	}
	adm, here := ask(p)
	if !here {
		return false
	}
	c.at.admit(adm)
	if adm.Code == mqtt.Success && p.Will != nil {
		adm = c.checkWill(p, adm)
	}
	if adm.Code != mqtt.Success {
		why := RefusedNotAdmitted
		if errors.Is(adm.Err, errTooBusy) {
			why = RefusedBusy
		}
		c.refuse(why, p.ClientID, adm)
		return false
	}
	return c.establish(p, adm)
}

// readConnect waits for the first packet, which the decoder only accepts if it
// is a CONNECT.
func (c *conn) readConnect() (*packet.Connect, error) {
	for {
		p, err := c.dec.Next()
		if err != nil {
			return nil, err
		}
		if p != nil {
			c.countPacketIn()
			c.b.stats.connectPackets.Add(1)
			return p.(*packet.Connect), nil
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

// checkConnect checks what the decoder cannot.
func (c *conn) checkConnect(p *packet.Connect) (mqtt.ReasonCode, string) {
	if !c.at.speaks(p.Version) {
		return mqtt.UnsupportedProtocolVersion, "this version of MQTT is not spoken here"
	}
	switch w := p.Will; {
	case w == nil:
	case c.b.checkTopic(w.Topic) != "", reserved(w.Topic):
		return mqtt.TopicNameInvalid, "the will's topic is not valid"
	case checkResponseTopic(w.Properties) != "":
		return mqtt.TopicNameInvalid, "the will's response topic is not valid"
	case !c.b.formatFits(w.Payload, w.Properties):
		return mqtt.PayloadFormatInvalid, badFormat
	}
	return mqtt.Success, ""
}

// validate asks the validators while it watches the connection. It returns
// false if the client hung up.
func (c *conn) validate(*packet.Connect) (*hook.Admission, bool) {
	if !c.b.hooks.HasValidators() {
		return c.b.hooks.Validate(c.ctx, c.connect), true
	}
	ctx, cancel := c.step()
	defer cancel()
	c.readBy(time.Time{})
	left := make(chan error, 1)
	go func() {
		for c.dec.Buffered() < readAhead {
			if err := c.fill(); err != nil {
				left <- err
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					cancel()
				}
				return
			}
		}
		left <- nil
	}()
	adm := c.inTurn(ctx, func() *hook.Admission { return c.b.hooks.Validate(ctx, c.connect) })
	c.readBy(past) // ends the watch
	err := <-left
	c.readBy(time.Time{})
	if c.ending() != nil || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, false
	}
	return adm, true
}

// connectInfo is what the validators are told.
func (c *conn) connectInfo(p *packet.Connect, l listener.Listener) *hook.Connect {
	in := &hook.Connect{
		ConnectionID: c.id, ClientID: p.ClientID,
		Username: p.Username, HasUsername: p.HasUsername, Password: p.Password, HasPassword: p.HasPassword,
		Version: p.Version, CleanStart: p.CleanStart, KeepAlive: time.Duration(p.KeepAlive) * time.Second,
		SessionExpiry: p.SessionExpiry, HasSessionExpiry: p.HasSessionExpiry,
		ReceiveMaximum: p.ReceiveMaximum, MaximumPacketSize: p.MaximumPacketSize, TopicAliasMaximum: p.TopicAliasMaximum,
		RequestResponseInfo: p.RequestResponseInfo, RequestProblemInfo: p.RequestProblemInfo,
		User: p.User, AuthMethod: p.AuthMethod, AuthData: p.AuthData,
		PeerAddress: c.peer, LocalAddress: c.nc.LocalAddr().String(), Listener: l.Name(), Transport: l.Transport(),
		Validators: c.at.Validators,
	}
	describeTransport(in, listener.Describe(c.nc))
	if p.Will != nil {
		in.Will = willOf(p.Will, p.ClientID, "")
	}
	return in
}

// establish takes up or makes the session and queues CONNACK.
func (c *conn) establish(p *packet.Connect, adm *hook.Admission) bool {
	ack := &packet.Connack{}
	id := p.ClientID
	if id == "" {
		id = adm.AssignedClientID
		if id == "" {
			id = "auto-" + rand.Text()
		}
		ack.AssignedClientID = id
		c.connect.ClientID = id // for the next time that they are asked
	}
	if no := c.banned(id, adm.Username); no != nil { // by names that the validators gave
		c.refuse(RefusedBanned, id, no)
		return false
	}
	if no := c.flapping(id); no != nil {
		c.refuse(RefusedFlapping, id, no)
		return false
	}
	allowed, err := c.b.allowance(adm)
	if err != nil {
		c.refuse(RefusedBusy, id, &hook.Admission{Code: mqtt.QuotaExceeded, Reason: err.Error()})
		return false
	}
	lim := c.negotiate(id, p, adm, ack)
	expiry := c.sessionExpiry(p, ack)
	if _, err := c.enc.Append(nil, ack); errors.Is(err, packet.ErrTooLarge) { // [MQTT-3.1.2-24]
		c.refuse(RefusedProtocol, id, &hook.Admission{Code: mqtt.PacketTooLarge, Reason: "CONNACK exceeds the maximum packet size"})
		return false
	}
	step, endStep := c.step()
	defer endStep()
	ctx, cancel := context.WithTimeout(step, c.b.limits().TakeoverTimeout)
	defer cancel()
	unlock, err := c.b.clients.lock(ctx, id)
	if err != nil {
		c.refuse(RefusedBusy, id, &hook.Admission{Code: mqtt.ServerBusy, Reason: "the session is being taken up by another connection"})
		return false
	}
	defer unlock()
	cl, refusal := c.b.takeUp(ctx, id, p.CleanStart, adm)
	if refusal != nil {
		why := RefusedForeign
		if refusal.Code == mqtt.ServerBusy {
			why = RefusedBusy
		}
		c.refuse(why, id, refusal)
		return false
	}
	ack.SessionPresent = cl != nil
	if cl == nil {
		cl = newClient(c.b, id, adm, lim)
		cl.keep(c.b.durabilityFor(c.at, adm), expiry)
		if !c.b.clients.put(cl, c.b.limits().Sessions) {
			c.refuse(RefusedSessions, id, &hook.Admission{Code: mqtt.QuotaExceeded, Reason: "there are too many sessions"})
			return false
		}
	}
	cl.allowed.Store(allowed)
	c.attach(cl, p, adm, ack, lim, expiry)
	c.endConnect(mqtt.Success, "")
	if why := cl.doomedBy(); why != notDoomed {
		c.end(why.ending()) // it was to end since it was taken up
	}
	return true
}

// takeUp returns the session of a client identifier, without a connection: the
// one that exists, or nil if a new one has to be made. The caller has the turn.
func (b *Broker) takeUp(ctx context.Context, id string, clean bool, adm *hook.Admission) (*client, *hook.Admission) {
	cl := b.clients.get(id)
	if cl == nil {
		return nil, nil
	}
	foreign := cl.principal != adm.Username || cl.mountpoint != adm.Mountpoint
	taken := false
	if old := cl.current(); old != nil && (!foreign || old.ctx.Err() != nil) {
		taken = true
		old.end(ending{kind: hook.TakenOver, code: mqtt.SessionTakenOver, reason: "another connection took the session over"}) // [MQTT-3.1.4-3]
		select {
		case <-old.done:
		case <-ctx.Done():
			return nil, &hook.Admission{Code: mqtt.ServerBusy, Reason: "the session's last connection did not end in time"}
		}
	}
	cl.mu.Lock()
	timeUp := cl.expiry != 0 && cl.expiry != neverExpires && !taken && time.Since(cl.since) >= seconds(cl.expiry)
	over := cl.conn == nil && (timeUp || cl.expiry == 0)
	cl.mu.Unlock()
	if foreign && !over {
		return nil, &hook.Admission{Code: mqtt.ClientIdentifierNotValid, Reason: "the client identifier belongs to another user"}
	}
	if clean || over {
		cl.endSession(timeUp)
		return nil, nil
	}
	cl.mu.Lock()
	if cl.timer != nil {
		cl.timer.Stop()
		cl.timer = nil
	}
	will := cl.will
	cl.will = nil
	cl.mu.Unlock()
	if will != nil && will.Delay == 0 {
		b.publishWill(cl, will)
	}
	if taken && b.hooks.Observes(hook.SessionTakenOver) {
		b.emit(cl, &hook.Event{Kind: hook.SessionTakenOver})
	}
	return cl, nil
}

// attach binds the connection to its session and queues CONNACK before anything
// else can be sent. The caller has the turn.
func (c *conn) attach(cl *client, p *packet.Connect, adm *hook.Admission, ack *packet.Connack, lim session.Limits, expiry uint32) {
	id := cl.id
	c.resumed = ack.SessionPresent
	if c.resumed {
		cl.sess.SetLimits(lim)
		cl.setDurability(c.b.durabilityFor(c.at, adm))
	}
	c.client = cl
	cl.rights.Store(hook.NewRights(adm.Grants, id, adm.Username))
	cl.mu.Lock()
	cl.info.Store(c.info(id, adm))
	if cl.doomed != notDoomed {
		expiry = 0
	}
	cl.conn, cl.expiry = c, expiry
	if p.Will != nil {
		cl.will = willOf(p.Will, id, adm.Mountpoint)
	}
	cl.mu.Unlock()
	cl.describe()
	if c.resumed {
		cl.narrow()
	}
	c.w.send(ack)
	c.session(p, lim.InFlight)
	c.validity.start(c, adm.ValidFor)
}

// info is what the later hooks are told of the client.
func (c *conn) info(id string, adm *hook.Admission) *hook.Client {
	return &hook.Client{
		ConnectionID: c.id, ID: id, Username: adm.Username, Version: c.version, PeerAddress: c.peer,
		Listener: c.connect.Listener, Mountpoint: adm.Mountpoint, Items: adm.Items, AdmittedBy: adm.AdmittedBy,
	}
}

func newClient(b *Broker, id string, adm *hook.Admission, lim session.Limits) *client {
	return &client{
		b: b, id: id, principal: adm.Username, mountpoint: adm.Mountpoint,
		created: time.Now(), sess: session.New(id, lim),
	}
}

// afterConnect starts what a connected client has: its writer, its events, the
// end of the validators' decision.
func (c *conn) afterConnect() {
	b := c.b
	b.stats.connected(1)
	b.stats.connects.Add(1)
	b.log.Info("client connected", "client", c.client.id, "peer", c.peer, "version", c.version.String(),
		"user", c.client.info.Load().Username, "listener", c.connect.Listener)
	if c.resumed {
		if b.hooks.Observes(hook.SessionResumed) {
			b.emit(c.client, &hook.Event{Kind: hook.SessionResumed})
		}
	} else if b.hooks.Observes(hook.SessionCreated) {
		b.emit(c.client, &hook.Event{Kind: hook.SessionCreated})
	}
	if b.hooks.Observes(hook.Connected) {
		b.emit(c.client, &hook.Event{Kind: hook.Connected})
	}
	c.w.connected()
	c.handleEarly()
}
