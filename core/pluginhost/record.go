package pluginhost

import (
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// record is what is known of a plugin's life. Its supervisor writes it; its
// methods may be called from many goroutines.
type record struct {
	now     func() time.Time
	changed func() // what the plugin serves may have changed; does not block

	mu       sync.Mutex // guards the fields below
	entry    found      // as it is in force; replaced, not changed
	state    State
	since    time.Time
	restarts uint64
	next     time.Time
	health   string
	failures history
	running  facts // zero if nothing runs
	out      *output
	manifest *pluginapi.Manifest      // the latest, nil if none was readable
	interest []*pluginv1.HookInterest // the latest
	init     *pluginv1.InitResponse   // the latest, nil if there was none
	swaps    swapRecord
}

// swapRecord is what is known of instances that follow each other.
type swapRecord struct {
	done    uint64
	since   time.Time // when a new one was begun to be started; zero if none is
	leaving facts     // the one that answers what it has; zero if there is none
	refused *Failure  // why the last new one was not put in place; nil if it was
	standby facts     // the one that would come back; zero if there is none
	proven  time.Time // when the one that serves will have proven itself
	lost    string    // the version that lost its place again; "" if none did
}

func newRecord(entry found, now func() time.Time, changed func()) *record {
	return &record{entry: entry, now: now, changed: changed, state: Discovered, since: now()}
}

// settings are the plugin's entry as it is in force.
func (r *record) settings() found {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entry
}

// abides takes note of the entry that is in force now.
func (r *record) abides(entry found) {
	r.mu.Lock()
	r.entry = entry
	r.mu.Unlock()
	r.changed()
}

// swapping takes note of a new instance that is begun to be started.
func (r *record) swapping() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.swaps.since = r.now()
}

// swapped takes note of how that went; nil: the new one has taken over.
func (r *record) swapped(f *Failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.swaps.since, r.swaps.refused, r.swaps.lost = time.Time{}, f, ""
	if f == nil {
		r.swaps.done++
	}
}

// standsBy takes note of the instance that would come back, and until when; nil:
// there is none any more.
func (r *record) standsBy(f *facts, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.swaps.standby, r.swaps.proven = facts{}, until
	if f != nil {
		r.swaps.standby = *f
	}
}

// rejects takes note of a version that took over and lost its place again.
func (r *record) rejects(f *Failure, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.swaps.refused, r.swaps.lost = f, version
}

// turnedDown takes note of why a running plugin goes on under its old
// configuration; nil: it has the new one.
func (r *record) turnedDown(f *Failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.swaps.refused, r.swaps.lost = f, ""
}

// refusedByLock reports whether the latest new instance was not even started,
// as when its files are not those of the lock file.
func (r *record) refusedByLock() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.swaps.refused != nil && r.swaps.refused.Kind == KindRefused
}

// leaves takes note of the instance that was replaced; nil: it is gone.
func (r *record) leaves(f *facts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.swaps.leaving = facts{}
	if f != nil {
		r.swaps.leaving = *f
	}
}

// enter changes the state of a plugin that does not serve.
func (r *record) enter(s State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.move(s, "")
	if s != Draining {
		r.running = facts{}
	}
}

// move changes the state. The caller holds mu.
func (r *record) move(s State, health string) {
	if s != r.state {
		r.state, r.since = s, r.now()
	}
	r.health, r.next = health, time.Time{}
}

// learn takes note of the manifest as it is now; nil if it can't be read.
func (r *record) learn(m *pluginapi.Manifest) {
	r.mu.Lock()
	if m != nil {
		r.manifest = m
	}
	r.mu.Unlock()
	r.changed()
}

// writes takes note of where the output of the next process goes.
func (r *record) writes(out *output) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out = out
}

func (r *record) restarted() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.restarts++
}

// ready takes note of an instance that serves.
func (r *record) ready(f facts) {
	r.mu.Lock()
	r.move(Ready, "")
	r.running = f
	r.init, r.interest = f.instance.init, f.instance.init.GetInterest()
	r.mu.Unlock()
	r.changed()
}

