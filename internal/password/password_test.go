package password_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/internal/password"
)

// Known answers: argon2id from the reference implementation's tests, bcrypt
// from Openwall's crypt_blowfish, mosquitto's computed with Python's hashlib.
var known = []struct {
	name     string
	stored   string
	password string
	scheme   password.Scheme
	text     string
	memory   int64
}{
	{
		"argon2id", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"password", password.Argon2id, "argon2id m=65536 t=2 p=1", 64 << 20,
	},
	{
		"bcrypt 2a", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"U*U", password.Bcrypt, "bcrypt cost=5", 8 << 10,
	},
	{
		"bcrypt 2y", "$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e",
		"\xff\xff\xa3", password.Bcrypt, "bcrypt cost=5", 8 << 10,
	},
	{
		"bcrypt uses 72 bytes", "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored",
		password.Bcrypt, "bcrypt cost=5", 8 << 10,
	},
	{
		"mosquitto sha512", "$6$AAECAwQFBgcICQoL$5W8GCQ9GLgmhmQvoa8jmRaPnsh82mRigdSv6mQsK0sMIII/WznlQb1g+RWddfoAKTMzBJP1deJU+Rp/1QZ0zZg==",
		"correct horse", password.MosquittoSHA512, "mosquitto sha512 iterations=1", 1 << 10,
	},
	{
		"mosquitto sha512, salt of 64", "$6$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==$29QtyxbW0Qth2GH5GN0ihmagtB/755oiG+oG0UjEg6L9UK/JDvWsZp5ejiy5IkbcHEawwhh/SPu9ZHDfEL2J9A==",
		"correct horse", password.MosquittoSHA512, "mosquitto sha512 iterations=1", 1 << 10,
	},
	{
		"mosquitto pbkdf2", "$7$101$AAECAwQFBgcICQoL$lp0Cm29zl+CI/RXyXDKvLye7OxM3OuE6RMzgXTX/f3imS/pFh2Ur7yarLDpKRUKpB0tOj6l0UrRv41zqxmD4tg==",
		"correct horse", password.MosquittoPBKDF2, "mosquitto pbkdf2-sha512 iterations=101", 1 << 10,
	},
	{
		"mosquitto pbkdf2, salt of 64", "$7$1000$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==$53KiEygVzVVEVUVTe4h79yMtYp0OxxoKFip82vf7OCrEbcm4/E88oGkCyN0NhQ7fLOSBIpiITuELG/0ldDPFMQ==",
		"correct horse", password.MosquittoPBKDF2, "mosquitto pbkdf2-sha512 iterations=1000", 1 << 10,
	},
}

