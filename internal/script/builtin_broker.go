package script

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.starlark.net/starlark"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// outsideTime bounds one call of the broker; the call's own time usually ends
// before.
const outsideTime = 30 * time.Second

// asked makes a call of the broker for a builtin: there has to be one, and the
// script has to be loaded.
func asked[P, T any](c *call, what string, part P, f func(context.Context, P) (T, error)) (T, error) {
	var none T
	if err := c.acts(what); err != nil {
		return none, err
	}
	if any(part) == nil {
		return none, fmt.Errorf("%s: %w", what, pluginapi.ErrNoHost)
	}
	ctx, cancel := c.outside(outsideTime)
	defer cancel()
	out, err := f(ctx, part)
	if err != nil {
		return none, fmt.Errorf("%s: %w", what, err)
	}
	return out, nil
}

var brokerBuiltins = []builtin{
	{
		name: "publish", params: "message, **fields", fn: publish,
		doc: "Publishes a message: a dict, or its fields as arguments, such as `publish(topic=\"a\", payload=\"x\", qos=1, retain=True)`. " +
			"Fields are those of a message in `on_intercept_application_message`. It goes out behind the acknowledgement of the message about which the script was asked. " +
			"Returns `None`, or the name of the reason code if it was refused. Scope `publish`.",
	},
	{
		name: "clients", params: "", fn: clients,
		doc: "The connected clients, as a list of dicts. Scope `clients.read`.",
	},
	{
		name: "client", params: "client_id", fn: client,
		doc: "One connected client as a dict, `None` if it is not connected. Scope `clients.read`.",
	},
	{
		name: "disconnect", params: "client_id, reason_code=\"administrative_action\", reason_string=None, discard_will=False", fn: disconnect,
		doc: "Ends a client's connection; `False` if it is not connected. Scope `clients.disconnect`.",
	},
	{
		name: "subscribe", params: "client_id, topic, **options", fn: subscribe,
		doc: "Subscribes on behalf of a client; its grants do not bind the subscription. Options are those of `on_intercept_subscription`. Returns the name of the reason code, such as `granted_qos_1`. Scope `subscribe`.",
	},
	{
		name: "unsubscribe", params: "client_id, topic", fn: unsubscribe,
		doc: "Undoes a subscription of a client, whoever made it. Returns the name of the reason code. Scope `subscribe`.",
	},
	{
		name: "retained_get", params: "topic", fn: retainedGet,
		doc: "The retained message of a topic as a dict, `None` if there is none. Scope `retained.read`.",
	},
	{
		name: "retained_list", params: "filter, limit=1000", fn: retainedList,
		doc: "The retained messages whose topics match a filter, at most `limit`. Scope `retained.read`.",
	},
	{
		name: "retained_put", params: "message, **fields", fn: retainedPut,
		doc: "Sets a retained message without publishing it. Arguments are as those of `publish`. Scope `retained.write`.",
	},
	{
		name: "retained_delete", params: "filter", fn: retainedDelete,
		doc: "Removes the retained message of a topic, or all that match a filter. Returns how many. Scope `retained.write`.",
	},
}

// toMessage reads a message from a dict and named arguments.
func toMessage(what string, c *call, args starlark.Tuple, kwargs []starlark.Tuple) (*pluginapi.Message, error) {
	m := new(pluginapi.Message)
	if len(args) > 1 {
		return nil, fmt.Errorf("%s takes a dict, or named arguments", what)
	}
	if len(args) == 1 {
		d, ok := args[0].(starlark.IterableMapping)
		if !ok {
			return nil, fmt.Errorf("%s: %w", what, wrong("a dict", args[0]))
		}
		kwargs = append(d.Items(), kwargs...)
	}
	if err := messageRecord.fill(m, kwargs); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if m.Topic == "" {
		return nil, fmt.Errorf("%s: the topic is missing", what)
	}
	m.Publisher, m.Origin, m.Created, m.Hops = "", 0, time.Time{}, 0
	return m, c.fits("a payload", len(m.Payload))
}

func publish(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	m, err := toMessage("publish", c, args, kwargs)
	if err != nil {
		return nil, err
	}
	out, err := asked(c, "publish", c.set.options.Broker.Publisher, func(ctx context.Context, p Publisher) (pluginapi.Published, error) {
		return p.Publish(ctx, m)
	})
	if err != nil || !out.Code.Failed() {
		return starlark.None, err
	}
	return text(reasonName(out.Code)), nil
}

func clients(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs("clients", args, kwargs); err != nil {
		return nil, err
	}
	return asked(c, "clients", c.set.options.Broker.Clients, func(ctx context.Context, p Clients) (starlark.Value, error) {
		var out []starlark.Value
		for s, err := range p.All(ctx) {
			if err != nil {
				return nil, err
			}
			d := clientRecord.dict(&s.Client)
			if err := c.charge(sizeOf(d)); err != nil {
				return nil, err
			}
			out = append(out, d)
		}
		return starlark.NewList(out), nil
	})
}

