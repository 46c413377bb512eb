// Package scaffold makes the folder with which a plugin begins: it builds, runs,
// has a configuration, a test that passes, a README and a Makefile, for each kind
// of plugin in each language.
//
// Plugins in Python and for Node get the helper folder of the example plugins.
// What is made does not depend on this package, nor on where the broker lies,
// but for one thing: as long as the broker is a development build, a plugin in Go
// takes its SDK from the broker's checkout.
package scaffold
