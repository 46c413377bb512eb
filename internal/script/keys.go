package script

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// keyFiles are the keys that scripts have asked for, by file. A set reads each
// once: when a file of the folder changes, there is another set.
type keyFiles struct {
	mu     sync.Mutex // guards the field below
	loaded map[string]*keySet
}

// keySet is what one file holds.
type keySet struct {
	keys       []verifyingKey
	algorithms []jose.SignatureAlgorithm
}

type verifyingKey struct {
	id         string
	key        any
	algorithms []jose.SignatureAlgorithm
}

func (k *keyFiles) load(files fs.FS, name string) (*keySet, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if set := k.loaded[name]; set != nil {
		return set, nil
	}
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("%q is no file of the scripts' folder", name)
	}
	data, err := read(files, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	set, err := parseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if k.loaded == nil {
		k.loaded = make(map[string]*keySet)
	}
	k.loaded[name] = set
	return set, nil
}

func parseKeys(data []byte) (*keySet, error) {
	set := new(keySet)
	if block, _ := pem.Decode(data); block != nil {
		key, err := parsePEM(block)
		if err != nil {
			return nil, err
		}
		return set, set.add(verifyingKey{key: key})
	}
	var jwks jose.JSONWebKeySet
	if err := json.Unmarshal(data, &jwks); err != nil {
		return nil, fmt.Errorf("it is neither PEM nor a JWK set: %w", err)
	}
	for _, k := range jwks.Keys {
		if k.Use != "" && k.Use != "sig" {
			continue
		}
		key := k.Key
		if _, secret := key.([]byte); !secret {
			key = k.Public().Key
		}
		v := verifyingKey{id: k.KeyID, key: key}
		if k.Algorithm != "" {
			v.algorithms = []jose.SignatureAlgorithm{jose.SignatureAlgorithm(k.Algorithm)}
		}
		if err := set.add(v); err != nil {
			return nil, err
		}
	}
	if len(set.keys) == 0 {
		return nil, errors.New("it has no key to verify signatures with; a JWK set is {\"keys\": [...]}")
	}
	return set, nil
}

func parsePEM(block *pem.Block) (any, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	}
	return nil, fmt.Errorf("PEM of the type %q is neither a public key nor a certificate", block.Type)
}

// add adds a key with the algorithms that go with its type: a token must not
// choose another, such as HS256 with a public key for its secret.
func (s *keySet) add(v verifyingKey) error {
	fit := algorithmsOf(v.key)
	if len(fit) == 0 {
		return fmt.Errorf("a key of the type %T can't verify tokens", v.key)
	}
	if len(v.algorithms) == 0 {
		v.algorithms = fit
	} else if !slices.Contains(fit, v.algorithms[0]) {
		return fmt.Errorf("the algorithm %s is not one of its key", v.algorithms[0])
	}
	if secret, ok := v.key.([]byte); ok && len(secret) < 32 {
		return errors.New("a secret of less than 32 bytes can be guessed")
	}
	s.keys = append(s.keys, v)
	for _, a := range v.algorithms {
		if !slices.Contains(s.algorithms, a) {
			s.algorithms = append(s.algorithms, a)
		}
	}
	return nil
}

// candidates are the keys that a token's header fits: those with its kid if it
// has one, and always only those for its algorithm.
func (s *keySet) candidates(h jose.Header) []any {
	var out []any
	for _, k := range s.keys {
		if h.KeyID != "" && k.id != "" && k.id != h.KeyID {
			continue
		}
		if slices.Contains(k.algorithms, jose.SignatureAlgorithm(h.Algorithm)) {
			out = append(out, k.key)
		}
	}
	return out
}

// algorithmsOf are the signature algorithms that go with a key.
func algorithmsOf(key any) []jose.SignatureAlgorithm {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return nil
		}
		return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
	case *ecdsa.PublicKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return []jose.SignatureAlgorithm{jose.ES256}
		case 384:
			return []jose.SignatureAlgorithm{jose.ES384}
		case 521:
			return []jose.SignatureAlgorithm{jose.ES512}
		}
	case ed25519.PublicKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}
	case []byte:
		return []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512}
	}
	return nil
}
