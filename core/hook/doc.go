// Package hook defines the points at which the broker can be programmed from
// outside, and the chain that runs them.
//
// There are four kinds: a [Validator] decides who may connect, an
// [Interceptor] stands in the way of messages and subscriptions, an [Observer]
// is told what happened, and a store (package retain) keeps retained messages.
// A plain Go value and an external plugin are the same to the broker: this
// package knows no process and no RPC.
//
// A refusal is a value, an error means "could not decide". What then happens
// is the hook's [Policy], never an accident.
package hook