// feels takes note of the health of a plugin that serves, and reports whether
// its state changed by it.
func (r *record) feels(limitation string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.state.serving() {
		return false
	}
	before := r.state
	if limitation == "" {
		r.move(Ready, "")
	} else {
		r.move(Degraded, limitation)
	}
	return r.state != before
}

// failed takes note of a failure, and of when the next start is: never, if next
// is zero.
func (r *record) failed(f *Failure, next time.Time) {
	r.mu.Lock()
	r.running = facts{}
	r.failures = r.failures.with(f)
	if next.IsZero() {
		r.move(Failed, f.What)
	} else {
		r.move(Backoff, f.What)
		r.next = next
	}
	r.mu.Unlock()
	r.changed()
}

// survived takes note of a failure after which another instance took over.
func (r *record) survived(f *Failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = r.failures.with(f)
}

// lastFailure is the latest, nil if there was none.
func (r *record) lastFailure() *Failure {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.failures) == 0 {
		return nil
	}
	return r.failures[len(r.failures)-1]
}

// serves reports whether the plugin serves now.
func (r *record) serves() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.serving()
}

// latestManifest is the latest manifest, nil if none was readable.
func (r *record) latestManifest() *pluginapi.Manifest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.manifest
}

// output is where the process of the moment writes.
func (r *record) output() *output {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out
}

// listens takes note of the interest that a running plugin has now.
func (r *record) listens(interest []*pluginv1.HookInterest) {
	r.mu.Lock()
	r.interest = interest
	r.mu.Unlock()
	r.changed()
}

// latestInterest is what the plugin last asked for, nil if nothing is known.
func (r *record) latestInterest() []*pluginv1.HookInterest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.interest
}

// latestInit is the latest answer to Init, nil if there was none.
func (r *record) latestInit() *pluginv1.InitResponse {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.init
}

// served says which hooks a plugin has.
type served struct{ validator, interceptor, observer, store bool }

// services says which hooks the plugin has, as Init or else the manifest told.
// known is false if nothing did yet.
func (r *record) services() (s served, known bool) {
	names := r.serviceNames()
	return servedBy(names), names != nil
}

// servedBy says which hooks services have.
func servedBy(names []string) served {
	has := func(desc string) bool { return slices.Contains(names, desc) }
	return served{
		validator:   has(pluginv1.ConnectionValidatorService_ServiceDesc.ServiceName),
		interceptor: has(pluginv1.MessageInterceptorService_ServiceDesc.ServiceName),
		observer:    has(pluginv1.ObserverService_ServiceDesc.ServiceName),
		store:       has(pluginv1.RetainedStoreService_ServiceDesc.ServiceName),
	}
}

func (r *record) serviceNames() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.init != nil:
		return append([]string{}, r.init.GetServices()...)
	case r.manifest != nil:
		return append([]string{}, r.manifest.Services...)
	default:
		return nil
	}
}

// read fills what the record knows into a status.
func (r *record) read(s *Status) {
	s.Services = r.serviceNames()
	r.mu.Lock()
	defer r.mu.Unlock()
	s.State, s.Since = r.state, r.since
	s.Restarts, s.NextStart, s.Health = r.restarts, r.next, r.health
	s.PID, s.Socket = r.running.pid, r.running.socket
	s.Attached = r.running.instance != nil && r.running.pid == 0
	for _, f := range r.failures {
		s.Failures = append(s.Failures, *f)
	}
	if r.manifest != nil {
		s.Version, s.Summary = r.manifest.Version, r.manifest.Summary
	}
	if r.init != nil {
		s.Version = r.init.GetVersion()
	}
	s.Swaps = r.swaps.done
	s.Replacing = !r.swaps.since.IsZero()
	if in := r.swaps.leaving.instance; in != nil {
		s.LeavingPID, s.LeavingVersion = r.swaps.leaving.pid, in.init.GetVersion()
	}
	if in := r.swaps.standby.instance; in != nil {
		s.StandbyPID, s.StandbyVersion, s.ProvenAt = r.swaps.standby.pid, in.init.GetVersion(), r.swaps.proven
	}
	s.RejectedVersion = r.swaps.lost
	if r.swaps.refused != nil {
		f := *r.swaps.refused
		s.SwapFailure = &f
	}
	if r.out != nil {
		s.Output = r.out.last(tailLines)
	}
}
