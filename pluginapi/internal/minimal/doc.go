// Command minimal is the smallest plugin that is of use: it lets one user in. It
// is here to be compiled, counted and run by tests; docs and README show it.
package main
