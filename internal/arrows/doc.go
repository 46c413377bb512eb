// Package arrows has no code, only tests that hold the shape of the module:
// which package may import which, for what reason, and that each one says what
// it is for. docs/architecture.md draws the same picture.
package arrows
