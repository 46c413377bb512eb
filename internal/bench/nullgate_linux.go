package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
)

// nullGate is what the machine allows of showing every PUBLISH to another process
// and waiting for its word: packets as they came, all that is there in one frame
// of a gRPC stream, nothing encoded and nothing looked at on either side. Four
// frames may be away at once, as with the broker's own.
type nullGate struct {
	stream grpc.ClientStream
	away   chan []nullRun // what was sent and is not answered

	mu      sync.Mutex
	wake    *sync.Cond
	waiting []nullRun
}

// nullRun is what one read of a connection brought.
type nullRun struct {
	from    *nullConn
	packets []byte
}

const nullFrame = 64 << 10

// serveNullGate runs the null broker behind a gate until it is killed.
func serveNullGate(addr string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// An abstract socket: this process is killed, and would leave a file.
	name := fmt.Sprintf("gatehouse-bench-nod-%d", os.Getpid())
	nod := exec.Command(self, "nod", name)
	nod.Stderr = os.Stderr
	in, err := nod.StdinPipe() // closed when this process is no more
	if err != nil {
		return err
	}
	defer in.Close()
	if err := nod.Start(); err != nil {
		return err
	}
	conn, err := grpc.NewClient("unix-abstract:"+name, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stream, err := conn.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/nod/Nod",
		grpc.ForceCodecV2(raw{}), grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	g := &nullGate{stream: stream, away: make(chan []nullRun, 4)}
	g.wake = sync.NewCond(&g.mu)
	return serveNull(addr, g)
}

// ask hands over what c has gathered.
func (g *nullGate) ask(c *nullConn) {
	r := nullRun{c, c.asked}
	c.asked = nil
	g.mu.Lock()
	g.waiting = append(g.waiting, r)
	g.mu.Unlock()
	g.wake.Signal()
}

func (g *nullGate) send() {
	for {
		runs := g.take()
		var frame []byte
		for _, r := range runs {
			frame = append(frame, r.packets...)
		}
		g.away <- runs
		if err := g.stream.SendMsg(&frame); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
	}
}

// take waits for something to send.
func (g *nullGate) take() []nullRun {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.waiting) == 0 {
		g.wake.Wait()
	}
	n, size := 0, 0
	for n < len(g.waiting) && size < nullFrame {
		size += len(g.waiting[n].packets)
		n++
	}
	runs := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return runs
}

func (g *nullGate) receive(n *null) {
	var answer []byte
	for {
		if err := g.stream.RecvMsg(&answer); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		for _, r := range <-g.away {
			n.handleAll(r.from, r.packets)
		}
	}
}

// serveNod runs the process that says yes to every frame, until its standard
// input ends.
func serveNod(name string) error {
	l, err := net.Listen("unix", "@"+name)
	if err != nil {
		return err
	}
	s := grpc.NewServer(grpc.ForceServerCodecV2(raw{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		yes := []byte{1}
		var frame []byte
		for {
			if err := stream.RecvMsg(&frame); err != nil {
				return err
			}
			if err := stream.SendMsg(&yes); err != nil {
				return err
			}
		}
	}))
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		s.Stop()
	}()
	return s.Serve(l)
}

// raw sends bytes as they are.
type raw struct{}

func (raw) Name() string { return "raw" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	b := v.(*[]byte)
	*b = append((*b)[:0], make([]byte, data.Len())...)
	data.CopyTo(*b)
	return nil
}
