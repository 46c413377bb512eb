package validator

import (
	"context"

	"github.com/gatehouse-mqtt/gatehouse/internal/password"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/plugins/authfile/users"
)

// judge decides by the rules of one moment. It is never changed; a change of
// file or configuration makes another one.
type judge struct {
	set     *users.Set
	abstain bool   // about clients of which the file says nothing
	zone    string // of quotas
	// check waits for its turn and reports whether a password is right.
	check func(context.Context, password.Digest, []byte) (bool, error)
}

// ruling is what was decided and why. Why is for the operator; what the client
// is told gives away less.
type ruling struct {
	outcome  outcome
	why      string // of a refusal
	decision *pluginapi.Decision
}

// decide rules on a connection. The order matters: until the password is
// known to be right nothing that is found out about the user makes a
// difference to what the client sees, or to how long it waits for it.
func (j *judge) decide(ctx context.Context, c *pluginapi.Connect) (ruling, error) {
	switch {
	case c.AuthMethod != "":
		return j.unknown(badMethod, pluginapi.BadAuthenticationMethod, "enhanced authentication is not supported", "authentication method is not supported"), nil
	case c.HasUsername:
		return j.decideUser(ctx, c)
	case c.HasPassword:
		return j.unknown(badPassword, pluginapi.BadUserNameOrPassword, "password without a user name", ""), nil
	case j.set.ByCertificate(c.TLS) != nil:
		u := j.set.ByCertificate(c.TLS)
		r := j.admit(u, c)
		if r.outcome == allowed {
			r.decision.Username = &u.Name
		}
		return r, nil
	case j.set.Anonymous() == nil:
		return j.unknown(anonymousRefused, pluginapi.NotAuthorized, "anonymous clients are not allowed", "user name and password are needed"), nil
	default:
		return j.admit(j.set.Anonymous(), c), nil
	}
}

// decideUser rules on a client that gives a user name.
func (j *judge) decideUser(ctx context.Context, c *pluginapi.Connect) (ruling, error) {
	user := j.set.User(c.Username)
	digest := j.set.Decoy(c.Username)
	if user != nil && user.HasPassword {
		digest = user.Password
	}
	var right bool
	if c.HasPassword { // without one there is nothing to check for any user
		var err error
		if right, err = j.check(ctx, digest, c.Password); err != nil {
			return ruling{}, err
		}
	}
	switch {
	case user == nil:
		return j.unknown(unknownUser, pluginapi.BadUserNameOrPassword, "unknown user", ""), nil
	case user.NeedsCertificate() && !user.CertificateFits(c.TLS) && (right || !user.HasPassword):
		return refuse(badCertificate, pluginapi.BadUserNameOrPassword, "no certificate of this user", ""), nil
	case !user.HasPassword: // the certificate is enough
	case !c.HasPassword:
		return refuse(badPassword, pluginapi.BadUserNameOrPassword, "user name without a password", ""), nil
	case !right:
		return refuse(badPassword, pluginapi.BadUserNameOrPassword, "wrong password", ""), nil
	}
	return j.admit(user, c), nil
}

// admit rules on a user who is who it claims to be.
func (j *judge) admit(u *users.User, c *pluginapi.Connect) ruling {
	if u.Disabled {
		if u == j.set.Anonymous() {
			return refuse(anonymousRefused, pluginapi.NotAuthorized, "anonymous clients are disabled", "user name and password are needed")
		}
		return refuse(disabledUser, pluginapi.Banned, "user is disabled", "user is disabled")
	}
	if err := u.CheckClientID(c.ClientID); err != nil {
		return refuse(badClientID, pluginapi.ClientIdentifierNotValid, err.Error(), "client id is not allowed for this user")
	}
	return ruling{outcome: allowed, decision: &pluginapi.Decision{
		Word:       pluginapi.Allow,
		Grants:     u.Grants,
		Limits:     u.Limits,
		Mountpoint: u.Mountpoint,
		Quota:      j.quota(u),
		Durability: u.Durability,
	}}
}

// quota is what a user may use, in the time zone that is configured.
func (j *judge) quota(u *users.User) *pluginapi.Quota {
	if u.Quota == nil {
		return nil
	}
	q := *u.Quota
	q.TimeZone = j.zone
	return &q
}

// unknown rules on a client of which the file says nothing.
func (j *judge) unknown(o outcome, code pluginapi.ReasonCode, why, told string) ruling {
	if j.abstain {
		return ruling{outcome: abstained, decision: pluginapi.NoOpinion()}
	}
	return refuse(o, code, why, told)
}

// refuse turns a client away; told is the reason string that it may see.
func refuse(o outcome, code pluginapi.ReasonCode, why, told string) ruling {
	return ruling{outcome: o, why: why, decision: pluginapi.Denied(code, told)}
}
