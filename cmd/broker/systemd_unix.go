//go:build unix

package main

import "github.com/coreos/go-systemd/v22/activation"

// inheritedSockets are the sockets that systemd opened for the broker, by the
// names that their units give them. The environment is cleared, so that no
// plugin takes them for its own.
func inheritedSockets() inherited {
	named, err := activation.ListenersWithNames()
	if err != nil {
		return nil
	}
	list := make(inherited)
	for name, sockets := range named {
		for _, l := range sockets {
			if l != nil { // a socket for datagrams, or a pipe
				list[name] = append(list[name], l)
			}
		}
	}
	return list
}
