package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"connectrpc.com/connect"

	"github.com/gatehouse-mqtt/gatehouse/core/admin"
	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

type explainCmd struct {
	adminFlags
	Client  string `required:"" help:"Client identifier of a connected client." placeholder:"ID" predictor:"client"`
	Topic   string `required:"" help:"Topic, or filter to subscribe, as the client writes it."`
	Action  string `help:"publish or subscribe." enum:"publish,subscribe" default:"publish"`
	QoS     uint32 `name:"qos" help:"Quality of service, 0 to 2."`
	Retain  bool   `help:"With the RETAIN flag."`
	Payload string `help:"Payload of the message."`
	Ask     bool   `help:"Really ask the interceptors; they can't tell it from what a client does."`
}

// Run prints what would become of an action, and who decides.
func (cmd *explainCmd) Run(t *terminal) error {
	if cmd.QoS > uint32(mqtt.ExactlyOnce) {
		return errors.New("QoS is 0, 1 or 2")
	}
	client, err := cmd.debugClient()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	action := adminv1.ExplainedAction_EXPLAINED_ACTION_PUBLISH
	if cmd.Action == "subscribe" {
		action = adminv1.ExplainedAction_EXPLAINED_ACTION_SUBSCRIBE
	}
	res, err := client.Explain(ctx, connect.NewRequest(&adminv1.ExplainRequest{
		ClientId: cmd.Client, Action: action, Topic: cmd.Topic, Qos: cmd.QoS, Retain: cmd.Retain, Payload: []byte(cmd.Payload), Ask: cmd.Ask,
	}))
	if err != nil {
		return explain(err)
	}
	if cmd.JSON {
		return writeJSONBlock(t.out, res.Msg)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, s := range res.Msg.GetSteps() {
		mark := ""
		if s.GetRefuses() {
			mark = "  <- ends it"
		}
		fmt.Fprintf(w, "%s\t%s\t%s%s\n", s.GetWhat(), s.GetWho(), s.GetSays(), mark)
	}
	code := mqtt.ReasonCode(res.Msg.GetReasonCode())
	switch {
	case !res.Msg.GetAccepted():
		fmt.Fprintf(w, "\nrefused with 0x%02x %s\n", byte(code), code)
	case cmd.Action == "subscribe":
		fmt.Fprintf(w, "\naccepted with QoS %d\n", byte(code))
	default:
		fmt.Fprintln(w, "\naccepted")
	}
	return w.Flush()
}

// Explain implements admin.Debug.
func (s *server) Explain(ctx context.Context, req *adminv1.ExplainRequest) (*adminv1.ExplainResponse, error) {
	if req.GetQos() > uint32(mqtt.ExactlyOnce) {
		return nil, errors.New("QoS is 0, 1 or 2")
	}
	e, err := s.broker.Clients().Explain(ctx, req.GetClientId(), broker.Question{
		Subscribe: req.GetAction() == adminv1.ExplainedAction_EXPLAINED_ACTION_SUBSCRIBE,
		Topic:     req.GetTopic(), QoS: mqtt.QoS(req.GetQos()), Retain: req.GetRetain(), Payload: req.GetPayload(), Ask: req.GetAsk(),
	})
	if errors.Is(err, broker.ErrUnknownClient) {
		return nil, fmt.Errorf("no client %q is connected, and none was refused lately; \"broker plugin trace --hook connect --client %s\" shows the next attempt: %w",
			req.GetClientId(), req.GetClientId(), admin.ErrUnknown)
	}
	if err != nil {
		return nil, err
	}
	out := &adminv1.ExplainResponse{Accepted: e.Accepted, ReasonCode: uint32(e.Code)}
	for _, step := range e.Steps {
		out.Steps = append(out.Steps, &adminv1.ExplainStep{What: step.What, Who: step.Who, Says: step.Says, Refuses: step.Refuses})
	}
	return out, nil
}
