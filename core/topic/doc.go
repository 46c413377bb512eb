// Package topic holds what MQTT says about topic names and topic filters
// (section 4.7 of MQTT 3.1.1 and MQTT 5): their syntax, matching, and the two
// structures that a broker looks them up in.
//
//   - [Tree] answers "which filters match this name?": subscriptions.
//   - [Index] answers "which names match this filter?": retained messages.
//
// A name is what a message is published to, a filter is what a subscriber
// asks for. Both are levels separated by '/'; an empty level is a level. In a
// filter the level "+" stands for any one level and a last level "#" for the
// level before it and everything below it. A wildcard in the first level
// never stands for a level that begins with '$' [MQTT-4.7.2-1].
//
// The functions take any string, well formed or not, and never panic; what
// they answer for a malformed one is said with each. No function recurses, so
// that a topic of 65,535 levels costs time but no stack. The package imports
// nothing of ours.
//
//	var t topic.Tree[string, mqtt.QoS]
//	t.Set("sensors/+/temperature", "client-1", 1)
//	t.Match("sensors/kitchen/temperature", func(filter, client string, q mqtt.QoS) bool {
//		return true // go on
//	})
package topic
