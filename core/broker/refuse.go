package broker

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/ban"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// refuseMalformed answers what is no good CONNECT, as far as it can be told
// that an MQTT client sent it.
func (c *conn) refuseMalformed(err error) {
	var pe *packet.Error
	if !errors.As(err, &pe) {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.b.stats.refused(RefusedTimeout, 1)
			c.b.refusalLog.line(c.b.log, slog.LevelDebug, "no CONNECT in time", RefusedTimeout, slog.String("peer", c.peer))
		} else {
			c.b.stats.refused(RefusedLeft, 1)
		}
		return
	}
	c.b.stats.refused(RefusedMalformed, 1)
	c.b.refusalLog.line(c.b.log, slog.LevelInfo, "connection refused", RefusedMalformed,
		slog.String("peer", c.peer), slog.String("code", pe.Code.String()), slog.String("reason", pe.Detail))
	if pe.Version == 0 || pe.Version != mqtt.V5 && pe.Code != mqtt.UnsupportedProtocolVersion && pe.Code != mqtt.ClientIdentifierNotValid {
		return // 3.1.1 has no code for it: just close
	}
	c.version = pe.Version
	c.enc = packet.Encoder{Version: pe.Version}
	c.w.send(&packet.Connack{Code: pe.Code, Reason: pe.Detail})
}

// refuse counts a refusal, tells of it and queues its CONNACK.
func (c *conn) refuse(why RefusalCause, clientID string, adm *hook.Admission) {
	adm.Code = connackCode(adm.Code)
	c.endConnect(adm.Code, adm.Reason)
	c.b.stats.refused(why, 1)
	c.b.lastRefused.add(clientID, c.peer, adm)
	attrs := []slog.Attr{
		slog.String("client", clientID), slog.String("peer", c.peer), slog.String("code", adm.Code.String()),
		slog.String("reason", adm.Reason), slog.String("cause", string(why)),
	}
	if adm.By != "" {
		attrs = append(attrs, slog.String("plugin", adm.By))
	}
	if adm.Err != nil {
		attrs = append(attrs, slog.Any("error", adm.Err))
	}
	c.b.refusalLog.line(c.b.log, slog.LevelInfo, "client refused", why, attrs...)
	if c.b.hooks.Observes(hook.Refused) {
		c.b.hooks.Emit(&hook.Event{
			Kind: hook.Refused, Time: time.Now(), ClientID: clientID, ConnectionID: c.id, Code: adm.Code, Reason: adm.Reason,
		})
	}
	if !adm.Close {
		c.w.send(&packet.Connack{
			Code: adm.Code, Reason: adm.Reason, User: adm.User, ServerReference: adm.ServerReference, AuthData: adm.AuthData,
		})
	}
}

var errTooBusy = errors.New("too many clients are being authenticated")

// inTurn decides about a client when it is its turn, or refuses it if that does
// not come in time.
func (c *conn) inTurn(ctx context.Context, decide func() *hook.Admission) *hook.Admission {
	wait, cancel := context.WithTimeout(ctx, c.b.limits().ConnectTimeout)
	defer cancel()
	if c.b.authentications.Enter(wait) != nil {
		return &hook.Admission{Code: mqtt.ServerBusy, Reason: "the server is busy", Err: errTooBusy}
	}
	defer c.b.authentications.Leave()
	return decide()
}

// flapping bans a client identifier that connects again and again; nil if it
// does not.
func (c *conn) flapping(id string) *hook.Admission {
	now := time.Now()
	if !c.b.comings.Happened(id, now) {
		return nil
	}
	limit := &c.b.limits().Flapping
	entry, err := c.b.bans.Ban(ban.Ban{
		Kind: ban.ClientID, Value: id, Reason: "it connects again and again", By: "flapping", Until: now.Add(limit.Ban), Transient: true,
	})
	if err == nil {
		err = banError(entry)
	}
	return &hook.Admission{Code: mqtt.Banned, Reason: "the client connects too often", Err: err}
}
