package pluginhost

import (
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

// State is where a plugin is in its life.
type State uint8

// The states.
//
//	Discovered -> Verified -> Starting -> Ready <-> Degraded -> Draining -> Stopped
//	                   \          \__________\_________\
//	                    Failed <-- Backoff <------------ any failure
//
// From Backoff the way goes back to Verified after a pause; from Failed once
// the plugin's files or its configuration changed.
const (
	Discovered State = iota + 1 // found, not looked at
	Verified                    // its files passed the checks
	Starting                    // its process starts, or is in Init
	Ready                       // it serves
	Degraded                    // it serves, with a limitation of which it told
	Draining                    // it finishes what it has
	Stopped                     // it was stopped, or is disabled
	Backoff                     // it failed, and will be started again
	Failed                      // it failed too often, or can't succeed as it is
)

// String names the state in lower case.
func (s State) String() string {
	names := [...]string{
		"unknown", "discovered", "verified", "starting", "ready", "degraded",
		"draining", "stopped", "backoff", "failed",
	}
	if int(s) < len(names) {
		return names[s]
	}
	return names[0]
}

// serving reports whether hooks are called in this state.
func (s State) serving() bool { return s == Ready || s == Degraded }

// Status is a reading of one plugin. It is the caller's.
type Status struct {
	Name     string
	Version  string // "" until its manifest or Init told
	Summary  string
	State    State
	Since    time.Time // when it came into State
	PID      int       // 0 if no process of the host's runs
	Socket   string    // for grpcurl; "" if it does not run
	Path     string    // its folder, program or address
	Services []string  // full names, as far as they are known
	Required bool
	Attached bool // who serves was started by somebody else
	Order    int

	Restarts  uint64    // starts after the first
	NextStart time.Time // with Backoff
	Health    string    // why it is Degraded or does not run; "" if all is well
	Failures  []Failure // the latest, oldest first
	Output    []string  // last lines that its process wrote

	// Swaps is how often one instance took over from another that ran.
	Swaps uint64
	// Replacing says that a new instance is being started beside the one that
	// serves.
	Replacing bool
	// LeavingPID and LeavingVersion are of the instance that was replaced and
	// answers what it had; 0 and "" if there is none.
	LeavingPID     int
	LeavingVersion string
	// SwapFailure is why the latest new instance did not take over, or did not
	// stay; nil if it did.
	SwapFailure *Failure
	// StandbyPID and StandbyVersion are of the instance that comes back if the
	// one that serves shows a defect before ProvenAt; 0, "" and the zero time if
	// there is none.
	StandbyPID     int
	StandbyVersion string
	ProvenAt       time.Time
	// RejectedVersion took over and lost its place again, for the reason in
	// SwapFailure; "" if the latest did not.
	RejectedVersion string

	Validator   hook.Policy // as configured; zero fields mean the hook's defaults
	Interceptor hook.Policy
	Calls       []hook.PointCount // what became of its calls
	Latencies   []hook.Latency    // how long they took, by hook and outcome
	Traffic     Traffic
}

// Bounds of a plugin's [Traffic].
const (
	MaxQueuedBytes = maxQueueBytes
	MaxFramesAway  = maxFramesAway
)

// Traffic is what went over a plugin's streams.
type Traffic trafficStats