func TestKnownAnswers(t *testing.T) {
	for _, tc := range known {
		t.Run(tc.name, func(t *testing.T) {
			d, err := password.Parse(tc.stored)
			if err != nil {
				t.Fatal(err)
			}
			if !d.Verify([]byte(tc.password)) {
				t.Error("the right password is refused")
			}
			for _, wrong := range []string{"", "x" + tc.password, tc.password[1:], strings.ToUpper(tc.password) + "?"} {
				if d.Verify([]byte(wrong)) {
					t.Errorf("%q is accepted", wrong)
				}
			}
			if got := d.Scheme(); got != tc.scheme {
				t.Errorf("Scheme() = %q, want %q", got, tc.scheme)
			}
			if got := d.Memory(); got != tc.memory {
				t.Errorf("Memory() = %d, want %d", got, tc.memory)
			}
			for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
				if got := fmt.Sprintf(verb, d); got != tc.text {
					t.Errorf("printed with %s it is %q, want %q", verb, got, tc.text)
				}
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	const (
		salt = "c29tZXNhbHQ"
		key  = "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
		blow = "CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
		msum = "lp0Cm29zl+CI/RXyXDKvLye7OxM3OuE6RMzgXTX/f3imS/pFh2Ur7yarLDpKRUKpB0tOj6l0UrRv41zqxmD4tg=="
	)
	for _, tc := range []struct {
		name   string
		stored string
		want   error
		says   string
	}{
		{"empty", "", password.ErrUnknownScheme, "are known"},
		{"plain password", "hunter2", password.ErrUnknownScheme, "are known"},
		{"md5 crypt", "$1$abc$def", password.ErrUnknownScheme, "are known"},
		{"leading space", " $2a$05$" + blow, password.ErrUnknownScheme, "are known"},
		{"argon2i", "$argon2i$v=19$m=65536,t=2,p=1$" + salt + "$" + key, password.ErrUnknownScheme, "only argon2id"},
		{"argon2d", "$argon2d$v=19$m=65536,t=2,p=1$" + salt + "$" + key, password.ErrUnknownScheme, "only argon2id"},

		{"argon2id, one part missing", "$argon2id$v=19$m=65536,t=2,p=1$" + salt, password.ErrMalformed, "look like"},
		{"argon2id, one part more", "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$" + key + "$", password.ErrMalformed, "look like"},
		{"argon2id, version 16", "$argon2id$v=16$m=65536,t=2,p=1$" + salt + "$" + key, password.ErrMalformed, "version 19"},
		{"argon2id, no version", "$argon2id$m=65536,t=2,p=1$" + salt + "$" + key, password.ErrMalformed, "look like"},
		{"argon2id, order", "$argon2id$v=19$t=2,m=65536,p=1$" + salt + "$" + key, password.ErrMalformed, "parameters"},
		{"argon2id, two parameters", "$argon2id$v=19$m=65536,t=2$" + salt + "$" + key, password.ErrMalformed, "parameters"},
		{"argon2id, sign", "$argon2id$v=19$m=+65536,t=2,p=1$" + salt + "$" + key, password.ErrMalformed, "parameters"},
		{"argon2id, leading zero", "$argon2id$v=19$m=065536,t=2,p=1$" + salt + "$" + key, password.ErrMalformed, "parameters"},
		{"argon2id, overflow", "$argon2id$v=19$m=4294967296,t=2,p=1$" + salt + "$" + key, password.ErrMalformed, "parameters"},
		{"argon2id, no pass", "$argon2id$v=19$m=65536,t=0,p=1$" + salt + "$" + key, password.ErrMalformed, "one pass"},
		{"argon2id, no thread", "$argon2id$v=19$m=65536,t=2,p=0$" + salt + "$" + key, password.ErrMalformed, "parallelism"},
		{"argon2id, threads beyond a byte", "$argon2id$v=19$m=65536,t=2,p=257$" + salt + "$" + key, password.ErrMalformed, "parallelism"},
		{"argon2id, memory below threads", "$argon2id$v=19$m=15,t=2,p=2$" + salt + "$" + key, password.ErrMalformed, "8 KiB"},
		{"argon2id, 4 TiB", "$argon2id$v=19$m=4294967295,t=1,p=1$" + salt + "$" + key, password.ErrTooExpensive, "memory"},
		{"argon2id, just over 1 GiB", "$argon2id$v=19$m=1048577,t=1,p=1$" + salt + "$" + key, password.ErrTooExpensive, "memory"},
		{"argon2id, passes", "$argon2id$v=19$m=64,t=65,p=1$" + salt + "$" + key, password.ErrTooExpensive, "64 passes"},
		{"argon2id, memory times passes", "$argon2id$v=19$m=1048576,t=5,p=1$" + salt + "$" + key, password.ErrTooExpensive, "times"},
		{"argon2id, salt short", "$argon2id$v=19$m=65536,t=2,p=1$AAAA$" + key, password.ErrMalformed, "the salt has 3 bytes"},
		{"argon2id, salt long", "$argon2id$v=19$m=65536,t=2,p=1$" + strings.Repeat("A", 1000) + "$" + key, password.ErrMalformed, "the salt is longer"},
		{"argon2id, key short", "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$AAAA", password.ErrMalformed, "the hash has 3 bytes"},
		{"argon2id, padded", "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "=$" + key, password.ErrMalformed, "not base64"},
		{"argon2id, line break", "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$" + key[:4] + "\n" + key[4:], password.ErrMalformed, "not base64"},
		{"argon2id, stray bits", "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$" + key[:len(key)-1] + "d", password.ErrMalformed, "not base64"},

		{"bcrypt, short", "$2a$05$" + blow[1:], password.ErrMalformed, "60 characters"},
		{"bcrypt, long", "$2a$05$" + blow + "a", password.ErrMalformed, "60 characters"},
		{"bcrypt, 2x", "$2x$05$" + blow, password.ErrMalformed, "faulty"},
		{"bcrypt, 2c", "$2c$05$" + blow, password.ErrMalformed, "accepted"},
		{"bcrypt, no letter", "$2$05$" + blow + "a", password.ErrMalformed, "60 characters"},
		{"bcrypt, cost letters", "$2a$xx$" + blow, password.ErrMalformed, "two digits"},
		{"bcrypt, cost 3", "$2a$03$" + blow, password.ErrMalformed, "two digits"},
		{"bcrypt, cost 17", "$2a$17$" + blow, password.ErrTooExpensive, "cost 17"},
		{"bcrypt, cost 31", "$2a$31$" + blow, password.ErrTooExpensive, "cost 31"},
		{"bcrypt, character", "$2a$05$" + blow[:20] + "=" + blow[21:], password.ErrMalformed, "illegal character"},

		{"sha512, no hash", "$6$AAECAwQFBgcICQoL", password.ErrMalformed, "look like"},
		{"sha512, hash short", "$6$AAECAwQFBgcICQoL$AAAA", password.ErrMalformed, "the hash has 3 bytes"},
		{"sha512, crypt(3)", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1", password.ErrMalformed, "crypt(3)"},
		{"sha512, crypt(3) with rounds", "$6$rounds=5000$salt$" + msum[:86], password.ErrMalformed, "crypt(3)"},
		{"pbkdf2, no iterations", "$7$AAECAwQFBgcICQoL$" + msum, password.ErrMalformed, "look like"},
		{"pbkdf2, zero", "$7$0$AAECAwQFBgcICQoL$" + msum, password.ErrMalformed, "iterations"},
		{"pbkdf2, negative", "$7$-1$AAECAwQFBgcICQoL$" + msum, password.ErrMalformed, "iterations"},
		{"pbkdf2, two thousand million", "$7$2000000000$AAECAwQFBgcICQoL$" + msum, password.ErrTooExpensive, "2000000000 iterations"},
		{"pbkdf2, salt short", "$7$101$AAEC$" + msum, password.ErrMalformed, "the salt has 3 bytes"},
		{"pbkdf2, salt long", "$7$101$" + strings.Repeat("AAAA", 100) + "$" + msum, password.ErrMalformed, "the salt is longer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := password.Parse(tc.stored)
			if !errors.Is(err, tc.want) {
				t.Fatalf("error is %v, want %v", err, tc.want)
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %q does not say %q", err, tc.says)
			}
			if len(tc.stored) > 12 && strings.Contains(err.Error(), tc.stored[8:]) {
				t.Errorf("error %q repeats the hash", err)
			}
			if d != (password.Digest{}) {
				t.Errorf("digest is %v beside an error", d)
			}
			if ok, err := password.Verify(tc.stored, nil); ok || !errors.Is(err, tc.want) {
				t.Errorf("Verify = %v, %v", ok, err)
			}
		})
	}
}

func TestHashRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "password")
		p := password.Params{
			Memory:  rapid.Uint32Range(32, 128).Draw(t, "memory"),
			Time:    rapid.Uint32Range(1, 3).Draw(t, "time"),
			Threads: uint8(rapid.IntRange(1, 4).Draw(t, "threads")),
		}
		stored, err := password.Hash(secret, p)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := password.Verify(stored, secret); err != nil || !ok {
			t.Fatalf("Verify(%s) = %v, %v", stored, ok, err)
		}
		if ok, _ := password.Verify(stored, append(secret, 0)); ok {
			t.Fatal("a longer password is accepted")
		}
	})
}

