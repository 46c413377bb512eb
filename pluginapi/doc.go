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
// [Serve] finds by type assertion which of them the value that [Plugin.New]
// returns has, and serves those and nothing else. Optional abilities are
// one-method companions: [Interester], [Healther], [Reconfigurer], [Stopper],
// [Metricser], [Snapshotter], [Statser].
//
// Every method may be called from many goroutines at once unless it says
// otherwise. A decision is a value; an error means that none could be made,
// and the broker's policy for the hook decides instead.
package pluginapi
