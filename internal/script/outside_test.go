package script_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/gatehouse-mqtt/gatehouse/internal/script"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

const jwtRule = `
def on_validate_client_connection(context):
    claims = jwt_verify(context["password"], key_file = context["username"], audience = ["gatehouse", "other"], issuer = "me")
    context["result"] = "success" if claims and claims["sub"] == "anna" else "not_authorized"
`

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, claims jwt.Claims) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func pemOf(t *testing.T, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Tokens of every kind of key; and those that only look like ones.
func TestJWT(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: &ecKey.PublicKey, KeyID: "ec", Algorithm: "ES256", Use: "sig"}, {Key: &rsaKey.PublicKey, KeyID: "rsa"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{
		"rules.star": {Data: []byte(jwtRule)}, "rsa.pem": {Data: pemOf(t, &rsaKey.PublicKey)}, "ec.pem": {Data: pemOf(t, &ecKey.PublicKey)},
		"keys/ed.pem": {Data: pemOf(t, edPublic)}, "set.json": {Data: set}, "empty.json": {Data: []byte(`{"keys": []}`)},
		"short.json": {Data: []byte(`{"keys": [{"kty": "oct", "k": "c2hvcnQ"}]}`)},
	}
	s, err := script.Load(t.Context(), files, script.Options{Limits: script.Limits{ConnectTime: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(file, token string) (pluginapi.Word, error) {
		d, err := s.Connect(t.Context(), &pluginapi.Connect{Username: file, HasUsername: true, Password: []byte(token), HasPassword: true})
		if err != nil {
			return 0, err
		}
		return d.Word, nil
	}
	good := jwt.Claims{Subject: "anna", Issuer: "me", Audience: jwt.Audience{"gatehouse"}, Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour))}
	with := func(change func(*jwt.Claims)) jwt.Claims {
		c := good
		change(&c)
		return c
	}
	publicPEM := files["rsa.pem"].Data
	for _, c := range []struct {
		name, file, token string
		want              pluginapi.Word
	}{
		{"RSA", "rsa.pem", sign(t, jose.RS256, rsaKey, good), pluginapi.Allow},
		{"RSA-PSS", "rsa.pem", sign(t, jose.PS384, rsaKey, good), pluginapi.Allow},
		{"EC", "ec.pem", sign(t, jose.ES256, ecKey, good), pluginapi.Allow},
		{"Ed25519", "keys/ed.pem", sign(t, jose.EdDSA, edKey, good), pluginapi.Allow},
		{"set, EC", "set.json", sign(t, jose.ES256, jose.JSONWebKey{Key: ecKey, KeyID: "ec"}, good), pluginapi.Allow},
		{"set, RSA", "set.json", sign(t, jose.RS256, jose.JSONWebKey{Key: rsaKey, KeyID: "rsa"}, good), pluginapi.Allow},
		{"set, no kid", "set.json", sign(t, jose.RS512, rsaKey, good), pluginapi.Allow},
		{"set, another kid", "set.json", sign(t, jose.RS256, jose.JSONWebKey{Key: rsaKey, KeyID: "ec"}, good), pluginapi.Deny},
		{"another key", "ec.pem", sign(t, jose.ES256, other, good), pluginapi.Deny},
		{"the public key for a secret", "rsa.pem", sign(t, jose.HS256, publicPEM, good), pluginapi.Deny},
		{"another type", "ec.pem", sign(t, jose.RS256, rsaKey, good), pluginapi.Deny},
		{"expired", "ec.pem", sign(t, jose.ES256, ecKey, with(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(time.Now().Add(-time.Minute)) })), pluginapi.Deny},
		{"no exp", "ec.pem", sign(t, jose.ES256, ecKey, with(func(c *jwt.Claims) { c.Expiry = nil })), pluginapi.Deny},
		{"not yet", "ec.pem", sign(t, jose.ES256, ecKey, with(func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(time.Now().Add(time.Hour)) })), pluginapi.Deny},
		{"another audience", "ec.pem", sign(t, jose.ES256, ecKey, with(func(c *jwt.Claims) { c.Audience = jwt.Audience{"x"} })), pluginapi.Deny},
		{"no audience", "ec.pem", sign(t, jose.ES256, ecKey, with(func(c *jwt.Claims) { c.Audience = nil })), pluginapi.Deny},
		{"another issuer", "ec.pem", sign(t, jose.ES256, ecKey, with(func(c *jwt.Claims) { c.Issuer = "you" })), pluginapi.Deny},
		{"another subject", "ec.pem", sign(t, jose.ES256, ecKey, with(func(c *jwt.Claims) { c.Subject = "otto" })), pluginapi.Deny},
		{"none", "ec.pem", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0.", pluginapi.Deny},
		{"no token", "ec.pem", "\xff\xfe", pluginapi.Deny},
		{"a long one", "ec.pem", strings.Repeat("a", 100000), pluginapi.Deny},
	} {
		if got, err := ask(c.file, c.token); err != nil || got != c.want {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	for file, want := range map[string]string{
		"none.pem": "not exist", "../rules.star": "no file of the scripts' folder", "empty.json": "no key", "rules.star": "neither PEM nor", "short.json": "less than 32",
	} {
		if _, err := ask(file, "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Scripts reach the hosts that are permitted, directly, and no others by way of
// them.
func TestHTTP(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("elsewhere was asked") }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hello":
			fmt.Fprintf(w, "%s %s", r.Method, r.Header.Get("X-Me"))
		case "/json":
			var v struct{ User string }
			_ = json.NewDecoder(r.Body).Decode(&v)
			fmt.Fprintf(w, "%s %s", r.Header.Get("Content-Type"), v.User)
		case "/elsewhere":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		case "/here":
			http.Redirect(w, r, "/hello", http.StatusFound)
		case "/large":
			_, _ = w.Write(make([]byte, 2000))
		case "/slow":
			select {
			case <-stop:
			case <-r.Context().Done():
			}
		default:
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	o := script.Options{
		HTTP:   script.HTTP{Hosts: []string{host}, MaxBytes: 1000, Timeout: 20 * time.Second, Client: server.Client()},
		Limits: script.Limits{Time: time.Minute},
	}
	s := mustLoad(t, o, `
def on_intercept_application_message(context):
    path, how = context["topic"], context["payload_text"]
    url = path if path.startswith("http") else "http://`+host+`/" + path
    if how == "post":
        r = http.post(url, json = {"user": "anna"})
    else:
        r = http.get(url, headers = {"X-Me": "script"}, timeout = how or None)
    context["payload"] = "%d %s %s" % (r.status, r.text, r.error)
`)
	for _, c := range []struct{ path, how, want string }{
		{"hello", "", "200 GET script None"},
		{"here", "", "200 GET script None"},
		{"json", "post", "200 application/json anna None"},
		{"other", "", "418  None"},
		{"elsewhere", "", "is not permitted"},
		{"large", "", "http.max_bytes"},
		{"slow", "50ms", "0  it took too long"},
		{elsewhere.URL, "", "is not permitted"},
		{"http://user@" + host, "", "no URL with http"},
		{"https://" + host, "", ""},
		{"http://169.254.169.254/", "", "is not permitted"},
	} {
		msg := &pluginapi.Message{Topic: c.path, Payload: []byte(c.how)}
		_, err := s.Publish(t.Context(), &pluginapi.PublishCall{Message: msg})
		got := string(msg.Payload)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.path, got)
		}
	}
	server.Client().CloseIdleConnections()
}

// The small functions.
func TestBuiltins(t *testing.T) {
	s := mustLoad(t, script.Options{}, `
def check(got, want):
    if got != want: fail("it is", got, "and not", want)

def initialize():
    check(topic_matches("a/+/#", "a/b/c/d"), True)
    check(topic_matches("#", "$SYS/x"), False)
    check(topics_overlap("a/#", "+/b"), True)
    check(re.search("b(.)?", "abc"), ("bc", "c"))
    check(re.search("x", "abc"), None)
    check(re.match("b", "abc"), None)
    check(re.match("a|b", "abc"), ("a",))
    check(re.fullmatch("a|abc", "abc"), ("abc",))
    check(re.search("a(x)?", "a"), ("a", None))
    check(re.findall("[a-z]+", "a bc"), ["a", "bc"])
    check(re.findall("([a-z])([0-9])", "a1b2"), [("a", "1"), ("b", "2")])
    check(re.sub("([a-z])([0-9])", r"\2\1$", "a1b2"), "1a$2b$")
    check(re.split(", *", "a,  b"), ["a", "b"])
    check(base64.encode("\x00?>"), "AD8+")
    check(base64.encode(b"\xff\xfe", url = True), "__4")
    check(base64.decode("__4", url = True), b"\xff\xfe")
    check(base64.decode("YQ=="), b"a")
    check(base64.decode("*"), None)
    check(hash.sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    check(len(hash.md5("x", raw = True)), 16)
    check(hmac.sha256("key", "The quick brown fox jumps over the lazy dog"), "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8")
    check(hmac.equal("a", b"a"), True)
    check(json.decode(json.encode({"a": [1, None, True]})), {"a": [1, None, True]})
    check(math.floor(1.7), 1)
    check(time.parse_time("2026-03-01T00:00:00Z").unix, 1772323200)
    check(allow("a/#", "publish")["actions"], ["publish"])
    log.info("hello", n = 1)
    n = 3
    while n > 0: n -= 1
    check(n, 0)
`)
	if err := s.Initialize(t.Context()); err != nil {
		t.Error(err)
	}
}

// Scripts load others of their folder, and nothing else.
func TestLoad(t *testing.T) {
	s := mustLoad(t, script.Options{}, "load(\"lib/a.star\", \"word\")\ndef on_intercept_application_message(context):\n  context[\"payload\"] = word()\n",
		"lib/a.star", "load(\"b.star\", \"text\")\ndef word(): return text\n", "lib/b.star", "text = \"from b\"\n")
	msg := &pluginapi.Message{Topic: "t"}
	if _, err := s.Publish(t.Context(), &pluginapi.PublishCall{Message: msg}); err != nil || string(msg.Payload) != "from b" {
		t.Errorf("%q, %v", msg.Payload, err)
	}
	for text, want := range map[string]string{
		"load(\"rules.star\", \"x\")\n":      "load each other",
		"load(\"../x.star\", \"x\")\n":       "no file of the scripts' folder",
		"load(\"/etc/passwd\", \"x\")\n":     "no file of the scripts' folder",
		"load(\"none.star\", \"x\")\n":       "none.star",
		"x = []\ndef f(): x.append(1)\nf(\n": "rules.star:4:1",
	} {
		if _, err := script.Load(t.Context(), folder(text), script.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	// What was loaded is frozen.
	s = mustLoad(t, script.Options{}, "seen = []\ndef on_intercept_application_message(context):\n  seen.append(1)\n")
	if _, err := s.Publish(t.Context(), &pluginapi.PublishCall{Message: msg}); err == nil || !strings.Contains(err.Error(), "frozen") {
		t.Errorf("%v", err)
	}
}
