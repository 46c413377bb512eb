// Package docs has no code, only tests that hold the documentation to what it
// is about: the keys of the configuration file, and files that are linked to.
package docs
