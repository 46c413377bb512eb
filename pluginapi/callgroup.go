package pluginapi

import (
	"context"
	"errors"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi/internal/lanes"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// openCall is one call that waits for its verdict.
type openCall struct {
	ctx    context.Context
	in     *instance
	pb     *pluginv1.Call
	client *Client
	answer func(pb *pluginv1.Call, v *pluginv1.Verdict, err error) // once; many goroutines
}

// laneOf says which calls have to wait for each other: what one client does, and
// apart from it what is delivered to it.
type laneOf struct {
	deliver    bool
	connection uint64
	client     string // where there is no connection
}

func laneOfCall(pb *pluginv1.Call) laneOf {
	d := pb.GetDeliver()
	l := laneOf{deliver: d != nil, connection: pb.GetConnectionId()}
	if l.connection == 0 {
		l.client = d.GetReceiver()
		if d == nil {
			l.client = pb.GetPublish().GetMessage().GetPublisher()
		}
	}
	return l
}

// interceptPool decides the calls of single interfaces.
type interceptPool = lanes.Pool[laneOf, *openCall]

// runCall decides one call. It is what the pool's goroutines run.
func (c *core) runCall(o *openCall) {
	v, err := c.decideCall(o)
	o.answer(o.pb, v, err)
}

// decideCall guards against panics: they happen in a goroutine of the pool,
// where no interceptor of gRPC stands around them.
func (c *core) decideCall(o *openCall) (v *pluginv1.Verdict, err error) {
	call, err := o.in.callFromProto(o.pb, o.client)
	if err != nil {
		return nil, err
	}
	defer c.recovered("intercept "+string(call.kind()), &err)
	if err := o.in.decide(&inCall{o.ctx, o.pb}, call); err != nil {
		return nil, err
	}
	return verdictToProto(o.pb, call)
}

// runBatch decides all calls with one call of a [BatchInterceptor].
func (c *core) runBatch(ctx context.Context, open []*openCall) {
	calls := make([]*Call, 0, len(open))
	known := make([]*openCall, 0, len(open))
	for _, o := range open {
		call, err := o.in.callFromProto(o.pb, o.client)
		if err != nil {
			o.answer(o.pb, nil, err)
			continue
		}
		call.pb = o.pb
		calls, known = append(calls, call), append(known, o)
	}
	if len(calls) == 0 {
		return
	}
	err := c.callBatch(&inCall{ctx, known[len(known)-1].pb}, known[0].in, calls)
	for i, o := range known {
		if err != nil {
			o.answer(o.pb, nil, err)
			continue
		}
		v, err := verdictToProto(o.pb, calls[i])
		o.answer(o.pb, v, err)
	}
}

func (c *core) callBatch(ctx context.Context, in *instance, calls []*Call) (err error) {
	defer c.recovered("intercept batch", &err)
	// The hook gets a slice of its own; what it does to that changes no verdict's
	// place.
	return in.batch.InterceptBatch(ctx, append([]*Call(nil), calls...))
}

// errUnknownClient is the answer to a call of a connection that the broker has
// not told of. A hook that decides by client must not take it for nobody.
var errUnknownClient = errors.New("call of a connection that this plugin was not told of")

// clientTable knows the clients of a stream or of a request.
type clientTable map[uint64]*Client

func (t clientTable) add(clients []*pluginv1.ClientContext) {
	for _, c := range clients {
		t[c.GetConnectionId()] = clientFromProto(c)
	}
}

func (t clientTable) forget(connections []uint64) {
	for _, id := range connections {
		delete(t, id)
	}
}

// of returns the client of a call, nil for one of no connection.
func (t clientTable) of(pb *pluginv1.Call) (*Client, error) {
	id := pb.GetConnectionId()
	if id == 0 {
		return nil, nil
	}
	c := t[id]
	if c == nil {
		return nil, errUnknownClient
	}
	return c, nil
}
