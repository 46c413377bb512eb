// Package pluginapi is what the author of a Gatehouse plugin in Go needs: the
// interfaces of the hooks, the types that they speak, and [Serve], which makes
// a program of them.
//
// A plugin is a program that the broker starts, watches, replaces and stops.
// It implements one or more hooks, each a small interface:
//
//   - [Validator] decides who may connect and with which rights;
//   - [PublishInterceptor], [SubscribeInterceptor], [UnsubscribeInterceptor]
//     and [DeliverInterceptor] stand in the way of messages and
//     subscriptions, or [BatchInterceptor] for all of them, a batch at a time;
//   - [Observer] is told what happened;
//   - [Store] keeps retained messages.
//
// [Serve] finds by type which of them [Plugin.Hooks] has, and serves those and
// nothing else. A hook that is no more than a function is written as one, see
// [ConnectRule] and [ValidatorFunc]. Optional abilities are one-method companions: [Interester],
// [Healther], [Reconfigurer], [Stopper], [Metricser], [Authenticator],
// [Snapshotter], [Statser].
//
// Every method may be called from many goroutines at once unless it says
// otherwise. A decision is a value; an error means that none could be made, and
// the broker's policy for the hook decides instead. A context ends when nobody
// waits for the answer any more; work that is to go on after the method has
// returned needs a context of its own (context.WithoutCancel).
//
// What a hook is given is its own and may be kept, except a [Client], which is
// shared and must not be changed. A panic in a hook is an error to the broker and
// a line with its stack in the log; the plugin goes on. In a goroutine that the
// plugin started itself a panic ends the process, as always in Go, and the
// broker starts it again.
//
// Package plugintest runs plugins inside of tests, as processes, and against what
// every store has to keep.
package pluginapi
