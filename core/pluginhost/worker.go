package pluginhost

import (
	"context"
	"log/slog"
	"time"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// worker is a running plugin as its supervisor sees it. One goroutine at a time
// calls it.
type worker interface {
	// facts are what is known of it; they do not change.
	facts() facts
	// expose gives it the stable name under which people find its socket.
	expose()
	// drain lets it finish what it has. It is bounded.
	drain(ctx context.Context)
	// stop ends it, gently if it lets itself be, at once when ctx ends. It
	// returns when it is gone.
	stop(ctx context.Context)
	// autopsy ends whatever is left of it and says why its instance ended.
	autopsy() *Failure
}

// facts describe a running plugin.
type facts struct {
	instance *instance
	pid      int    // 0 if somebody else runs it
	socket   string // stable path, for people
	program  string
	// guest is the socket of an instance that came by attach.json, as those do
	// that run under a debugger; "" for all others.
	guest string
}

// start is what a launch needs to know.
type start struct {
	found
	*verified
	log *slog.Logger // carries the attribute plugin
	out *output

	service *hostService // nil before its directory is claimed
}

// fail makes a failure of the plugin.
func (s *start) fail(now time.Time, kind FailureKind, what, do string) *Failure {
	return &Failure{Plugin: s.Name, Kind: kind, What: what, Do: do, Time: now}
}

// apiPackages are the proto packages that the host speaks, best first.
var apiPackages = []string{"gatehouse.plugin.v1"}

// hookServices are the services that the host knows how to use.
var hookServices = []string{
	pluginv1.ConnectionValidatorService_ServiceDesc.ServiceName,
	pluginv1.MessageInterceptorService_ServiceDesc.ServiceName,
	pluginv1.ObserverService_ServiceDesc.ServiceName,
	pluginv1.RetainedStoreService_ServiceDesc.ServiceName,
}
