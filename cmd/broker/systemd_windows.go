package main

// inheritedSockets returns none: Windows has no systemd.
func inheritedSockets() inherited { return nil }