func TestHashDefaultsAndSalts(t *testing.T) {
	first, err := password.Hash([]byte("secret"), password.Params{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(first, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash with default parameters is %s", first)
	}
	second, err := password.Hash([]byte("secret"), password.Params{})
	if err != nil {
		t.Fatal(err)
	}
	if first == second {
		t.Error("two hashes of one password are the same: no salt")
	}
}

func TestHashRefusesParameters(t *testing.T) {
	for _, tc := range []struct {
		params password.Params
		want   error
	}{
		{password.Params{Memory: 1<<20 + 1, Time: 1}, password.ErrTooExpensive},
		{password.Params{Memory: 64, Time: 65}, password.ErrTooExpensive},
		{password.Params{Memory: 1 << 20, Time: 5}, password.ErrTooExpensive},
		{password.Params{Memory: 7}, password.ErrMalformed},
		{password.Params{Memory: 64, Threads: 9}, password.ErrMalformed},
		{password.Params{Threads: 65}, password.ErrMalformed},
	} {
		if _, err := password.Hash([]byte("secret"), tc.params); !errors.Is(err, tc.want) {
			t.Errorf("Hash with %+v: %v, want %v", tc.params, err, tc.want)
		}
		if err := tc.params.Validate(); !errors.Is(err, tc.want) {
			t.Errorf("%+v.Validate() = %v, want %v", tc.params, err, tc.want)
		}
	}
	if err := (password.Params{}).Validate(); err != nil {
		t.Errorf("the zero parameters are refused: %v", err)
	}
}

func TestZeroDigest(t *testing.T) {
	var d password.Digest
	if d.Verify(nil) || d.Verify([]byte("x")) || d.Memory() != 0 || d.Scheme() != "" || d.String() != "no password" {
		t.Errorf("the zero digest is %v, %q, %d", d, d.Scheme(), d.Memory())
	}
}

func FuzzParse(f *testing.F) {
	for _, tc := range known {
		f.Add(tc.stored)
	}
	f.Add("$2a$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
	f.Add("$argon2id$v=19$m=4294967295,t=4294967295,p=255$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, stored string) {
		d, err := password.Parse(stored)
		if err != nil {
			if !errors.Is(err, password.ErrMalformed) && !errors.Is(err, password.ErrTooExpensive) && !errors.Is(err, password.ErrUnknownScheme) {
				t.Fatalf("unclassified error %v", err)
			}
			return
		}
		if d.Memory() > password.MaxMemory {
			t.Fatalf("%s takes %d bytes", d, d.Memory())
		}
		if cost := d.String(); strings.HasSuffix(cost, " t=1 p=1") && d.Memory() < 1<<20 || strings.HasSuffix(cost, "cost=4") {
			d.Verify([]byte(stored)) // must not panic; only the cheap are tried
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	stored, err := password.Hash([]byte("correct horse"), password.Params{})
	if err != nil {
		b.Fatal(err)
	}
	hashes := []struct{ name, stored string }{
		{"argon2id-default", stored},
		{"argon2id-64MiB", known[0].stored},
		{"bcrypt-10", "$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga"},
		{"mosquitto-sha512", known[4].stored},
		{"mosquitto-pbkdf2-1000", known[7].stored},
	}
	for _, h := range hashes {
		b.Run(h.name, func(b *testing.B) {
			d, err := password.Parse(h.stored)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				d.Verify([]byte("a wrong password"))
			}
		})
	}
}
