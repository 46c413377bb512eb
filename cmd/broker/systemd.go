package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// inherited are the sockets with which the broker was started, by name. A name
// may have several.
type inherited map[string][]net.Listener

// take hands out a socket of a name, once.
func (in inherited) take(name string) (net.Listener, error) {
	list := in[name]
	if len(list) == 0 {
		if len(in) == 0 {
			return nil, fmt.Errorf("systemd has passed no sockets; it should be started by a .socket unit with FileDescriptorName=%s", name)
		}
		return nil, fmt.Errorf("systemd has passed no (more) socket %q; there are %s", name,
			strings.Join(slices.Sorted(maps.Keys(in)), ", "))
	}
	in[name] = list[1:]
	return list[0], nil
}

// supervisor is who started the broker, where it wants to be told how it does:
// systemd with Type=notify or notify-reload. Without one nothing happens.
type supervisor struct{ log *slog.Logger }

func (v supervisor) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		v.log.Warn("systemd can't be told how the broker does", "error", err)
	}
}

func (v supervisor) ready()    { v.tell(daemon.SdNotifyReady) }
func (v supervisor) stopping() { v.tell(daemon.SdNotifyStopping) }
func (v supervisor) reloading() {
	v.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// watch tells systemd that the broker is alive, as often as it wants to hear,
// until ctx ends. alive has to return in time.
func (v supervisor) watch(ctx context.Context, alive func()) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return
	}
	t := time.NewTicker(every / 2)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			alive()
			v.tell(daemon.SdNotifyWatchdog)
		}
	}
}
