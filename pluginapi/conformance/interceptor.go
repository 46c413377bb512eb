package conformance

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// interceptorCases are about publishes, subscriptions and deliveries.
var interceptorCases = []testCase{
	{
		"interceptor/interest", "the interest of Init makes sense: known hooks, valid filters",
		"write topic filters as a client would subscribe them", testInterest,
	},
	{
		"interceptor/verdicts", "each call of a batch is answered once, with a verdict that the broker accepts and changes that are declared",
		"repeat the call's seq; declare in may_change what is changed; refuse with a reason code of 0x80 or above", testVerdicts,
	},
	{
		"interceptor/stream", "each call of the stream is answered once, by its number, wherever numbers begin, in any order",
		"take seq from the call; do not count calls", testNumbers,
	},
	{
		"interceptor/twins", "Intercept and InterceptStream decide the same call the same way",
		"let both go through the same code", testTwins,
	},
	{
		"interceptor/batches", "frames of 1 to 64 calls, many on their way at once, are answered whole",
		"answer every call of a frame; read the next frame while calls are decided", testBatches,
	},
	{
		"interceptor/large", "a frame of 256 KiB and a message of 5 MiB are decided",
		"raise the limit of messages that the gRPC server receives and sends (4 MiB by default) to 512 MiB", testLarge,
	},
	{
		"interceptor/clients", "calls of nobody (connection 0), of a client that is new on the stream, and of one after others were forgotten are decided",
		"keep clients by connection_id, drop those that a frame forgets, and take 0 for nobody", testClients,
	},
	{
		"interceptor/cancelled", "after a stream broke off in the middle another stream and Intercept work",
		"give up what belongs to a stream when it ends", testBrokenStream,
	},
	{
		"interceptor/hostile", "a call is decided whatever its texts and binary fields hold",
		"a client can send this: pass or refuse it. What fails again and again opens the circuit breaker for everybody", testHostileCalls,
	},
	{
		"interceptor/nonsense", "a request that no broker sends does not end the plugin",
		"answer with a verdict, UNSPECIFIED if need be, or a status", testNonsenseCalls,
	},
}

func testInterest(c *check) {
	for i, in := range c.init.GetInterest() {
		for _, f := range in.GetTopicFilters() {
			if err := pluginapi.CheckFilter(f); err != nil {
				c.failf("declares in interest %d: %v", i+1, err)
			}
		}
		if m := in.GetPayload(); m < 0 || m > pluginv1.PayloadMode_PAYLOAD_MODE_NONE {
			c.failf("declares in interest %d the unknown payload mode %d", i+1, m)
		}
	}
}

// number gives calls their numbers and returns them by number.
func number(calls []*pluginv1.Call, first uint64) map[uint64]*pluginv1.Call {
	asked := make(map[uint64]*pluginv1.Call, len(calls))
	for i, call := range calls {
		call.Seq = first + uint64(i)
		asked[call.Seq] = call
	}
	return asked
}

