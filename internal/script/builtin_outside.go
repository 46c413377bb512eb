package script

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	"go.starlark.net/starlark"
)

var outsideBuiltins = []builtin{
	{
		name: "jwt_verify", params: "token, key_file, audience=None, issuer=None, leeway=\"0s\"", fn: jwtVerify,
		doc: "The claims of a JSON Web Token as a dict; `None` if it is not valid, and the log says why at the level `debug`. " +
			"The signature, `exp` (which has to be there), `nbf`, and, where given, `aud` and `iss` are checked. " +
			"`key_file` is a file in the scripts' folder: a JWK set, or a public key or certificate in PEM. " +
			"The algorithm has to be one of the key's type: RS and PS for RSA, ES of the curve for EC, EdDSA for Ed25519, HS for a secret (`kty` `oct` of a JWK set).",
	},
	{
		module: "http", name: "get", params: "url, headers={}, timeout=None", fn: httpGet,
		doc: "Fetches a URL. Returns a value with `status`, `headers` (a dict with names in lower case), `body` (bytes), `text`, and `error` (`None` if there was an answer).",
	},
	{
		module: "http", name: "post", params: "url, body=None, json=None, headers={}, timeout=None", fn: httpPost,
		doc: "Sends bytes, a text, or with `json` a value as JSON. Returns what `get` does.",
	},
}

// maxToken bounds a token.
const maxToken = 64 << 10

func jwtVerify(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var token starlark.Value
	var file string
	var audience, issuer starlark.Value = starlark.None, starlark.None
	leeway := text("0s")
	if err := starlark.UnpackArgs("jwt_verify", args, kwargs, "token", &token, "key_file", &file, "audience?", &audience, "issuer?", &issuer, "leeway?", &leeway); err != nil {
		return nil, err
	}
	if err := c.acts("jwt_verify"); err != nil {
		return nil, err
	}
	keys, err := c.set.keys.load(c.set.files, file)
	if err != nil {
		return nil, fmt.Errorf("jwt_verify: %w", err)
	}
	want := jwt.Expected{Time: c.set.now()}
	if want.Issuer, err = toText(issuer); err != nil {
		return nil, fmt.Errorf("jwt_verify: issuer: %w", err)
	}
	if audience != starlark.None {
		if want.AnyAudience, err = toTexts(audience); err != nil {
			return nil, fmt.Errorf("jwt_verify: audience: %w", err)
		}
	}
	slack, err := toDuration(leeway)
	if err != nil {
		return nil, fmt.Errorf("jwt_verify: leeway: %w", err)
	}
	raw, err := toBytes(token)
	if err != nil {
		raw = nil // whatever a client sends is no failure of the script
	}
	claims, err := verify(string(raw), keys, want, slack)
	if err != nil {
		c.set.log.DebugContext(c.ctx, "token is not valid", slog.String("script", c.place()), slog.Any("error", err))
		return starlark.None, nil
	}
	return fromJSON(claims)
}

// verify returns the claims of a valid token as JSON.
func verify(token string, keys *keySet, want jwt.Expected, leeway time.Duration) ([]byte, error) {
	if len(token) > maxToken {
		return nil, errors.New("the token is too long")
	}
	parsed, err := jwt.ParseSigned(token, keys.algorithms)
	if err != nil {
		return nil, err
	}
	var raw json.RawMessage
	var claims jwt.Claims
	err = errors.New("no key fits the token")
	for _, key := range keys.candidates(parsed.Headers[0]) {
		raw = nil
		if err = parsed.Claims(key, &raw, &claims); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if claims.Expiry == nil {
		return nil, errors.New("the token has no exp")
	}
	if err := claims.ValidateWithLeeway(want, leeway); err != nil {
		return nil, err
	}
	return raw, nil
}
