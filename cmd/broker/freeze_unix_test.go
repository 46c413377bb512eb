//go:build unix

package main

import "syscall"

// freeze stops a plugin's process, which then answers nobody, until the test
// ends.
func (p *proc) freeze(plugin string) {
	p.t.Helper()
	pid := int(p.plugin(plugin).GetPid())
	if pid <= 0 {
		p.t.Fatalf("plugin %s does not run: %s", plugin, p.plugin(plugin).GetLastFailure())
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
}
