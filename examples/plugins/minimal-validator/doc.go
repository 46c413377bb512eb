// Command minimal-validator is the plugin of the README: everyone may connect,
// and then use the topics below home/ that bear the client's own identifier.
package main
