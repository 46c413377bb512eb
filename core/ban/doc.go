// Package ban keeps who may not connect: client identifiers, user names,
// addresses and networks, each with a reason and for a while or for ever.
//
// The list is looked at for every connection, by many goroutines; what it takes
// to answer does not grow with its length. A list that has a file keeps there
// what people have banned. What the broker bans by itself is gone when it ends.
package ban
