//go:build !linux

package main

import "testing"

func completesInZsh(t *testing.T, _ string, _ *site) {
	t.Skip("terminals are made in the way of Linux")
}
