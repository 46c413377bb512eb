// Package forge makes a plugin of its sources and puts it into a plugin
// directory, for as long as its author works on it.
//
// A plugin in Go is built, one in Python or for Node is checked; each is asked to
// describe itself, and what it says becomes its manifest. Only what passed all
// that is installed, in a way that a broker which watches the directory never
// sees half of it.
package forge
