package vectors

// nodeExceptions are the vectors of mqtt-packet's in which our codec differs,
// and why that is right. A vector that does not differ must not be here.
var nodeExceptions = map[string]string{
	"parse connect MQTT bridge 132 parse":       bridgeName,
	"parse connect MQTT bridge 132 mirror":      bridgeName,
	"generate connect MQTT bridge 132 generate": bridgeName,
	"generate connect MQTT bridge 132 mirror":   bridgeName,

	"parse Version 4 CONACK in Version 5 mode": "1 is no reason code of MQTT 5; mqtt-packet lets a client connect to a 3.1.1 broker so",
	"parse Version 5 CONNACK test 1":           noLength,
	"parse Version 5 CONNACK test 2":           noLength,

	"parse connack MQTT 5 with properties parse":                                   maximumQoS2,
	"parse connack MQTT 5 with properties mirror":                                  maximumQoS2,
	"generate connack MQTT 5 with properties generate":                             maximumQoS2,
	"generate connack MQTT 5 with properties mirror":                               maximumQoS2,
	"parse connack MQTT 5 with properties and doubled user properties parse":       maximumQoS2,
	"parse connack MQTT 5 with properties and doubled user properties mirror":      maximumQoS2,
	"generate connack MQTT 5 with properties and doubled user properties generate": maximumQoS2,
	"generate connack MQTT 5 with properties and doubled user properties mirror":   maximumQoS2,
	"parse Cannot parse username":                                                  "MQTT 3.1 lets the packet end before the user name that its flags announce",
}

const (
	bridgeName  = "the protocol name of level 4 is MQTT [MQTT-3.1.2-1], also when a bridge says that it is one"
	noLength    = "a CONNACK of MQTT 5 has a property length, section 3.2.2.3.1"
	maximumQoS2 = "Maximum QoS 2 is a protocol error, section 3.2.2.3.4: leaving it out says that"
)
