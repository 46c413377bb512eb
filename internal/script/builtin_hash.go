package script

import (
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // devices use it for what is no secret
	"crypto/sha1" //nolint:gosec // likewise
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"

	"go.starlark.net/starlark"
)

var hashBuiltins = []builtin{
	hashBuiltin("sha256", sha256.New), hashBuiltin("sha512", sha512.New), hashBuiltin("sha1", sha1.New), hashBuiltin("md5", md5.New),
	hmacBuiltin("sha256", sha256.New), hmacBuiltin("sha512", sha512.New), hmacBuiltin("sha1", sha1.New),
	{
		module: "hmac", name: "equal", params: "a, b", fn: hmacEqual,
		doc: "Whether two texts or bytes are equal, in a time that does not tell how much of them is.",
	},
}

func hashBuiltin(name string, fresh func() hash.Hash) builtin {
	return builtin{
		module: "hash", name: name, params: "data, raw=False", doc: "The hash of bytes or of a text.",
		fn: func(_ *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			var data starlark.Value
			var raw bool
			if err := starlark.UnpackArgs("hash."+name, args, kwargs, "data", &data, "raw?", &raw); err != nil {
				return nil, err
			}
			return sum(fresh(), data, raw)
		},
	}
}

func hmacBuiltin(name string, fresh func() hash.Hash) builtin {
	return builtin{
		module: "hmac", name: name, params: "key, data, raw=False", doc: "The HMAC of bytes or of a text.",
		fn: func(_ *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			var key, data starlark.Value
			var raw bool
			if err := starlark.UnpackArgs("hmac."+name, args, kwargs, "key", &key, "data", &data, "raw?", &raw); err != nil {
				return nil, err
			}
			k, err := toBytes(key)
			if err != nil {
				return nil, err
			}
			return sum(hmac.New(fresh, k), data, raw)
		},
	}
}

func sum(h hash.Hash, data starlark.Value, raw bool) (starlark.Value, error) {
	b, err := toBytes(data)
	if err != nil {
		return nil, err
	}
	_, _ = h.Write(b) // never fails
	if raw {
		return octets(h.Sum(nil)), nil
	}
	return text(hex.EncodeToString(h.Sum(nil))), nil
}

func hmacEqual(_ *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var a, b starlark.Value
	if err := starlark.UnpackArgs("hmac.equal", args, kwargs, "a", &a, "b", &b); err != nil {
		return nil, err
	}
	x, err := toBytes(a)
	if err != nil {
		return nil, err
	}
	y, err := toBytes(b)
	return starlark.Bool(hmac.Equal(x, y)), err
}
