// Package interceptor logs what passes the broker and changes it by rules; it
// is all of the plugin interceptlog.
//
// The two halves are independent. The log is an observer: the broker tells it
// what happened, after it happened, and nobody waits for it. The rules are an
// interceptor: the broker waits for the verdict, so rules are compiled once,
// the broker is told for which topics there are any, and no other message
// reaches the plugin.
//
// The parts of the rules: compileRules turns a [Config] into rules, a rule has
// a matcher and actions, an action changes a subject. The parts of the log:
// fieldFuncs, what is written of an event; tap and sink, where it is written.
// The plugin's README.md describes the configuration.
package interceptor
