// Package pluginhost runs plugins: separate processes that the broker starts,
// watches, restarts and asks over gRPC.
//
// A [Host] finds plugins in a directory and in its configuration, launches
// them, keeps them running, and offers what they serve as the hooks of package
// hook and the store of package retain. The broker cannot tell such a hook from
// a Go value.
//
//	discover -> launch -> handshake -> Init -> Ready -> (facades) -> hook.Hooks
//
// Two halves meet in the seam (seam.go). One looks after processes: discovery,
// the runner below go-plugin, the log pump, the supervisor's state machine and
// the run directory. The other turns calls of hooks into frames and back: the
// facades. Facades know no process, and the process half knows no hook.
//
// The package applies no policy to a call that could not be decided. A facade
// returns an error that wraps one of package hook's, and the chain there does
// what the hook's policy says.
package pluginhost
