package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// presence is a plugin that knows who is connected, as an author would write
// it: it begins anew with each snapshot and follows what happens. It logs what
// it knows after each batch.
type presence struct {
	log  *slog.Logger
	here map[string]uint64 // connection by client
}

func presencePlugin() pluginapi.Plugin {
	return pluginapi.Plugin{Name: "presence", Hooks: (*presence)(nil), New: func(_ context.Context, s *pluginapi.Setup) (any, error) {
		return &presence{log: s.Logger}, nil
	}}
}

// Interest asks for comings, goings and snapshots.
func (*presence) Interest() []pluginapi.Interest {
	return []pluginapi.Interest{{
		Hook: pluginapi.HookEvent, Events: []pluginapi.EventKind{pluginapi.EventConnected, pluginapi.EventDisconnected}, Snapshot: true,
	}}
}

// Observe follows who is there.
func (p *presence) Observe(_ context.Context, events []pluginapi.Event, _ uint64) error {
	for _, e := range events {
		switch e.Kind {
		case pluginapi.EventSnapshotBegins:
			p.here = make(map[string]uint64)
		case pluginapi.EventConnected, pluginapi.EventPresent:
			p.here[e.Client.ID] = e.ConnectionID
		case pluginapi.EventDisconnected:
			if p.here[e.ClientID] == e.ConnectionID {
				delete(p.here, e.ClientID)
			}
		}
	}
	p.log.Info(knows(os.Getpid(), slices.Sorted(maps.Keys(p.here))...))
	return nil
}

func knows(pid int, clients ...string) string {
	return fmt.Sprintf("%d knows of [%s]", pid, strings.Join(clients, " "))
}

// An observer that is killed is told again who is connected, and what happens
// from then on.
func TestPresence(t *testing.T) {
	p := newSite(t, "plugins:\n  presence: {}\n", "presence").start()
	b := brokertest.At(t, p.addr)
	ready := func(not int64) int {
		state := p.waitPlugin("presence", "ready", func(pl *adminv1.Plugin) bool {
			return pl.GetState() == adminv1.PluginState_PLUGIN_STATE_READY && pl.GetPid() != not
		})
		return int(state.GetPid())
	}
	pid := ready(0)
	p.waitLog(knows(pid))
	one, two := b.Connect("one"), b.Connect("two")
	p.waitLog(knows(pid, "one", "two"))
	one.Disconnect()
	p.waitLog(knows(pid, "two"))
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
	pid = ready(int64(pid))
	p.waitLog(knows(pid, "two")) // without anything having happened
	three := b.Connect("three")
	p.waitLog(knows(pid, "three", "two"))
	two.Disconnect()
	three.Disconnect()
	p.waitLog(knows(pid))
}
