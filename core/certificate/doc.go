// Package certificate keeps the certificates of a TLS listener: it reads them
// from files, follows the files as they change, and decides about the
// certificates of clients.
//
// A [Store] never serves half of a change: what can't be read, or does not fit
// together, leaves what was in use before. Connections that exist are not
// touched by a change.
//
// The package also issues certificates, for development and tests.
package certificate
