package password

import (
	"crypto/pbkdf2"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
)

// MaxIterations is the greatest number of PBKDF2 iterations that is read: some
// two seconds. mosquitto_passwd writes 101 or 1000.
const MaxIterations = 2_000_000

// mosquittoMemory stands for the little that SHA-512 needs.
const mosquittoMemory = 1 << 10

// mosquitto writes salts of 12 bytes, since version 2.1 of 64.
const minMosquittoSalt, maxMosquittoSalt = 8, 128

type mosquittoSHA512 struct {
	salt, sum []byte
}

// parseMosquittoSHA512 reads "$6$salt$hash", SHA-512 of the password followed
// by the salt. crypt(3) uses the same mark for something else, in an alphabet
// of its own and with a hash of 86 characters.
func parseMosquittoSHA512(stored string) (digest, error) {
	salt, hash, found := strings.Cut(strings.TrimPrefix(stored, "$6$"), "$")
	switch {
	case !found:
		return nil, malformed("mosquitto's SHA-512 hashes look like $6$salt$hash")
	case strings.Contains(hash, "$") || len(hash) == 86:
		return nil, malformed("this $6$ hash is one of crypt(3); only those of mosquitto_passwd are accepted")
	}
	m := &mosquittoSHA512{}
	var err error
	if m.salt, m.sum, err = decodeMosquitto(salt, hash); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *mosquittoSHA512) scheme() Scheme { return MosquittoSHA512 }
func (m *mosquittoSHA512) memory() int64  { return mosquittoMemory }
func (m *mosquittoSHA512) params() string { return "iterations=1" }

func (m *mosquittoSHA512) verify(password []byte) bool {
	h := sha512.New()
	h.Write(password)
	h.Write(m.salt)
	return subtle.ConstantTimeCompare(h.Sum(nil), m.sum) == 1
}

type mosquittoPBKDF2 struct {
	iterations int
	salt, key  []byte
}

// parseMosquittoPBKDF2 reads "$7$iterations$salt$hash", PBKDF2 with
// HMAC-SHA-512.
func parseMosquittoPBKDF2(stored string) (digest, error) {
	parts := strings.Split(strings.TrimPrefix(stored, "$7$"), "$")
	if len(parts) != 3 {
		return nil, malformed("mosquitto's PBKDF2 hashes look like $7$iterations$salt$hash")
	}
	iterations, ok := parseDecimal(parts[0])
	switch {
	case !ok || iterations < 1:
		return nil, malformed("the number of iterations must be a positive number")
	case iterations > MaxIterations:
		return nil, tooExpensive("%d iterations, at most %d are accepted", iterations, MaxIterations)
	}
	m := &mosquittoPBKDF2{iterations: int(iterations)}
	var err error
	if m.salt, m.key, err = decodeMosquitto(parts[1], parts[2]); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *mosquittoPBKDF2) scheme() Scheme { return MosquittoPBKDF2 }
func (m *mosquittoPBKDF2) memory() int64  { return mosquittoMemory }
func (m *mosquittoPBKDF2) params() string { return fmt.Sprintf("iterations=%d", m.iterations) }

func (m *mosquittoPBKDF2) verify(password []byte) bool {
	key, err := pbkdf2.Key(sha512.New, string(password), m.salt, m.iterations, len(m.key))
	return err == nil && subtle.ConstantTimeCompare(key, m.key) == 1
}

func decodeMosquitto(salt, hash string) (s, h []byte, err error) {
	if s, err = decodeBase64(base64.StdEncoding, "salt", salt, minMosquittoSalt, maxMosquittoSalt); err != nil {
		return nil, nil, err
	}
	if h, err = decodeBase64(base64.StdEncoding, "hash", hash, sha512.Size, sha512.Size); err != nil {
		return nil, nil, err
	}
	return s, h, nil
}
