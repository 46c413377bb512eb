package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// needStream skips the case for a plugin without the stream.
func (c *check) needStream() {
	if !c.init.GetCapabilities().GetInterceptStream() {
		c.skipf("the plugin has no InterceptStream; the broker calls Intercept")
	}
}

// stream asks about frames of numbered calls on one stream, without waiting
// between them, and does not judge the verdicts.
func (c *check) stream(frames ...[]*pluginv1.Call) (answers, error) {
	var requests []*pluginv1.InterceptStreamRequest
	asked := make(map[uint64]*pluginv1.Call)
	known := make(map[uint64]bool)
	for _, frame := range frames {
		req := &pluginv1.InterceptStreamRequest{Calls: frame}
		for _, cl := range clientsOf(frame) {
			if !known[cl.GetConnectionId()] {
				known[cl.GetConnectionId()] = true
				req.Clients = append(req.Clients, cl)
			}
		}
		for _, call := range frame {
			asked[call.GetSeq()] = call
		}
		requests = append(requests, req)
	}
	return c.exchange(requests, asked)
}

// exchange sends requests and waits until all that was asked is answered.
func (c *check) exchange(requests []*pluginv1.InterceptStreamRequest, asked map[uint64]*pluginv1.Call) (answers, error) {
	ctx, cancel := c.call()
	defer cancel()
	stream, err := pluginv1.NewMessageInterceptorServiceClient(c.process.Conn).InterceptStream(ctx)
	if err != nil {
		return nil, fmt.Errorf("answers InterceptStream with %s", rpcError(err))
	}
	got := make(answers)
	var sender sync.WaitGroup
	defer sender.Wait()
	defer cancel()
	sender.Go(func() {
		for _, req := range requests {
			if stream.Send(req) != nil {
				return // Recv has the reason
			}
		}
	})
	for len(got) < len(asked) {
		out, err := stream.Recv()
		if errors.Is(err, io.EOF) || ctx.Err() != nil && c.ctx.Err() == nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, fmt.Errorf("leaves %d of %d calls without an answer", len(asked)-len(got), len(asked))
		}
		if err != nil {
			return nil, fmt.Errorf("ends the stream with %s, while %d calls are open", rpcError(err), len(asked)-len(got))
		}
		if err := got.take(asked, out.GetPassed(), out.GetVerdicts()); err != nil {
			return nil, err
		}
	}
	return got, nil
}

// simple are n calls of the first point, of a few clients.
func (c *check) simple(n int, first uint64) []*pluginv1.Call {
	p := points(c.init)[0]
	var calls []*pluginv1.Call
	for i := range n {
		m := &pluginv1.Message{
			Topic: p.topic(fmt.Sprint("n", i)), Payload: []byte("payload"), Qos: 1, Publisher: "check-client",
			Origin: pluginv1.Origin_ORIGIN_CLIENT,
		}
		calls = append(calls, p.call(uint64(20+i%3), m))
	}
	number(calls, first)
	return calls
}

func testNumbers(c *check) {
	c.needStream()
	for _, first := range []uint64{1, 1000, math.MaxUint32 - 3, 1 << 40, math.MaxInt64 - 3, math.MaxUint64 - 15} {
		if _, err := c.stream(c.simple(8, first), c.simple(8, first+8)); err != nil && !c.enough() {
			c.failf("%v, where numbers begin at %d", err, first)
		}
	}
}

func testBatches(c *check) {
	// One by one first, so that a size is named if it is at fault.
	for n := 1; n <= 64 && !c.enough(); n++ {
		if _, err := c.intercept(c.simple(n, 1)); err != nil {
			c.failf("%v, in a batch of %d", err, n)
		}
	}
	if !c.init.GetCapabilities().GetInterceptStream() || len(c.problems) > 0 {
		return
	}
	var frames [][]*pluginv1.Call
	next := uint64(1)
	for n := 1; n <= 64; n++ {
		frames = append(frames, c.simple(n, next))
		next += uint64(n)
	}
	if _, err := c.stream(frames...); err != nil {
		c.failf("%v, in 64 frames at once", err)
	}
}

func testClients(c *check) {
	p := points(c.init)[0]
	ofNobody := p.call(0, fullMessage(p.topic("nobody")))
	if _, err := c.intercept([]*pluginv1.Call{ofNobody}); err != nil {
		c.failf("%v, of nobody", err)
	}
	// A client of which only the number is known: no name, no items.
	call := p.call(30, fullMessage(p.topic("bare")))
	number([]*pluginv1.Call{call}, 1)
	ctx, cancel := c.call()
	defer cancel()
	_, err := pluginv1.NewMessageInterceptorServiceClient(c.process.Conn).Intercept(ctx, &pluginv1.InterceptRequest{
		Clients: []*pluginv1.ClientContext{{ConnectionId: 30}}, Calls: []*pluginv1.Call{call},
	})
	if err != nil {
		c.failf("could not decide a call of a client without a name: %s", rpcError(err))
	}
	if !c.init.GetCapabilities().GetInterceptStream() {
		return
	}
	ask := func(seq, connection uint64) *pluginv1.Call {
		call := p.call(connection, fullMessage(p.topic("clients")))
		call.Seq = seq
		return call
	}
	calls := []*pluginv1.Call{ask(1, 31), ask(2, 31), ask(3, 32), ask(4, 0), ask(5, 31)}
	asked := make(map[uint64]*pluginv1.Call)
	for _, call := range calls {
		asked[call.GetSeq()] = call
	}
	renamed := proto.CloneOf(client(31))
	renamed.ClientId = "check-client-again"
	if _, err := c.exchange([]*pluginv1.InterceptStreamRequest{
		{Clients: []*pluginv1.ClientContext{client(31)}, Calls: calls[:1]},
		{Calls: calls[1:2]},
		{Clients: []*pluginv1.ClientContext{client(32)}, Forget: []uint64{31, 999}, Calls: calls[2:4]},
		{Clients: []*pluginv1.ClientContext{renamed}, Calls: calls[4:]},
	}, asked); err != nil {
		c.failf("%v, as clients come and go", err)
	}
}
