package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// State is what a [Decoder] that holds no bytes knows of its connection, in a
// few bytes: all that a connection which is silent for long has to keep.
type State struct {
	maxSize    uint32
	version    mqtt.Version
	fromServer bool
	connected  bool
	keepsNone  bool
	hasMethod  bool
}

// State returns the state of a decoder and true, or false if the decoder holds
// bytes or has failed, and so has to be kept itself.
func (d *Decoder) State() (State, bool) {
	if d.err != nil || d.Buffered() > 0 {
		return State{}, false
	}
	return State{
		maxSize: uint32(d.maxSize), version: d.version, fromServer: d.fromServer,
		connected: d.connected, keepsNone: d.keepsNone, hasMethod: d.hasMethod,
	}, true
}

// ResumeDecoder makes a decoder that goes on where the one ended that s is of.
// It has the default limits; see [Decoder.SetLimits].
func ResumeDecoder(s State) *Decoder {
	return &Decoder{
		limits: &defaultLimits, maxSize: int(s.maxSize), version: s.version, fromServer: s.fromServer,
		connected: s.connected, keepsNone: s.keepsNone, hasMethod: s.hasMethod,
	}
}
