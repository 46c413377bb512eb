package vectors

// exception is a case in which our codec differs, and why that is right.
type exception struct {
	why string
	// broker says that the broker, not its codec, has to deal with it; then
	// TestMochiAtBroker proves that it does.
	broker bool
}

// mochiExceptions are the cases of mochi's in which our codec differs. A case
// that does not differ must not be here.
var mochiExceptions = map[string]exception{
	"Connack/miscellaneous protocol violation": {why: notReturnCode},
	"Connack/bad protocol version":             {why: notReturnCode},
	"Connack/bad client id":                    {why: notReturnCode},
	"Connack/server unavailable":               {why: notReturnCode},
	"Connack/bad username or password":         {why: notReturnCode},
	"Connack/not authorised":                   {why: notReturnCode},

	"Connack/drop oversize properties":            {why: wholePacket},
	"Connack/drop oversize properties partial":    {why: wholePacket},
	"Disconnect/drop oversize properties partial": {why: wholePacket},

	"Publish/dup": {why: "DUP must be 0 with QoS 0 [MQTT-3.3.1-2]"},
	"Publish/packet id must be 0 if qos is 0 (b)": {why: "mochi does not write the identifier of a QoS 0 message, nor do we"},
	"Publish/topic alias over maximum":            {why: noAlias},
	"Publish/topic alias flag and no alias":       {why: noAlias},
	"Publish/topic contains wildcards":            {why: "topics are checked by core/topic", broker: true},
	"Publish/topic contains wildcards 2":          {why: "topics are checked by core/topic", broker: true},
	"Publish/deny publishing to $SYS topics":      {why: "$SYS is like any topic to a codec", broker: true},

	"Pubrec/malformed reason code":     {why: "when complete it is the short form for Success, section 3.5.2.1"},
	"Disconnect/malformed reason code": {why: "when complete it is the short form for Normal Disconnection, section 3.14.2.1"},
	"Disconnect/zero non zero expiry": {why: "our packet has the short form with a reason code and no properties, " +
		"section 3.14.2.2.1, in which mochi overlooks the code"},

	"Subscribe/oversize identifier":  {why: "mochi does not write the identifier, which four bytes can't express"},
	"Suback/malformed packet id (2)": {why: "the case has bytes of a good SUBACK and an empty packet"},
	"Suback/invalid shared no local": {why: "Protocol Error is no reason code of SUBACK, section 3.9.3: the connection ends with it"},
}

const (
	notReturnCode = "0x80 and above are no return codes of MQTT 3.1.1, and session present is 0 in a refusal [MQTT-3.2.2-4]"
	wholePacket   = "the limit is on the whole packet [MQTT-3.1.2-24]; mochi compares it with the properties that it has written by then"
	noAlias       = "mochi writes no alias in this case, so that the packet is a good one"
)
