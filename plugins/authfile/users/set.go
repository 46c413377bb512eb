package users

import (
	"errors"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/internal/password"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Set is what a users file says. It is never changed; any number of goroutines
// may use it.
type Set struct {
	byName    map[string]*User
	anonymous *User
	certified []*User // who need nothing but a certificate, in the order of the file
	digests   []password.Digest
	warnings  []Problem
}

// User is one user with everything that rules it. It must not be changed.
type User struct {
	Name string // "" is the anonymous user
	// Password counts if HasPassword; a user without one needs a certificate.
	Password    password.Digest
	HasPassword bool
	Disabled    bool

	// Grants is what the user may do, roles included; never nil, so that a
	// user without rules may do nothing.
	Grants     []pluginapi.Grant
	Limits     pluginapi.Limits
	Quota      *pluginapi.Quota // without a time zone; nil for none
	Durability pluginapi.Durability
	Mountpoint string // "" or ending with a slash

	clientIDs []string
	prefixes  []string
	// certificates are rules of which one has to fit; none: no certificate is
	// needed.
	certificates []certificateRule
	// deniesByID says that a denying rule holds %c.
	deniesByID bool
}

// anonymousAccount is whose the usage of all clients without a user name is.
// Users may be called so too; then they share it.
const anonymousAccount = "(anonymous)"

// account is the name that the user's usage is kept under.
func (u *User) account() string {
	if u.Name == "" {
		return anonymousAccount
	}
	return u.Name
}

// seed makes the choice of decoys unknown to outsiders and the same for as
// long as the process lives.
var seed = maphash.MakeSeed()

// decoyHash stands in for the hash of a user when there is none to stand in
// for; its parameters are those of new hashes.
const decoyHash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// User returns the user of a name; nil if there is none.
func (s *Set) User(name string) *User { return s.byName[name] }

// Anonymous returns the rules for clients without a user name; nil if the file
// has none.
func (s *Set) Anonymous() *User { return s.anonymous }

// Len returns the number of users, not counting the anonymous one.
func (s *Set) Len() int { return len(s.byName) }

// Warnings returns what should be looked at although the file is good, in the
// order of the file.
func (s *Set) Warnings() []Problem { return s.warnings }

// Decoy returns a digest to check the password of an unknown user against, so
// that the time this takes does not tell that the user is unknown. The result
// of the check means nothing. The same name gets the same decoy every time;
// where hashes differ in cost, names get decoys in the proportions of the
// file.
func (s *Set) Decoy(name string) password.Digest {
	return s.digests[maphash.String(seed, name)%uint64(len(s.digests))]
}

// Why [User.CheckClientID] refuses a client identifier.
var (
	errClientID = errors.New("client id is not allowed for this user")
	errNoLevel  = errors.New("client id contains '/', '+' or '#', and a rule that denies uses %c")
)

// CheckClientID returns nil if the user may connect with a client identifier;
// the error says why not. An empty identifier asks the broker to make one up;
// users with client id rules may not have that.
func (u *User) CheckClientID(id string) error {
	if len(u.clientIDs)+len(u.prefixes) > 0 &&
		!slices.Contains(u.clientIDs, id) &&
		!slices.ContainsFunc(u.prefixes, func(p string) bool { return strings.HasPrefix(id, p) }) {
		return errClientID
	}
	// %c with such an identifier matches nothing: an allowing rule then gives
	// nothing, which is safe, but a denying rule would no longer deny.
	if u.deniesByID && strings.ContainsAny(id, "/+#") {
		return errNoLevel
	}
	return nil
}
