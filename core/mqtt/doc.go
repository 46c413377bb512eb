// Package mqtt is the vocabulary that every other package of the broker
// speaks: messages, quality of service, protocol versions and reason codes.
//
// It knows neither packets on a wire nor connections, and it imports nothing
// of ours. A [Message] is what a publisher meant; how it travels is the
// business of package packet.
package mqtt
