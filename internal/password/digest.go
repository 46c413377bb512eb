package password

import (
	"errors"
	"fmt"
	"strings"
)

// The reasons for which [Parse] refuses a hash. What it returns wraps one of
// them and never repeats the hash itself.
var (
	// ErrUnknownScheme says that the string begins like no known hash. A plain
	// password gives this.
	ErrUnknownScheme = errors.New("no known kind of password hash")
	// ErrMalformed says that the hash is of a known kind but cannot be read.
	ErrMalformed = errors.New("malformed password hash")
	// ErrTooExpensive says that checking the hash would take more memory or
	// time than this package spends; see the Max constants.
	ErrTooExpensive = errors.New("password hash is too expensive to check")
)

// Scheme names an algorithm.
type Scheme string

// The schemes.
const (
	Argon2id         Scheme = "argon2id"
	Bcrypt           Scheme = "bcrypt"
	MosquittoSHA512  Scheme = "mosquitto sha512"        // $6$
	MosquittoPBKDF2  Scheme = "mosquitto pbkdf2-sha512" // $7$
	knownSchemesText        = "argon2id ($argon2id$), bcrypt ($2a$, $2b$, $2y$) and mosquitto's $6$ and $7$ are known"
)

// digest is one algorithm with the parameters of one stored hash.
type digest interface {
	scheme() Scheme
	verify(password []byte) bool
	memory() int64
	params() string
}

// Digest is a stored password hash, taken apart. The zero Digest matches no
// password. Digests are values, are not changed once made, and print their
// scheme and parameters but never salt or hash.
type Digest struct {
	d digest
}

// Parse takes a stored hash apart. The error wraps [ErrUnknownScheme],
// [ErrMalformed] or [ErrTooExpensive]; a hash that it accepts costs at most
// [MaxMemory] and a few seconds of one processor to check, whoever wrote it.
func Parse(stored string) (Digest, error) {
	var (
		d   digest
		err error
	)
	switch {
	case strings.HasPrefix(stored, argon2idPrefix):
		d, err = parseArgon2id(stored)
	case strings.HasPrefix(stored, "$2"):
		d, err = parseBcrypt(stored)
	case strings.HasPrefix(stored, "$6$"):
		d, err = parseMosquittoSHA512(stored)
	case strings.HasPrefix(stored, "$7$"):
		d, err = parseMosquittoPBKDF2(stored)
	case strings.HasPrefix(stored, "$argon2i$"), strings.HasPrefix(stored, "$argon2d$"):
		err = fmt.Errorf("%w: of the argon2 family only argon2id is accepted", ErrUnknownScheme)
	default:
		err = fmt.Errorf("%w: %s", ErrUnknownScheme, knownSchemesText)
	}
	if err != nil {
		return Digest{}, err
	}
	return Digest{d: d}, nil
}

// Verify reports whether stored is the hash of password. It is for a single
// check; who checks often keeps the [Digest]. Errors are those of [Parse].
func Verify(stored string, password []byte) (bool, error) {
	d, err := Parse(stored)
	if err != nil {
		return false, err
	}
	return d.Verify(password), nil
}

// Verify reports whether password is the one that was hashed. It takes as long
// for a wrong password as for the right one, and that is meant to be long:
// callers bound how many run at once. password is neither changed nor kept.
func (d Digest) Verify(password []byte) bool {
	return d.d != nil && d.d.verify(password)
}

// Memory returns the bytes that one call of [Digest.Verify] takes for as long
// as it runs.
func (d Digest) Memory() int64 {
	if d.d == nil {
		return 0
	}
	return d.d.memory()
}

// Scheme returns the algorithm; "" for the zero Digest.
func (d Digest) Scheme() Scheme {
	if d.d == nil {
		return ""
	}
	return d.d.scheme()
}

// String returns scheme and parameters, such as "argon2id m=19456 t=2 p=1":
// what a check costs, and nothing that helps to guess the password.
func (d Digest) String() string {
	if d.d == nil {
		return "no password"
	}
	return string(d.d.scheme()) + " " + d.d.params()
}

// GoString is [Digest.String], so that %#v shows no hash either.
func (d Digest) GoString() string { return d.String() }

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }

func tooExpensive(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrTooExpensive, fmt.Sprintf(format, args...))
}
