// Package password makes and checks stored password hashes.
//
// It writes argon2id in the PHC string format and reads, beside it, what
// existing password files hold: bcrypt, and the two formats of
// mosquitto_passwd. [Parse] takes a stored hash apart once, with bounds on
// what it may cost to check, and the [Digest] that it returns checks passwords
// against it:
//
//	stored, err := password.Hash([]byte("secret"), password.Params{})
//	digest, err := password.Parse(stored)
//	ok := digest.Verify([]byte("secret"))
//
// The package knows nothing of users, files or MQTT, limits no concurrency
// (see [Digest.Memory]) and starts no goroutine. All of it may be used by many
// goroutines at once. Passwords are neither kept nor part of any error.
package password
