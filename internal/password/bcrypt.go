package password

import (
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// MaxBcryptCost is the greatest bcrypt cost that is read: some five seconds.
const MaxBcryptCost = 16

// bcryptLength is the length of every bcrypt hash: "$2b$12$", 22 characters of
// salt and 31 of hash.
const bcryptLength = 60

// bcryptMemory is the size of the state of one computation.
const bcryptMemory = 8 << 10

// bcryptAlphabet is that of bcrypt's own base64.
const bcryptAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

type bcryptDigest struct {
	stored []byte
	cost   int
}

// parseBcrypt checks all that the library only finds when it compares, or
// never does, so that a typing error is found when the file is read. Of
// passwords longer than 72 bytes bcrypt uses the first 72.
func parseBcrypt(stored string) (digest, error) {
	if len(stored) != bcryptLength || stored[3] != '$' || stored[6] != '$' {
		return nil, malformed("bcrypt hashes have 60 characters and look like $2b$12$...")
	}
	switch stored[2] {
	case 'a', 'b', 'y':
	case 'x':
		return nil, malformed("$2x$ marks hashes of a faulty bcrypt; make a new one")
	default:
		return nil, malformed("of bcrypt $2a$, $2b$ and $2y$ are accepted")
	}
	cost, ok := parseDecimal2(stored[4:6])
	switch {
	case !ok || cost < bcrypt.MinCost:
		return nil, malformed("bcrypt's cost must be two digits, 04 or more")
	case cost > MaxBcryptCost:
		return nil, tooExpensive("bcrypt cost %d, at most %d is accepted", cost, MaxBcryptCost)
	}
	if strings.Trim(stored[7:], bcryptAlphabet) != "" {
		return nil, malformed("bcrypt's salt or hash has an illegal character")
	}
	return &bcryptDigest{stored: []byte(stored), cost: cost}, nil
}

func (b *bcryptDigest) scheme() Scheme { return Bcrypt }
func (b *bcryptDigest) memory() int64  { return bcryptMemory }
func (b *bcryptDigest) params() string { return fmt.Sprintf("cost=%d", b.cost) }

func (b *bcryptDigest) verify(password []byte) bool {
	return bcrypt.CompareHashAndPassword(b.stored, password) == nil
}
