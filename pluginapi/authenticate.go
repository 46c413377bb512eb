package pluginapi

import "context"

// Authenticator is a companion of [Validator]: enhanced authentication of MQTT 5
// (section 4.12), in which the client is asked more than once. The broker calls
// it in place of ValidateConnection for a CONNECT with an authentication method,
// and again when a connected client authenticates anew.
//
// Authenticate asks with [Exchange.Challenge] as often as it needs and returns
// its decision; [Decision.AuthData] goes with it. ctx ends when the client hangs
// up. c.AuthData is the client's first data.
type Authenticator interface {
	Authenticate(ctx context.Context, c *Connect, x Exchange) (*Decision, error)
}

// Exchange is one enhanced authentication, seen from the plugin. It belongs to
// one call of Authenticate and is not for concurrent use.
type Exchange interface {
	// Again reports whether a connected client authenticates anew.
	Again() bool
	// Challenge sends an AUTH packet to the client and waits for its answer.
	// An error means that the client went away; return it.
	Challenge(AuthStep) (AuthStep, error)
}

// AuthStep is one AUTH packet.
type AuthStep struct {
	Data           []byte // nil if there is none
	Reason         string // to the client only
	UserProperties []UserProperty
}
