// Package quota counts what accounts use by day and by month, and says when they
// have used up what they were granted.
//
// A [Ledger] holds the accounts. Whoever is granted something opens a [Meter] on
// an account and takes from it, message by message; many meters may be open on
// one account, which they share. Days and months are those of the account's time
// zone. What was used is kept in a file, if there is one; what was granted is
// not: it is told anew with every meter.
package quota
