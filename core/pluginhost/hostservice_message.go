package pluginhost

import (
	"context"
	"errors"
	"log/slog"
	"math"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// madeBy converts a message that a plugin made. The bytes are copied where they
// might stay.
func madeBy(p *pluginv1.Message) (*mqtt.Message, error) {
	if p == nil {
		return nil, invalid(errors.New("there is no message"))
	}
	m, err := messageFromProto(p)
	if err != nil {
		return nil, invalid(err)
	}
	m.Origin, m.Publisher = mqtt.FromPlugin, ""
	return m, nil
}

// Publish publishes a message.
func (h *hostService) Publish(ctx context.Context, in *pluginv1.PublishRequest) (*pluginv1.PublishResponse, error) {
	m, err := madeBy(in.GetMessage())
	if err != nil {
		return nil, err
	}
	p, err := h.api().Publisher.Publish(h.under(ctx, in.GetCall()), m)
	if err != nil {
		return nil, h.toStatus(err)
	}
	return &pluginv1.PublishResponse{
		Receivers: uint32(p.Receivers), ReasonCode: uint32(p.Code), Reason: toUTF8(p.Reason), Later: p.Later, //nolint:gosec // a count of sessions
	}, nil
}

// StopBroker shuts the broker down.
func (h *hostService) StopBroker(_ context.Context, in *pluginv1.StopBrokerRequest) (*pluginv1.StopBrokerResponse, error) {
	user := userFromProto(in.GetUserProperties())
	err := errors.Join(legalString("reason", in.GetReason()), legalString("server reference", in.GetServerReference()), legalUser(user))
	if c := in.GetReasonCode(); c > math.MaxUint8 || c != 0 && !mqtt.ReasonCode(c).Failed() { //nolint:gosec // checked
		err = errors.Join(err, illegal("reason code %d", c))
	}
	if err != nil {
		return nil, invalid(err)
	}
	h.log.Info("plugin shuts the broker down", slog.String("reason", in.GetReason()))
	h.api().Stopper.Stop(Farewell{
		Code: mqtt.ReasonCode(in.GetReasonCode()), Reason: in.GetReason(), ServerReference: in.GetServerReference(), User: user, //nolint:gosec // checked
	})
	return &pluginv1.StopBrokerResponse{}, nil
}

// EnqueueMessage puts a message into one session's queue.
func (h *hostService) EnqueueMessage(ctx context.Context, in *pluginv1.EnqueueMessageRequest) (*pluginv1.EnqueueMessageResponse, error) {
	m, err := madeBy(in.GetMessage())
	if err != nil {
		return nil, err
	}
	enqueue := h.api().Mailbox.Enqueue
	if in.GetWaitAcknowledged() {
		enqueue = h.api().Mailbox.Deliver
	}
	e, err := enqueue(h.under(ctx, in.GetCall()), in.GetClientId(), m)
	if err != nil {
		return nil, h.toStatus(err)
	}
	return &pluginv1.EnqueueMessageResponse{
		Queued: e.Queued, Sent: e.Sent, PacketId: uint32(e.PacketID),
		Acknowledged: e.Acknowledged, ReasonCode: uint32(e.Code), DroppedCause: string(e.Dropped),
	}, nil
}

// ClearSessionQueue drops what is queued.
func (h *hostService) ClearSessionQueue(_ context.Context, in *pluginv1.ClearSessionQueueRequest) (*pluginv1.ClearSessionQueueResponse, error) {
	n, err := h.api().Mailbox.ClearQueue(in.GetClientId())
	if err != nil {
		return nil, h.toStatus(err)
	}
	return &pluginv1.ClearSessionQueueResponse{Dropped: count(n)}, nil
}

func count(n int) uint64 { return uint64(max(0, n)) }

// ListRetained lists retained messages.
func (h *hostService) ListRetained(_ context.Context, in *pluginv1.ListRetainedRequest) (*pluginv1.ListRetainedResponse, error) {
	out := new(pluginv1.ListRetainedResponse)
	var failed error
	next, err := pages(in.GetCursor(), in.GetLimit(), func(after string, n int) []*mqtt.Message {
		list, err := h.api().Retained.List(in.GetFilter(), after, n)
		failed = errors.Join(failed, err)
		return list
	}, func(m *mqtt.Message) (key string, size int) {
		if checkMessage(m) != nil {
			return m.Topic, 0 // it has no form in the contract
		}
		out.Messages = append(out.Messages, messageToProto(m))
		return m.Topic, m.Size()
	})
	if failed != nil {
		return nil, h.toStatus(failed)
	}
	if err != nil {
		return nil, err
	}
	out.NextCursor = next
	return out, nil
}

// GetRetained returns one retained message.
func (h *hostService) GetRetained(_ context.Context, in *pluginv1.GetRetainedRequest) (*pluginv1.GetRetainedResponse, error) {
	m, ok := h.api().Retained.Get(in.GetTopic())
	if !ok || checkMessage(m) != nil {
		return nil, notFound("retained message of topic", in.GetTopic())
	}
	return &pluginv1.GetRetainedResponse{Message: messageToProto(m)}, nil
}

// PutRetained stores a retained message.
func (h *hostService) PutRetained(ctx context.Context, in *pluginv1.PutRetainedRequest) (*pluginv1.PutRetainedResponse, error) {
	m, err := madeBy(in.GetMessage())
	if err != nil {
		return nil, err
	}
	revision, err := h.api().RetainedEdits.Put(h.under(ctx, in.GetCall()), m)
	if err != nil {
		return nil, h.toStatus(err)
	}
	return &pluginv1.PutRetainedResponse{Revision: revision}, nil
}

// DeleteRetained removes retained messages.
func (h *hostService) DeleteRetained(ctx context.Context, in *pluginv1.DeleteRetainedRequest) (*pluginv1.DeleteRetainedResponse, error) {
	var n int
	var err error
	switch {
	case in.GetAll() && in.GetFilter() != "":
		return nil, invalid(errors.New("filter and all exclude each other"))
	case in.GetAll():
		n, err = h.api().RetainedEdits.Clear(ctx)
	default:
		n, err = h.api().RetainedEdits.Delete(ctx, in.GetFilter())
	}
	if err != nil {
		return nil, h.toStatus(err)
	}
	return &pluginv1.DeleteRetainedResponse{Deleted: count(n)}, nil
}
