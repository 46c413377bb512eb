//go:build unix

package pluginhost

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// vicesBeginAt is the call at which a chaosGate shows its vice, unless the mode
// "at" says otherwise.
const vicesBeginAt = 16

// chaosGate is an interceptor that adds a mark to every payload, until its vice
// comes out.
type chaosGate struct {
	pluginv1.UnimplementedMessageInterceptorServiceServer
	chaos *chaos
	calls atomic.Int64
	leak  [][]byte
}

func (g *chaosGate) sinsAt() int64 {
	if n, err := strconv.ParseInt(g.chaos.modes["at"], 10, 64); err == nil {
		return n
	}
	return vicesBeginAt
}

func gateInit() *pluginv1.InitResponse {
	return &pluginv1.InitResponse{
		Name: "chaos", Version: "1.0.0",
		Services: []string{pluginv1.MessageInterceptorService_ServiceDesc.ServiceName},
		Interest: []*pluginv1.HookInterest{{
			Hook: pluginv1.Hook_HOOK_PUBLISH, TopicFilters: []string{"gated/#"},
			MayChange: []pluginv1.Field{pluginv1.Field_FIELD_PAYLOAD},
		}},
		Capabilities: &pluginv1.Capabilities{InterceptStream: true},
	}
}

func (g *chaosGate) InterceptStream(stream pluginv1.MessageInterceptorService_InterceptStreamServer) error {
	for {
		frame, err := stream.Recv()
		if err != nil {
			return err
		}
		var answer proto.Message
		out := new(pluginv1.InterceptStreamResponse)
		answer = out
		for _, c := range frame.GetCalls() {
			out.Verdicts = append(out.Verdicts, &pluginv1.Verdict{
				Seq: c.GetSeq(), Action: pluginv1.VerdictAction_VERDICT_ACTION_PASS,
				Message: &pluginv1.MessageChange{Payload: append(c.GetPublish().GetMessage().GetPayload(), '!')},
			})
		}
		if g.calls.Add(int64(len(frame.GetCalls()))) >= g.sinsAt() {
			answer = g.sin(out)
		}
		if err := stream.SendMsg(answer); err != nil {
			return err
		}
	}
}

// sin does what is wrong with the plugin, and returns what it answers then.
func (g *chaosGate) sin(good *pluginv1.InterceptStreamResponse) proto.Message {
	c := g.chaos
	switch {
	case c.is("hang"):
		time.Sleep(time.Hour)
	case c.is("exit-at-work"):
		os.Exit(3)
	case c.is("stop-itself"):
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case c.is("leak"):
		g.leakMemory()
	case c.is("babble"):
		for range 10 {
			fmt.Fprintln(os.Stderr, strings.Join(hostileLines, "\n"))
		}
	case c.is("spawn"):
		c.bear(false)
		os.Exit(3)
	case c.is("wrong-numbers"):
		for _, v := range good.GetVerdicts() {
			v.Seq += 1000
		}
	case c.is("twice"):
		good.Verdicts = append(good.Verdicts, good.GetVerdicts()...)
	case c.is("foreign-answer"):
		return &pluginv1.ObserveStreamResponse{Batches: 1}
	case c.is("huge"):
		good.Verdicts[0].Reason = strings.Repeat("x", 100<<20)
	}
	return good
}

// leakMemory takes memory until there is none left, with a limit as a container
// would set it.
func (g *chaosGate) leakMemory() {
	limit := &syscall.Rlimit{Cur: 512 << 20, Max: 512 << 20}
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, limit); err != nil {
		panic(err)
	}
	debug.SetGCPercent(-1)
	for len(g.leak) < 1024 { // 8 GiB, where the system knows no such limit
		page := make([]byte, 8<<20)
		for i := 0; i < len(page); i += 4096 {
			page[i] = 1
		}
		g.leak = append(g.leak, page)
	}
	panic("there was memory enough")
}