func client(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var id string
	if err := starlark.UnpackArgs("client", args, kwargs, "client_id", &id); err != nil {
		return nil, err
	}
	return asked(c, "client", c.set.options.Broker.Clients, func(ctx context.Context, p Clients) (starlark.Value, error) {
		s, err := p.Get(ctx, id)
		if errors.Is(err, pluginapi.ErrNotFound) {
			return starlark.None, nil
		}
		if err != nil {
			return nil, err
		}
		return clientRecord.dict(&s.Client), nil
	})
}

func disconnect(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var id string
	var code, reason starlark.Value = text("administrative_action"), starlark.None
	var d pluginapi.Disconnection
	err := starlark.UnpackArgs("disconnect", args, kwargs, "client_id", &id, "reason_code?", &code, "reason_string?", &reason, "discard_will?", &d.DiscardWill)
	if err == nil {
		d.Code, err = toReason(code)
	}
	if err == nil {
		d.Reason, err = toText(reason)
	}
	if err != nil {
		return nil, err
	}
	return asked(c, "disconnect", c.set.options.Broker.Clients, func(ctx context.Context, p Clients) (starlark.Value, error) {
		err := p.Disconnect(ctx, id, d)
		if errors.Is(err, pluginapi.ErrNotFound) {
			return starlark.False, nil
		}
		return starlark.True, err
	})
}

func subscribe(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var id string
	var sub pluginapi.Subscription
	if len(args) > 0 {
		id, _ = starlark.AsString(args[0])
	}
	if id == "" || len(args) > 2 {
		return nil, errors.New("subscribe takes a client identifier, a topic filter and options by name")
	}
	if len(args) == 2 {
		kwargs = append([]starlark.Tuple{{text("topic"), args[1]}}, kwargs...)
	}
	err := subscriptionRecord.fill(&sub, kwargs)
	if err == nil {
		err = validFilter(sub.Filter)
	}
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return asked(c, "subscribe", c.set.options.Broker.Sessions, func(ctx context.Context, p Sessions) (starlark.Value, error) {
		return firstCode(p.Subscribe(ctx, id, sub))
	})
}

func unsubscribe(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var id, filter string
	if err := starlark.UnpackArgs("unsubscribe", args, kwargs, "client_id", &id, "topic", &filter); err != nil {
		return nil, err
	}
	return asked(c, "unsubscribe", c.set.options.Broker.Sessions, func(ctx context.Context, p Sessions) (starlark.Value, error) {
		return firstCode(p.Unsubscribe(ctx, id, filter))
	})
}

// firstCode is the answer about the only filter there was. A granted QoS 0 is
// "granted_qos_0", which the table of codes calls success.
func firstCode(codes []pluginapi.ReasonCode, err error) (starlark.Value, error) {
	if err != nil || len(codes) == 0 {
		return starlark.None, err
	}
	return text(reasonName(codes[0])), nil
}

func retainedGet(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var topic string
	if err := starlark.UnpackArgs("retained_get", args, kwargs, "topic", &topic); err != nil {
		return nil, err
	}
	return asked(c, "retained_get", c.set.options.Broker.Retained, func(ctx context.Context, p Retained) (starlark.Value, error) {
		m, err := p.Get(ctx, topic)
		if errors.Is(err, pluginapi.ErrNotFound) {
			return starlark.None, nil
		}
		if err != nil {
			return nil, err
		}
		return messageRecord.dict(m), c.charge(int64(2 * len(m.Payload)))
	})
}

func retainedList(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var filter string
	limit := 1000
	if err := starlark.UnpackArgs("retained_list", args, kwargs, "filter", &filter, "limit?", &limit); err != nil {
		return nil, err
	}
	return asked(c, "retained_list", c.set.options.Broker.Retained, func(ctx context.Context, p Retained) (starlark.Value, error) {
		var out []starlark.Value
		for m, err := range p.All(ctx, filter) {
			if err != nil {
				return nil, err
			}
			if len(out) >= limit {
				break
			}
			if err := c.charge(int64(2*len(m.Payload)) + 16*sizeOfEntry); err != nil {
				return nil, err
			}
			out = append(out, messageRecord.dict(m))
		}
		return starlark.NewList(out), nil
	})
}

func retainedPut(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	m, err := toMessage("retained_put", c, args, kwargs)
	if err != nil {
		return nil, err
	}
	m.Retain = true
	return asked(c, "retained_put", c.set.options.Broker.Retained, func(ctx context.Context, p Retained) (starlark.Value, error) {
		_, err := p.Put(ctx, m)
		return starlark.None, err
	})
}

func retainedDelete(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var filter string
	if err := starlark.UnpackArgs("retained_delete", args, kwargs, "filter", &filter); err != nil {
		return nil, err
	}
	return asked(c, "retained_delete", c.set.options.Broker.Retained, func(ctx context.Context, p Retained) (starlark.Value, error) {
		n, err := p.Delete(ctx, filter)
		return starlark.MakeInt(n), err
	})
}
