// Package mosquitto translates a mosquitto.conf, with its password and ACL
// files, into a configuration of the broker and a users file of authfile.
//
// It knows mosquitto's options up to version 2.1. What has an equivalent is
// translated; everything else is named in a [Note] with its place, and with what
// to do about it, so that nothing is lost in silence.
package mosquitto
