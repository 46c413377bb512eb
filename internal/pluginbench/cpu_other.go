//go:build !linux

package pluginbench

import "time"

// ownCPU is not known on this system.
func ownCPU() time.Duration { return -1 }

// cpuOf is not known on this system.
func cpuOf(int) time.Duration { return -1 }