// clientsOf are the clients that calls refer to.
func clientsOf(calls []*pluginv1.Call) []*pluginv1.ClientContext {
	var ids []uint64
	for _, call := range calls {
		if id := call.GetConnectionId(); id != 0 && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	var all []*pluginv1.ClientContext
	for _, id := range ids {
		all = append(all, client(id))
	}
	return all
}

// intercept asks about one batch, without judging the verdicts.
func (c *check) intercept(calls []*pluginv1.Call) (answers, error) {
	asked := number(calls, 1)
	ctx, cancel := c.call()
	defer cancel()
	out, err := pluginv1.NewMessageInterceptorServiceClient(c.process.Conn).Intercept(ctx,
		&pluginv1.InterceptRequest{Clients: clientsOf(calls), Calls: calls})
	if err != nil {
		return nil, fmt.Errorf("could not decide %d calls: %s", len(calls), rpcError(err))
	}
	got := make(answers)
	if err := got.take(asked, out.GetPassed(), out.GetVerdicts()); err != nil {
		return nil, err
	}
	if open := len(asked) - len(got); open > 0 {
		return nil, fmt.Errorf("leaves %d of %d calls without an answer", open, len(asked))
	}
	return got, nil
}

// judge is intercept with a judgement of the verdicts.
func (c *check) judge(calls []*pluginv1.Call) error {
	got, err := c.intercept(calls)
	if err != nil {
		return err
	}
	for _, call := range calls {
		if err := legalVerdict(c.init, call, got[call.GetSeq()]); err != nil {
			return err
		}
	}
	return nil
}

func testVerdicts(c *check) {
	for _, call := range sampleCalls(c.init, 1) {
		if err := c.judge([]*pluginv1.Call{call}); err != nil {
			c.failf("%v, for %s", err, aboutCall(call))
		}
		if c.enough() {
			return
		}
	}
	if len(c.problems) == 0 {
		if err := c.judge(sampleCalls(c.init, 2)); err != nil {
			c.failf("%v, in one batch", err)
		}
		if err := c.judge(nil); err != nil {
			c.failf("%v, in a batch of none", err)
		}
	}
}

// aboutCall shows what a call is about.
func aboutCall(call *pluginv1.Call) string {
	topic := messageOf(call).GetTopic() + call.GetSubscribe().GetSubscription().GetFilter() + call.GetUnsubscribe().GetFilter()
	return fmt.Sprintf("%s of %q", hookOf(call), shortened(topic))
}

func testTwins(c *check) {
	c.needStream()
	unary, streamed := sampleCalls(c.init, 3), sampleCalls(c.init, 3)
	want, err := c.intercept(unary)
	if err != nil {
		c.skipf("the plugin does not answer Intercept: it %v", err)
	}
	number(streamed, 1)
	got, err := c.stream(streamed)
	if err != nil {
		c.skipf("the plugin does not answer the stream: it %v", err)
	}
	for _, call := range streamed {
		w, g := want[call.GetSeq()], got[call.GetSeq()]
		if w.GetAction() != g.GetAction() || w.GetReasonCode() != g.GetReasonCode() || !slices.Equal(changes(call, w), changes(call, g)) {
			if !c.enough() {
				c.failf("answers %s to Intercept and %s on the stream, for %s", inShort(call, w), inShort(call, g), aboutCall(call))
			}
		}
	}
}

// inShort shows a verdict.
func inShort(call *pluginv1.Call, v *pluginv1.Verdict) string {
	text := v.GetAction().String()[len("VERDICT_ACTION_"):]
	if code := v.GetReasonCode(); code != 0 {
		text += fmt.Sprintf(" 0x%02x", code)
	}
	if fields := changes(call, v); len(fields) > 0 {
		text += fmt.Sprintf(" with changes of %v", fields)
	}
	return text
}

func testLarge(c *check) {
	for _, p := range points(c.init) {
		if p.hook != onPublish && p.hook != onDeliver {
			continue
		}
		var frame []*pluginv1.Call
		for range 64 {
			frame = append(frame, p.call(4, &pluginv1.Message{
				Topic: p.topic("large"), Payload: bytes.Repeat([]byte("x"), 4<<10), Qos: 1, Origin: pluginv1.Origin_ORIGIN_CLIENT,
			}))
		}
		if err := c.judge(frame); err != nil {
			c.fatalf("%v, in a frame of 64 messages of 4 KiB", err)
		}
		huge := p.call(4, &pluginv1.Message{
			Topic: p.topic("huge"), Payload: bytes.Repeat([]byte{0xff}, 5<<20), Qos: 1, Origin: pluginv1.Origin_ORIGIN_CLIENT,
		})
		if err := c.judge([]*pluginv1.Call{huge}); err != nil {
			c.fatalf("%v, for a message of 5 MiB", err)
		}
		return
	}
	c.skipf("the plugin is not asked about messages")
}

func testHostileCalls(c *check) {
	for _, p := range points(c.init) {
		base := p.call(5, fullMessage(p.topic("hostile")))
		ask := func(m proto.Message) error { return c.judge([]*pluginv1.Call{m.(*pluginv1.Call)}) }
		spare := []string{"topic", "filter"}
		if p.cuts() {
			spare = append(spare, "payload") // it is what is left of a whole one
		}
		c.tryAll(hostile(base, spare...), ask)
		var all []variant
		for _, text := range hostileTexts {
			topic := p.topic(text)
			if pluginapi.CheckTopic(topic) == nil {
				all = append(all, variant{"a topic level " + describe(text), p.call(5, fullMessage(topic))})
			}
		}
		c.tryAll(all, ask)
		if c.enough() {
			return
		}
	}
}

func testNonsenseCalls(c *check) {
	api := pluginv1.NewMessageInterceptorServiceClient(c.process.Conn)
	try := func(what string, in *pluginv1.InterceptRequest) {
		ctx, cancel := c.call()
		defer cancel()
		_, err := api.Intercept(ctx, in)
		c.survived(what, err)
	}
	for _, p := range points(c.init) {
		for _, v := range nonsense(p.call(6, fullMessage(p.topic("nonsense")))) {
			if try(v.what, &pluginv1.InterceptRequest{Calls: []*pluginv1.Call{v.m.(*pluginv1.Call)}}); c.enough() {
				return
			}
		}
	}
	twice := points(c.init)[0]
	call := twice.call(6, fullMessage(twice.topic("twice")))
	try("a number that comes twice", &pluginv1.InterceptRequest{Clients: []*pluginv1.ClientContext{client(6), client(6)}, Calls: []*pluginv1.Call{call, call}})
	try("a client that was never told of", &pluginv1.InterceptRequest{Calls: []*pluginv1.Call{call}})
	if err := c.judge(sampleCalls(c.init, 7)[:1]); err != nil {
		c.failf("%v, after all that", err)
	}
}

func testBrokenStream(c *check) {
	c.needStream()
	for i := range 8 {
		ctx, cancel := context.WithCancel(c.ctx)
		stream, err := pluginv1.NewMessageInterceptorServiceClient(c.process.Conn).InterceptStream(ctx)
		if err == nil {
			calls := sampleCalls(c.init, 8)
			number(calls, 1)
			_ = stream.Send(&pluginv1.InterceptStreamRequest{Clients: clientsOf(calls), Calls: calls})
			time.Sleep(time.Duration(i) * 200 * time.Microsecond) // so that it breaks off at another place each time
		}
		cancel()
	}
	calls := sampleCalls(c.init, 9)[:1]
	number(calls, 1)
	if _, err := c.stream(calls); err != nil {
		c.failf("%v, on a stream after one that broke off", err)
	}
	if _, err := c.intercept(calls); err != nil {
		c.failf("%v, after streams that broke off", err)
	}
}
