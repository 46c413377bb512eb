// Package buckettest runs a NATS server with JetStream inside of a test.
package buckettest

import (
	"fmt"
	"hash/fnv"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Server is a NATS server at an address that it keeps when it is stopped and
// started again, with what it holds.
type Server struct {
	t       testing.TB
	options server.Options
	running *server.Server
}

// Start starts a server that lives as long as the test. change may set its
// options; the address and the folder are set already.
func Start(t testing.TB, change ...func(*server.Options)) *Server {
	t.Helper()
	s := &Server{t: t, options: server.Options{
		Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: filepath.Join(t.TempDir(), "nats"),
	}}
	for _, c := range change {
		c(&s.options)
	}
	s.Again()
	t.Cleanup(s.Stop)
	return s
}

// URL is where the server is.
func (s *Server) URL() string {
	return fmt.Sprintf("nats://%s", net.JoinHostPort(s.options.Host, fmt.Sprint(s.options.Port)))
}

// Again starts a server that was stopped. change may set its options anew.
func (s *Server) Again(change ...func(*server.Options)) {
	s.t.Helper()
	for _, c := range change {
		c(&s.options)
	}
	o := s.options
	running, err := server.NewServer(&o)
	if err != nil {
		s.t.Fatalf("NATS server: %v", err)
	}
	running.Start()
	if !running.ReadyForConnections(30 * time.Second) {
		s.t.Fatal("NATS server does not take connections")
	}
	s.options.Port = running.Addr().(*net.TCPAddr).Port
	s.running = running
}

// Stop stops the server. What it holds stays.
func (s *Server) Stop() {
	if s.running == nil {
		return
	}
	s.running.Shutdown()
	s.running.WaitForShutdown()
	s.running = nil
}

// Name makes a bucket's name of a test's folder.
func Name(dir string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(dir))
	return fmt.Sprintf("test-%x", h.Sum64())
}
