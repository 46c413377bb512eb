package plugintest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// storeOfProcess is the store of a vicious process, nil if it is none.
var storeOfProcess *viciousStore

// viciousStore keeps everything in memory, and every change in a file.
type viciousStore struct {
	pluginv1.UnimplementedRetainedStoreServiceServer
	*vicious

	mu       sync.Mutex // guards the fields below
	file     *os.File
	buffer   []*pluginv1.Change // that is not written yet
	records  map[string]*pluginv1.RetainedRecord
	buried   map[string]uint64
	cleared  uint64
	revision uint64
	gone     bool // a Load was broken off
}

func (s *viciousStore) open(dir string) {
	s.records, s.buried = make(map[string]*pluginv1.RetainedRecord), make(map[string]uint64)
	file, err := os.OpenFile(filepath.Join(dir, "changes"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		panic(err)
	}
	s.file = file
	in := bufio.NewReader(file)
	for {
		c := new(pluginv1.Change)
		if (protodelim.UnmarshalOptions{MaxSize: -1}).UnmarshalFrom(in, c) != nil {
			break
		}
		s.change(c)
	}
	if s.is("forgets the deleted") {
		clear(s.buried)
	}
	if s.is("not empty") {
		s.records["was/there"] = &pluginv1.RetainedRecord{Message: &pluginv1.Message{Topic: "was/there", Retain: true}, Revision: 1}
	}
}

func (s *viciousStore) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b bytes.Buffer
	for _, c := range s.buffer {
		if _, err := protodelim.MarshalTo(&b, c); err != nil {
			panic(err)
		}
	}
	s.buffer = nil
	if _, err := s.file.Write(b.Bytes()); err != nil {
		panic(err)
	}
}

// change applies one change in memory.
func (s *viciousStore) change(c *pluginv1.Change) {
	topic, r := c.GetTopic(), c.GetRevision()
	if c.GetMessage() != nil {
		topic = c.GetMessage().GetTopic()
	}
	s.revision = max(s.revision, r)
	last := max(s.records[topic].GetRevision(), s.buried[topic], s.cleared)
	if r <= last && !(s.is("forgets the deleted") && s.records[topic] == nil && r > s.cleared) {
		return
	}
	switch c.GetOp() {
	case pluginv1.ChangeOp_CHANGE_OP_PUT:
		s.records[topic] = &pluginv1.RetainedRecord{Message: c.GetMessage(), Revision: r}
		delete(s.buried, topic)
	case pluginv1.ChangeOp_CHANGE_OP_DELETE:
		if s.is("keeps umlauts") && topic == "ü" {
			return
		}
		delete(s.records, topic)
		s.buried[topic] = r
	case pluginv1.ChangeOp_CHANGE_OP_CLEAR:
		clear(s.records)
		clear(s.buried)
		s.cleared = r
	}
}

// spoil does to a change what the vice does.
func (s *viciousStore) spoil(c *pluginv1.Change) {
	m := c.GetMessage()
	switch {
	case m == nil:
	case s.is("forgets a field"):
		m.ContentType = ""
	case s.is("text only"):
		m.Payload = []byte(strings.ToValidUTF8(string(m.Payload), "?"))
	case s.is("trims"):
		m.Topic = strings.TrimSpace(m.Topic)
	}
}

func (s *viciousStore) Apply(_ context.Context, in *pluginv1.ApplyRequest) (*pluginv1.ApplyResponse, error) {
	s.mu.Lock()
	put := map[string]bool{}
	var todo []*pluginv1.Change
	for _, c := range in.GetChanges() {
		if err := s.refuse(c); err != nil {
			if s.is("half a batch") {
				for _, c := range todo {
					s.change(c)
				}
			}
			s.mu.Unlock()
			return nil, err
		}
		if topic := c.GetTopic(); s.is("deletes first") && topic == "u" && put[topic] {
			continue
		}
		put[c.GetMessage().GetTopic()] = true
		s.spoil(c)
		todo = append(todo, c)
	}
	for _, c := range todo {
		s.change(c)
	}
	s.buffer = append(s.buffer, todo...)
	revision := s.revision
	s.mu.Unlock()
	if !s.is("buffers") {
		s.flush()
	}
	return &pluginv1.ApplyResponse{Revision: revision}, nil
}

func (s *viciousStore) refuse(c *pluginv1.Change) error {
	m := c.GetMessage()
	switch op := c.GetOp(); {
	case op < pluginv1.ChangeOp_CHANGE_OP_PUT || op > pluginv1.ChangeOp_CHANGE_OP_CLEAR, op == pluginv1.ChangeOp_CHANGE_OP_PUT && m == nil:
		return status.Error(codes.InvalidArgument, "no change")
	case s.is("once only") && strings.HasPrefix(m.GetTopic(), "again/") && s.records[m.GetTopic()].GetRevision() == c.GetRevision():
		return status.Error(codes.AlreadyExists, "that was there")
	case s.is("small") && len(m.GetPayload()) > 1<<20:
		return status.Error(codes.ResourceExhausted, "message larger than max")
	}
	return nil
}

func (s *viciousStore) all() []*pluginv1.RetainedRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*pluginv1.RetainedRecord
	for _, r := range s.records {
		all = append(all, proto.CloneOf(r))
	}
	return all
}

func (s *viciousStore) Load(_ *pluginv1.LoadRequest, stream grpc.ServerStreamingServer[pluginv1.LoadResponse]) error {
	records := s.all()
	s.mu.Lock()
	revision, gone := s.revision, s.gone
	s.mu.Unlock()
	if gone {
		records = nil
	}
	size := 25
	if s.is("one part") {
		size = len(records)
	}
	for len(records) > size {
		if err := stream.Send(&pluginv1.LoadResponse{Records: records[:size]}); err != nil {
			s.breakOff()
			return err
		}
		records = records[size:]
	}
	err := stream.Send(&pluginv1.LoadResponse{Records: records, Revision: revision})
	if err != nil || stream.Context().Err() != nil {
		s.breakOff()
	}
	return err
}

// breakOff is a Load that was broken off.
func (s *viciousStore) breakOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = s.is("loads once")
}

func (s *viciousStore) Snapshot(_ *pluginv1.SnapshotRequest, stream grpc.ServerStreamingServer[pluginv1.SnapshotResponse]) error {
	out := &pluginv1.SnapshotResponse{Records: s.all()}
	s.mu.Lock()
	out.Revision = s.revision
	for topic, r := range s.buried {
		if !s.is("no tombstones") {
			out.Tombstones = append(out.Tombstones, &pluginv1.Tombstone{Topic: topic, Revision: r})
		}
	}
	s.mu.Unlock()
	return stream.Send(out)
}

func (s *viciousStore) Stats(context.Context, *pluginv1.StatsRequest) (*pluginv1.StatsResponse, error) {
	if s.file == nil {
		return nil, errors.New("not open")
	}
	all := s.all()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &pluginv1.StatsResponse{Messages: uint64(len(all)), Revision: s.revision}
	if s.is("counts what is there") {
		out.Revision = 0
		for _, r := range all {
			out.Revision = max(out.Revision, r.GetRevision())
		}
	}
	return out, nil
}
