// Package vectors holds the codec against packets that other implementations
// come with: the cases of mochi's packets package and those of npm's
// mqtt-packet, whose code also reads what ours writes.
package vectors
