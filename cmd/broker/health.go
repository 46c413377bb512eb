package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
)

// stage is how far the life of a server has come.
type stage int32

const (
	isStarting  stage = iota // plugins start, retained messages are loaded
	isAssembled              // everything is there but the listeners
	isServing                // the listeners are open
	isStopping               // they are closed
)

// life tells others about the stage. It is read by many goroutines.
type life struct{ stage atomic.Int32 }

func (l *life) step(s stage) { l.stage.Store(int32(s)) }

func (l *life) at() stage { return stage(l.stage.Load()) }

// readier is what may say of itself that it cannot do its work now.
type readier interface {
	// Ready returns why not, or nil.
	Ready() error
}

// check is one condition of being ready.
type check struct {
	Name   string `json:"name"`
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitempty"`
}

// readiness is whether clients should be sent here.
type readiness struct {
	Ready  bool    `json:"ready"`
	Checks []check `json:"checks"`
}

// healthz says that the process lives. Nothing else may make it fail: to start
// the broker anew would help no plugin and no store.
func healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// readyz says whether clients should be sent here.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	state := s.readiness()
	code := http.StatusOK
	if !state.Ready {
		code = http.StatusServiceUnavailable
	}
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Query().Has("verbose") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(state)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = fmt.Fprintln(w, state)
}

// String is one line.
func (r readiness) String() string {
	state := "not ready"
	if r.Ready {
		state = "ready"
	}
	var why []string
	for _, c := range r.Checks {
		if c.Reason != "" {
			why = append(why, c.Name+": "+c.Reason)
		}
	}
	if len(why) == 0 {
		return state
	}
	return state + ": " + strings.Join(why, "; ")
}

// queuesCheck tells of queues that can't be read. It sends no client away, for all
// others are served.
func queuesCheck(unreadable int) check {
	return check{Name: "queues", Ready: true, Reason: fmt.Sprintf("%d cannot be read, see the log", unreadable)}
}

func (s *server) readiness() readiness {
	var out readiness
	at := s.life.at()
	listeners := check{Name: "listeners", Ready: at == isServing}
	switch at {
	case isStarting, isAssembled:
		listeners.Reason = "they are not open yet"
	case isStopping:
		listeners.Reason = "the broker is stopping"
	case isServing:
	}
	out.Checks = append(out.Checks, listeners)
	if at != isStarting { // before, the rest is being put together
		for _, p := range s.host.Plugins() {
			if !p.Required {
				continue
			}
			c := check{Name: "plugin " + p.Name, Ready: p.State == pluginhost.Ready || p.State == pluginhost.Degraded}
			if !c.Ready {
				c.Reason = "it is in the state " + p.State.String()
			}
			out.Checks = append(out.Checks, c)
		}
		if r, ok := any(s.broker).(readier); ok {
			c := check{Name: "broker", Ready: true}
			if err := r.Ready(); err != nil {
				c.Ready, c.Reason = false, err.Error()
			}
			out.Checks = append(out.Checks, c)
		}
		if s.sessions != nil {
			if n := s.sessions.Unreadable(); n > 0 {
				out.Checks = append(out.Checks, queuesCheck(n))
			}
		}
	}
	out.Ready = true
	for _, c := range out.Checks {
		out.Ready = out.Ready && c.Ready
	}
	return out
}
