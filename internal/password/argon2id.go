package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Bounds on the parameters of argon2id, both of hashes that are made and of
// those that are read. A stored hash is input like any other: without bounds
// one line in a file could take all memory at every login.
const (
	// MaxMemory is the most memory in bytes that checking one hash may take.
	MaxMemory = 1 << 30
	// MaxTime is the greatest number of argon2 passes over the memory.
	MaxTime = 64
	// MaxThreads is the greatest argon2 parallelism.
	MaxThreads = 64
	// maxWork bounds memory times passes, in KiB: some four seconds.
	maxWork = 4 << 20

	minSalt, maxSalt = 8, 64
	minKey, maxKey   = 16, 64
)

const argon2idPrefix = "$argon2id$"

// Params is what a new hash shall cost. Zero fields have the value of
// [DefaultParams]. What is chosen is stored in the hash, so that it can be
// changed at any time for hashes made later.
type Params struct {
	// Memory in KiB, at least 8 per thread, at most MaxMemory/1024.
	Memory uint32
	// Time is the number of passes, 1 to MaxTime.
	Time uint32
	// Threads is the parallelism, 1 to MaxThreads. It is part of the hash: the
	// same password with another value gives another hash.
	Threads uint8
}

// DefaultParams returns the parameters that OWASP names for argon2id where
// many log in: 19 MiB, two passes, one thread. A broker whose clients all
// reconnect at once checks thousands of passwords; more memory than this makes
// the storm longer before it makes guessing much harder.
func DefaultParams() Params { return Params{Memory: 19 * 1024, Time: 2, Threads: 1} }

// Validate returns nil if [Hash] accepts the parameters, and else what is
// wrong with them.
func (p Params) Validate() error { return p.withDefaults().check() }

func (p Params) withDefaults() Params {
	d := DefaultParams()
	if p.Memory == 0 {
		p.Memory = d.Memory
	}
	if p.Time == 0 {
		p.Time = d.Time
	}
	if p.Threads == 0 {
		p.Threads = d.Threads
	}
	return p
}

func (p Params) check() error {
	switch {
	case p.Threads < 1 || p.Threads > MaxThreads:
		return malformed(fmt.Sprintf("argon2id parallelism must be 1 to %d", MaxThreads))
	case p.Time < 1:
		return malformed("argon2id needs at least one pass")
	case p.Memory < 8*uint32(p.Threads):
		return malformed("argon2id memory must be at least 8 KiB for each thread")
	case p.Time > MaxTime:
		return tooExpensive("more than %d passes", MaxTime)
	case p.Memory > MaxMemory/1024:
		return tooExpensive("more than %d KiB of memory", MaxMemory/1024)
	case uint64(p.Memory)*uint64(p.Time) > maxWork:
		return tooExpensive("memory times passes is more than %d KiB", maxWork)
	}
	return nil
}

// Hash makes the argon2id hash of a password with a new random salt, as a PHC
// string: "$argon2id$v=19$m=19456,t=2,p=1$salt$hash". An error says that the
// parameters are out of bounds. password is neither changed nor kept; it may
// be empty, which callers will want to refuse.
func Hash(password []byte, p Params) (string, error) {
	p = p.withDefaults()
	if err := p.check(); err != nil {
		return "", err
	}
	salt := make([]byte, 16)
	rand.Read(salt)
	key := argon2.IDKey(password, salt, p.Time, p.Memory, p.Threads, 32)
	return fmt.Sprintf("%sv=%d$m=%d,t=%d,p=%d$%s$%s", argon2idPrefix, argon2.Version,
		p.Memory, p.Time, p.Threads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key)), nil
}

type argon2idDigest struct {
	cost Params
	salt []byte
	key  []byte
}

func parseArgon2id(stored string) (digest, error) {
	parts := strings.Split(strings.TrimPrefix(stored, argon2idPrefix), "$")
	if len(parts) != 4 {
		return nil, malformed("argon2id hashes look like $argon2id$v=19$m=19456,t=2,p=1$salt$hash")
	}
	if parts[0] != "v="+strconv.Itoa(argon2.Version) {
		return nil, malformed("only version 19 of argon2id is accepted")
	}
	cost, err := parseArgon2idCost(parts[1])
	if err != nil {
		return nil, err
	}
	if err := cost.check(); err != nil {
		return nil, err
	}
	salt, err := decodeBase64(base64.RawStdEncoding, "salt", parts[2], minSalt, maxSalt)
	if err != nil {
		return nil, err
	}
	key, err := decodeBase64(base64.RawStdEncoding, "hash", parts[3], minKey, maxKey)
	if err != nil {
		return nil, err
	}
	return &argon2idDigest{cost: cost, salt: salt, key: key}, nil
}

// parseArgon2idCost reads "m=19456,t=2,p=1"; the order is fixed by the format.
func parseArgon2idCost(s string) (Params, error) {
	fields := strings.Split(s, ",")
	if len(fields) != 3 {
		return Params{}, malformed("argon2id parameters look like m=19456,t=2,p=1")
	}
	var n [3]uint32
	for i, name := range [3]string{"m=", "t=", "p="} {
		digits, found := strings.CutPrefix(fields[i], name)
		v, ok := parseDecimal(digits)
		if !found || !ok {
			return Params{}, malformed("argon2id parameters look like m=19456,t=2,p=1")
		}
		n[i] = v
	}
	if n[2] > MaxThreads {
		return Params{}, malformed(fmt.Sprintf("argon2id parallelism must be 1 to %d", MaxThreads))
	}
	return Params{Memory: n[0], Time: n[1], Threads: uint8(n[2])}, nil
}

func (a *argon2idDigest) scheme() Scheme { return Argon2id }

func (a *argon2idDigest) memory() int64 { return int64(a.cost.Memory) * 1024 }

func (a *argon2idDigest) params() string {
	return fmt.Sprintf("m=%d t=%d p=%d", a.cost.Memory, a.cost.Time, a.cost.Threads)
}

func (a *argon2idDigest) verify(password []byte) bool {
	key := argon2.IDKey(password, a.salt, a.cost.Time, a.cost.Memory, a.cost.Threads, uint32(len(a.key)))
	return subtle.ConstantTimeCompare(key, a.key) == 1
}
