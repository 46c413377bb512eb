package packet_test

import (
	"bytes"
	"errors"
	"testing"
	"testing/iotest"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

const (
	malformed = mqtt.MalformedPacket
	illegal   = mqtt.ProtocolError
	badTopic  = mqtt.TopicNameInvalid
	badID     = mqtt.ClientIdentifierNotValid
	badLevel  = mqtt.UnsupportedProtocolVersion
)

// hostile is input that must be refused. Names that begin with a letter and a
// number are those of the catalogue of bad input.
type hostile struct {
	name string
	wire string
	code mqtt.ReasonCode
	t    packet.Type
}

// hostileFirst is sent as the first packet of a connection; v is the version
// that the decoder must have found out.
var hostileFirst = []struct {
	hostile
	v mqtt.Version
}{
	{hostile{"A08.1 SUBSCRIBE first", `82 ( 0001 "a" 00 )`, illegal, packet.SUBSCRIBE}, 0},
	{hostile{"A08.2 PINGREQ first", `c0 00`, illegal, packet.PINGREQ}, 0},
	{hostile{"A08.5 PUBREL first", `62 02 0001`, illegal, packet.PUBREL}, 0},
	{hostile{"CONNACK first", `20 02 0000`, illegal, packet.CONNACK}, 0},
	{hostile{"PUBLISH first", `30 ( "a" )`, illegal, packet.PUBLISH}, 0},
	{hostile{"AUTH first", `f0 00`, illegal, packet.AUTH}, 0},
	{hostile{"type 0 first", `00 00`, malformed, 0}, 0},
	{hostile{"A11 CONNECT with flags", `11 ( "MQTT" 05 02 003c 00 "c" )`, malformed, packet.CONNECT}, 0},
	{hostile{"A15 TLS ClientHello", `16 0301 0200 0100 01fc 0303`, malformed, packet.CONNECT}, 0},
	{hostile{"A16 0xff", `ff*1024`, illegal, packet.AUTH}, 0},
	{hostile{"HTTP", `'GET / HTTP/1.1'`, illegal, packet.PUBACK}, 0},
	{hostile{"A02 five bytes of remaining length", `10 ffffffff7f`, malformed, packet.CONNECT}, 0},
	{hostile{"overlong remaining length", `10 8d00 0004 'MQTT' 05 02 003c 00 0000`, malformed, packet.CONNECT}, 5},
	{hostile{"remaining length 0", `10 00`, malformed, packet.CONNECT}, 0},
	{hostile{"ends in the protocol name", `10 04 0004 'MQ'`, malformed, packet.CONNECT}, 0},
	{hostile{"ends before the level", `10 06 0004 'MQTT'`, malformed, packet.CONNECT}, 0},

	{hostile{"B01 protocol name MQTX", `10 ( "MQTX" 05 02 003c 00 "c" )`, badLevel, packet.CONNECT}, 5},
	{hostile{"B01 protocol name MQTX, level 4", `10 ( "MQTX" 04 02 003c "c" )`, badLevel, packet.CONNECT}, 4},
	{hostile{"protocol name mqtt", `10 ( "mqtt" 04 02 003c "c" )`, badLevel, packet.CONNECT}, 4},
	{hostile{"empty protocol name", `10 ( "" 04 02 003c "c" )`, badLevel, packet.CONNECT}, 4},
	{hostile{"protocol name of 3.1, level of 3.1.1", `10 ( "MQIsdp" 04 02 003c "c" )`, badLevel, packet.CONNECT}, 4},
	{hostile{"protocol name of 3.1.1, level of 3.1", `10 ( "MQTT" 03 02 003c "c" )`, badLevel, packet.CONNECT}, 3},
	{hostile{"B02 protocol level 6", `10 ( "MQTT" 06 02 003c 00 "c" )`, badLevel, packet.CONNECT}, 5},
	{hostile{"protocol level 0", `10 ( "MQTT" 00 02 003c "c" )`, badLevel, packet.CONNECT}, 4},
	{hostile{"protocol level 2", `10 ( "MQIsdp" 02 02 003c "c" )`, badLevel, packet.CONNECT}, 4},
	{hostile{"protocol level 5 with the bridge bit", `10 ( "MQTT" 85 02 003c 00 "c" )`, badLevel, packet.CONNECT}, 5},
	{hostile{"protocol level 255", `10 ( "MQTT" ff 02 003c 00 "c" )`, badLevel, packet.CONNECT}, 5},
	{hostile{"level 6 is told before the rest comes", `10 7f 0004 'MQTT' 06`, badLevel, packet.CONNECT}, 5},

	{hostile{"B04.4 reserved connect flag", `10 ( "MQTT" 04 03 003c "c" )`, malformed, packet.CONNECT}, 4},
	{hostile{"B04.5 reserved connect flag", `10 ( "MQTT" 05 03 003c 00 "c" )`, malformed, packet.CONNECT}, 5},
	{hostile{"B05.3 will QoS 3", `10 ( "MQIsdp" 03 1e 003c "c" "w" "p" )`, malformed, packet.CONNECT}, 3},
	{hostile{"B05.4 will QoS 3", `10 ( "MQTT" 04 1e 003c "c" "w" "p" )`, malformed, packet.CONNECT}, 4},
	{hostile{"B05.5 will QoS 3", `10 ( "MQTT" 05 1e 003c 00 "c" 00 "w" "p" )`, malformed, packet.CONNECT}, 5},
	{hostile{"B06.4 will QoS without will", `10 ( "MQTT" 04 0a 003c "c" )`, malformed, packet.CONNECT}, 4},
	{hostile{"B06.5 will QoS without will", `10 ( "MQTT" 05 0a 003c 00 "c" )`, malformed, packet.CONNECT}, 5},
	{hostile{"will retain without will", `10 ( "MQTT" 05 22 003c 00 "c" )`, malformed, packet.CONNECT}, 5},
	{hostile{"B08 3.1 password without user name", `10 ( "MQIsdp" 03 42 003c "c" "p" )`, malformed, packet.CONNECT}, 3},
	{hostile{"B08 3.1.1 password without user name", `10 ( "MQTT" 04 42 003c "c" "p" )`, malformed, packet.CONNECT}, 4},
	{hostile{"B09.4 user name missing", `10 ( "MQTT" 04 82 003c "c" )`, malformed, packet.CONNECT}, 4},
	{hostile{"B09.5 user name missing", `10 ( "MQTT" 05 82 003c 00 "c" )`, malformed, packet.CONNECT}, 5},
	{hostile{"password missing", `10 ( "MQTT" 04 c2 003c "c" "u" )`, malformed, packet.CONNECT}, 4},
	{hostile{"will payload missing", `10 ( "MQTT" 04 06 003c "c" "w" )`, malformed, packet.CONNECT}, 4},
	{hostile{"client id missing", `10 ( "MQTT" 04 02 003c )`, malformed, packet.CONNECT}, 4},
	{hostile{"keep alive cut", `10 ( "MQTT" 04 02 00 )`, malformed, packet.CONNECT}, 4},
	{hostile{"B10.3 bytes left over", `10 ( "MQIsdp" 03 02 003c "c" 00 )`, malformed, packet.CONNECT}, 3},
	{hostile{"B10.4 bytes left over", `10 ( "MQTT" 04 02 003c "c" 00 )`, malformed, packet.CONNECT}, 4},
	{hostile{"B10.5 bytes left over", `10 ( "MQTT" 05 02 003c 00 "c" 00 )`, malformed, packet.CONNECT}, 5},
	{hostile{"B11 3.1.1 empty client id, session kept", `10 ( "MQTT" 04 00 003c "" )`, badID, packet.CONNECT}, 4},
	{hostile{"3.1 empty client id", `10 ( "MQIsdp" 03 02 003c "" )`, badID, packet.CONNECT}, 3},

	{hostile{"B14.c328 client id", `10 ( "MQTT" 05 02 003c 00 0002 c328 )`, malformed, packet.CONNECT}, 5},
	{hostile{"B14.surrogate client id", `10 ( "MQTT" 05 02 003c 00 0003 eda080 )`, malformed, packet.CONNECT}, 5},
	{hostile{"B14.f4908080 client id", `10 ( "MQTT" 05 02 003c 00 0004 f4908080 )`, malformed, packet.CONNECT}, 5},
	{hostile{"client id overlong", `10 ( "MQTT" 04 02 003c 0002 c0af )`, malformed, packet.CONNECT}, 4},
	{hostile{"client id overlong of three", `10 ( "MQTT" 04 02 003c 0003 e0809f )`, malformed, packet.CONNECT}, 4},
	{hostile{"client id nul", `10 ( "MQTT" 04 02 003c 0001 00 )`, malformed, packet.CONNECT}, 4},
	{hostile{"client id cut in a character", `10 ( "MQTT" 04 02 003c 0002 e282 )`, malformed, packet.CONNECT}, 4},
	{hostile{"B15.c328 user name", `10 ( "MQTT" 04 82 003c "c" 0002 c328 )`, malformed, packet.CONNECT}, 4},
	{hostile{"B15.c328 user name.5", `10 ( "MQTT" 05 82 003c 00 "c" 0002 c328 )`, malformed, packet.CONNECT}, 5},
	{hostile{"B17.4 empty will topic", `10 ( "MQTT" 04 06 003c "c" "" "p" )`, badTopic, packet.CONNECT}, 4},
	{hostile{"B17.5 empty will topic", `10 ( "MQTT" 05 06 003c 00 "c" 00 "" "p" )`, badTopic, packet.CONNECT}, 5},
	{hostile{"B18.4 will topic", `10 ( "MQTT" 04 06 003c "c" 0002 c328 "p" )`, malformed, packet.CONNECT}, 4},
	{hostile{"will topic nul", `10 ( "MQTT" 05 06 003c 00 "c" 00 0003 610062 "p" )`, malformed, packet.CONNECT}, 5},

	{hostile{"B20 receive maximum 0", `10 ( "MQTT" 05 02 003c ( 21 0000 ) "c" )`, illegal, packet.CONNECT}, 5},
	{hostile{"B21 maximum packet size 0", `10 ( "MQTT" 05 02 003c ( 27 00000000 ) "c" )`, illegal, packet.CONNECT}, 5},
	{hostile{"B22 unknown property", `10 ( "MQTT" 05 02 003c ( 7f 00 ) "c" )`, malformed, packet.CONNECT}, 5},
	{hostile{"unknown property 0", `10 ( "MQTT" 05 02 003c ( 00 ) "c" )`, malformed, packet.CONNECT}, 5},
	{hostile{"unknown property 0x04", `10 ( "MQTT" 05 02 003c ( 04 00 ) "c" )`, malformed, packet.CONNECT}, 5},
	{hostile{"unknown property of four bytes", `10 ( "MQTT" 05 02 003c ( ffffff7f ) "c" )`, malformed, packet.CONNECT}, 5},
	{hostile{"property identifier overlong", `10 ( "MQTT" 05 02 003c ( 9100 0000003c ) "c" )`, malformed, packet.CONNECT}, 5},
	{hostile{"B24 property length beyond the packet", `10 ( "MQTT" 05 02 003c 7f "c" )`, malformed, packet.CONNECT}, 5},
	{hostile{"B25 property length of five bytes", `10 ( "MQTT" 05 02 003c 8080808001 "c" )`, malformed, packet.CONNECT}, 5},
	{hostile{"property length overlong", `10 ( "MQTT" 05 02 003c 8000 "c" )`, malformed, packet.CONNECT}, 5},
	{hostile{"property length missing", `10 ( "MQTT" 05 02 003c )`, malformed, packet.CONNECT}, 5},
	{hostile{"property length cut", `10 ( "MQTT" 05 02 003c 80 )`, malformed, packet.CONNECT}, 5},
	{hostile{"property cut by its block", `10 ( "MQTT" 05 02 003c ( 11 0000 ) "c" )`, malformed, packet.CONNECT}, 5},
	{hostile{"B26 request response information 2", `10 ( "MQTT" 05 02 003c ( 19 02 ) "c" )`, illegal, packet.CONNECT}, 5},
	{hostile{"B27 request problem information 2", `10 ( "MQTT" 05 02 003c ( 17 02 ) "c" )`, illegal, packet.CONNECT}, 5},
	{hostile{"session expiry twice", `10 ( "MQTT" 05 02 003c ( 11 00000001 11 00000001 ) "c" )`, illegal, packet.CONNECT}, 5},
	{hostile{"authentication data alone", `10 ( "MQTT" 05 02 003c ( 16 "d" ) "c" )`, illegal, packet.CONNECT}, 5},
	{hostile{"authentication method", `10 ( "MQTT" 05 02 003c ( 15 0002 c328 ) "c" )`, malformed, packet.CONNECT}, 5},
	{hostile{"user property value", `10 ( "MQTT" 05 02 003c ( 26 "k" 0001 00 ) "c" )`, malformed, packet.CONNECT}, 5},
	{hostile{"property of CONNACK", `10 ( "MQTT" 05 02 003c ( 12 "x" ) "c" )`, malformed, packet.CONNECT}, 5},
	{hostile{"property of a will", `10 ( "MQTT" 05 02 003c ( 18 00000001 ) "c" )`, malformed, packet.CONNECT}, 5},
	{hostile{"B30 topic alias in a will", `10 ( "MQTT" 05 06 003c 00 "c" ( 23 0001 ) "w" "p" )`, malformed, packet.CONNECT}, 5},
	{hostile{"subscription identifier in a will", `10 ( "MQTT" 05 06 003c 00 "c" ( 0b 01 ) "w" "p" )`, malformed, packet.CONNECT}, 5},
	{hostile{"B31 will delay twice", `10 ( "MQTT" 05 06 003c 00 "c" ( 18 00000001 18 00000001 ) "w" "p" )`, illegal, packet.CONNECT}, 5},
	{hostile{"will payload format 2", `10 ( "MQTT" 05 06 003c 00 "c" ( 01 02 ) "w" "p" )`, illegal, packet.CONNECT}, 5},
	{hostile{"will response topic empty", `10 ( "MQTT" 05 06 003c 00 "c" ( 08 "" ) "w" "p" )`, badTopic, packet.CONNECT}, 5},
}

// hostileLater is sent after a good CONNECT of each of the versions.
var hostileLater = []struct {
	hostile
	vs []mqtt.Version
}{
	{hostile{"A02 five bytes of remaining length", `30 8080808001 'x'`, malformed, packet.PUBLISH}, versions},
	{hostile{"remaining length overlong", `c0 8000`, malformed, packet.PINGREQ}, v5},
	{hostile{"A06 type 0", `00 00`, malformed, 0}, versions},
	{hostile{"A09 second CONNECT", preludes[mqtt.V311], illegal, packet.CONNECT}, versions},
	{hostile{"A10.0x80 SUBSCRIBE", `80 ( 0001 "a" 00 )`, malformed, packet.SUBSCRIBE}, versions},
	{hostile{"A10.0xa0 UNSUBSCRIBE", `a0 ( 0001 "a" )`, malformed, packet.UNSUBSCRIBE}, versions},
	{hostile{"A10.0x60 PUBREL", `60 02 0001`, malformed, packet.PUBREL}, versions},
	{hostile{"A10.0x6a PUBREL with DUP", `6a 02 0001`, malformed, packet.PUBREL}, v4v5},
	{hostile{"A10.0xe1 DISCONNECT", `e1 00`, malformed, packet.DISCONNECT}, versions},
	{hostile{"A10.0x41 PUBACK", `41 02 0001`, malformed, packet.PUBACK}, versions},
	{hostile{"A10.0x52 PUBREC", `52 02 0001`, malformed, packet.PUBREC}, versions},
	{hostile{"A10.0x72 PUBCOMP", `72 02 0001`, malformed, packet.PUBCOMP}, versions},
	{hostile{"A10.0xc1 PINGREQ", `c1 00`, malformed, packet.PINGREQ}, versions},
	{hostile{"A10.0xf1 AUTH", `f1 00`, malformed, packet.AUTH}, versions},
	{hostile{"A12.CONNACK", `20 02 0000`, illegal, packet.CONNACK}, versions},
	{hostile{"A12.SUBACK", `90 03 0001 00`, illegal, packet.SUBACK}, versions},
	{hostile{"A12.UNSUBACK", `b0 02 0001`, illegal, packet.UNSUBACK}, versions},
	{hostile{"A12.PINGRESP", `d0 00`, illegal, packet.PINGRESP}, versions},
	{hostile{"AUTH before MQTT 5", `f0 00`, malformed, packet.AUTH}, v3v4},

	{hostile{"C01 QoS 3", `36 ( "a" 0001 00 'x' )`, malformed, packet.PUBLISH}, versions},
	{hostile{"C02 QoS 0 with DUP", `38 ( "a" 00 'x' )`, malformed, packet.PUBLISH}, v4v5},
	{hostile{"C05.4 empty topic", `30 ( "" 'x' )`, illegal, packet.PUBLISH}, v3v4},
	{hostile{"C05.5 empty topic", `30 ( "" 00 'x' )`, illegal, packet.PUBLISH}, v5},
	{hostile{"empty topic, other property", `30 ( "" ( 01 00 ) 'x' )`, illegal, packet.PUBLISH}, v5},
	{hostile{"C06 topic with nul", `30 ( 0003 610062 00 'x' )`, malformed, packet.PUBLISH}, versions},
	{hostile{"C07 topic with a surrogate", `30 ( 0003 eda080 00 'x' )`, malformed, packet.PUBLISH}, versions},
	{hostile{"topic with a pair of surrogates", `30 ( 0006 eda080edb080 00 'x' )`, malformed, packet.PUBLISH}, versions},
	{hostile{"topic overlong", `30 ( 0002 c080 00 'x' )`, malformed, packet.PUBLISH}, versions},
	{hostile{"C08 QoS 1, packet id 0", `32 ( "a" 0000 00 'x' )`, illegal, packet.PUBLISH}, versions},
	{hostile{"QoS 2, packet id 0", `34 ( "a" 0000 00 'x' )`, illegal, packet.PUBLISH}, versions},
	{hostile{"C09 ends after the topic", `32 ( "a" )`, malformed, packet.PUBLISH}, versions},
	{hostile{"ends within the packet id", `32 ( "a" 00 )`, malformed, packet.PUBLISH}, versions},
	{hostile{"C10 topic length beyond the packet", `30 ( 00ff 'abc' )`, malformed, packet.PUBLISH}, versions},
	{hostile{"C11 remaining length 0", `30 00`, malformed, packet.PUBLISH}, versions},
	{hostile{"C11 remaining length 1", `30 01 00`, malformed, packet.PUBLISH}, versions},
	{hostile{"no property length", `30 ( "a" )`, malformed, packet.PUBLISH}, v5},
	{hostile{"C12 topic alias 0", `30 ( "a" ( 23 0000 ) 'x' )`, mqtt.TopicAliasInvalid, packet.PUBLISH}, v5},
	{hostile{"topic alias twice", `30 ( "a" ( 23 0001 23 0001 ) 'x' )`, illegal, packet.PUBLISH}, v5},
	{hostile{"C16 subscription identifier", `30 ( "a" ( 0b 01 ) 'x' )`, illegal, packet.PUBLISH}, v5},
	{hostile{"C17 payload format 2", `30 ( "a" ( 01 02 ) 'x' )`, illegal, packet.PUBLISH}, v5},
	{hostile{"C19 message expiry twice", `30 ( "a" ( 02 00000001 02 00000001 ) 'x' )`, illegal, packet.PUBLISH}, v5},
	{hostile{"C20 session expiry", `30 ( "a" ( 11 00000001 ) 'x' )`, malformed, packet.PUBLISH}, v5},
	{hostile{"reason string", `30 ( "a" ( 1f "x" ) 'x' )`, malformed, packet.PUBLISH}, v5},
	{hostile{"will delay", `30 ( "a" ( 18 00000001 ) 'x' )`, malformed, packet.PUBLISH}, v5},
	{hostile{"C21 property length beyond the packet", `30 ( "a" 7f 'x' )`, malformed, packet.PUBLISH}, v5},
	{hostile{"C22 content type", `30 ( "a" ( 03 0002 c328 ) 'x' )`, malformed, packet.PUBLISH}, v5},
	{hostile{"C23 user property key", `30 ( "a" ( 26 0002 c328 "v" ) 'x' )`, malformed, packet.PUBLISH}, v5},
	{hostile{"user property without value", `30 ( "a" ( 26 "k" ) 'x' )`, malformed, packet.PUBLISH}, v5},
	{hostile{"response topic", `30 ( "a" ( 08 0003 eda080 ) 'x' )`, malformed, packet.PUBLISH}, v5},
	{hostile{"response topic empty", `30 ( "a" ( 08 "" ) 'x' )`, badTopic, packet.PUBLISH}, v5},
	{hostile{"correlation data cut", `30 ( "a" ( 09 0005 00 ) 'x' )`, malformed, packet.PUBLISH}, v5},

	{hostile{"C38 PUBACK cut to one byte", `40 01 00`, malformed, packet.PUBACK}, versions},
	{hostile{"PUBACK of remaining length 0", `40 00`, malformed, packet.PUBACK}, versions},
	{hostile{"PUBACK with a byte too many", `40 03 0001 00`, malformed, packet.PUBACK}, v3v4},
	{hostile{"PUBACK larger than can be, told at once", `40 ffffff7f`, malformed, packet.PUBACK}, v3v4},
	{hostile{"PUBACK packet id 0", `40 02 0000`, illegal, packet.PUBACK}, versions},
	{hostile{"PUBREC packet id 0", `50 02 0000`, illegal, packet.PUBREC}, versions},
	{hostile{"PUBREL packet id 0", `62 02 0000`, illegal, packet.PUBREL}, versions},
	{hostile{"PUBCOMP packet id 0", `70 02 0000`, illegal, packet.PUBCOMP}, versions},
	{hostile{"C39 PUBACK code 0x02", `40 03 0001 02`, illegal, packet.PUBACK}, v5},
	{hostile{"PUBACK code of PUBREL", `40 03 0001 92`, illegal, packet.PUBACK}, v5},
	{hostile{"PUBREC code 0xff", `50 03 0001 ff`, illegal, packet.PUBREC}, v5},
	{hostile{"PUBREL code 0x10", `62 03 0001 10`, illegal, packet.PUBREL}, v5},
	{hostile{"PUBCOMP code 0x80", `70 03 0001 80`, illegal, packet.PUBCOMP}, v5},
	{hostile{"PUBACK reason string twice", `40 ( 0001 00 ( 1f "a" 1f "b" ) )`, illegal, packet.PUBACK}, v5},
	{hostile{"PUBACK property of another", `40 ( 0001 00 ( 11 00000001 ) )`, malformed, packet.PUBACK}, v5},
	{hostile{"PUBACK bytes left over", `40 ( 0001 00 00 00 )`, malformed, packet.PUBACK}, v5},
	{hostile{"PUBACK property length beyond", `40 ( 0001 00 05 )`, malformed, packet.PUBACK}, v5},

	{hostile{"D01.4 SUBSCRIBE without a filter", `82 02 0001`, illegal, packet.SUBSCRIBE}, v3v4},
	{hostile{"D01.5 SUBSCRIBE without a filter", `82 03 0001 00`, illegal, packet.SUBSCRIBE}, v5},
	{hostile{"D02 SUBSCRIBE packet id 0", `82 ( 0000 00 "a" 00 )`, illegal, packet.SUBSCRIBE}, versions},
	{hostile{"D03.4 SUBSCRIBE without options", `82 ( 0001 "a" )`, malformed, packet.SUBSCRIBE}, v3v4},
	{hostile{"D03.5 SUBSCRIBE without options", `82 ( 0001 00 "a" )`, malformed, packet.SUBSCRIBE}, v5},
	{hostile{"second filter without options", `82 ( 0001 "a" 00 "b" )`, malformed, packet.SUBSCRIBE}, v3v4},
	{hostile{"D04.4 SUBSCRIBE QoS 3", `82 ( 0001 "a" 03 )`, illegal, packet.SUBSCRIBE}, v3v4},
	{hostile{"D04.5 SUBSCRIBE QoS 3", `82 ( 0001 00 "a" 03 )`, illegal, packet.SUBSCRIBE}, v5},
	{hostile{"D05.4 SUBSCRIBE reserved bits", `82 ( 0001 "a" c0 )`, malformed, packet.SUBSCRIBE}, v4},
	{hostile{"SUBSCRIBE with options of MQTT 5", `82 ( 0001 "a" 04 )`, malformed, packet.SUBSCRIBE}, v4},
	{hostile{"D05.5 SUBSCRIBE reserved bits", `82 ( 0001 00 "a" c0 )`, malformed, packet.SUBSCRIBE}, v5},
	{hostile{"SUBSCRIBE reserved bit 6", `82 ( 0001 00 "a" 40 )`, malformed, packet.SUBSCRIBE}, v5},
	{hostile{"D06.4 UNSUBSCRIBE without a filter", `a2 02 0001`, illegal, packet.UNSUBSCRIBE}, v3v4},
	{hostile{"D06.5 UNSUBSCRIBE without a filter", `a2 03 0001 00`, illegal, packet.UNSUBSCRIBE}, v5},
	{hostile{"D07.4 UNSUBSCRIBE filter length", `a2 ( 0001 00ff 'a' )`, malformed, packet.UNSUBSCRIBE}, v3v4},
	{hostile{"D07.5 UNSUBSCRIBE filter length", `a2 ( 0001 00 00ff 'a' )`, malformed, packet.UNSUBSCRIBE}, v5},
	{hostile{"D08 UNSUBSCRIBE packet id 0", `a2 ( 0000 00 "a" )`, illegal, packet.UNSUBSCRIBE}, v5},
	{hostile{"D09 SUBSCRIBE of remaining length 1", `82 01 00`, malformed, packet.SUBSCRIBE}, versions},
	{hostile{"SUBSCRIBE of remaining length 0", `82 00`, malformed, packet.SUBSCRIBE}, versions},
	{hostile{"SUBSCRIBE of remaining length 2", `82 02 0001`, malformed, packet.SUBSCRIBE}, v5},
	{hostile{"D11.4.nul filter", `82 ( 0001 0003 610062 00 )`, malformed, packet.SUBSCRIBE}, v3v4},
	{hostile{"D11.4.surrogate filter", `82 ( 0001 0003 eda080 00 )`, malformed, packet.SUBSCRIBE}, v3v4},
	{hostile{"D11.4.c328 filter", `82 ( 0001 0002 c328 00 )`, malformed, packet.SUBSCRIBE}, v3v4},
	{hostile{"D11.5.c328 filter", `82 ( 0001 00 0002 c328 00 )`, malformed, packet.SUBSCRIBE}, v5},
	{hostile{"UNSUBSCRIBE filter with nul", `a2 ( 0001 0001 00 )`, malformed, packet.UNSUBSCRIBE}, v3v4},
	{hostile{"D12 retain handling 3", `82 ( 0001 00 "a" 30 )`, illegal, packet.SUBSCRIBE}, v5},
	{hostile{"D13 no local on a shared subscription", `82 ( 0001 00 "$share/g/a" 04 )`, illegal, packet.SUBSCRIBE}, v5},
	{hostile{"D15 subscription identifier 0", `82 ( 0001 ( 0b 00 ) "a" 00 )`, illegal, packet.SUBSCRIBE}, v5},
	{hostile{"D16 subscription identifier of 5 bytes", `82 ( 0001 ( 0b 8080808001 ) "a" 00 )`, malformed, packet.SUBSCRIBE}, v5},
	{hostile{"subscription identifier overlong", `82 ( 0001 ( 0b 8100 ) "a" 00 )`, malformed, packet.SUBSCRIBE}, v5},
	{hostile{"subscription identifier twice", `82 ( 0001 ( 0b 01 0b 01 ) "a" 00 )`, illegal, packet.SUBSCRIBE}, v5},
	{hostile{"D18 topic alias in SUBSCRIBE", `82 ( 0001 ( 23 0001 ) "a" 00 )`, malformed, packet.SUBSCRIBE}, v5},
	{hostile{"reason string in SUBSCRIBE", `82 ( 0001 ( 1f "a" ) "a" 00 )`, malformed, packet.SUBSCRIBE}, v5},
	{hostile{"subscription identifier in UNSUBSCRIBE", `a2 ( 0001 ( 0b 01 ) "a" )`, malformed, packet.UNSUBSCRIBE}, v5},

	{hostile{"PINGREQ with a body", `c0 01 00`, malformed, packet.PINGREQ}, versions},
	{hostile{"PINGREQ larger than can be, told at once", `c0 ffffff7f`, malformed, packet.PINGREQ}, versions},
	{hostile{"DISCONNECT with a body", `e0 01 00`, malformed, packet.DISCONNECT}, v3v4},
	{hostile{"E02 DISCONNECT code 0x02", `e0 01 02`, illegal, packet.DISCONNECT}, v5},
	{hostile{"DISCONNECT code of a server", `e0 01 8e`, illegal, packet.DISCONNECT}, v5},
	{hostile{"DISCONNECT bytes left over", `e0 03 00 00 00`, malformed, packet.DISCONNECT}, v5},
	{hostile{"DISCONNECT session expiry twice", `e0 ( 00 ( 11 00000001 11 00000001 ) )`, illegal, packet.DISCONNECT}, v5},
	{hostile{"DISCONNECT property of another", `e0 ( 00 ( 21 0001 ) )`, malformed, packet.DISCONNECT}, v5},
	{hostile{"AUTH of remaining length 0", `f0 00`, illegal, packet.AUTH}, v5},
	{hostile{"AUTH of remaining length 1", `f0 01 18`, malformed, packet.AUTH}, v5},
	{hostile{"AUTH code of a server", `f0 ( 00 ( 15 "m" ) )`, illegal, packet.AUTH}, v5},
	{hostile{"AUTH code 0x80", `f0 ( 80 ( 15 "m" ) )`, illegal, packet.AUTH}, v5},
	{hostile{"AUTH without a method", `f0 ( 18 ( 16 "d" ) )`, illegal, packet.AUTH}, v5},
	{hostile{"AUTH method twice", `f0 ( 18 ( 15 "m" 15 "m" ) )`, illegal, packet.AUTH}, v5},
	{hostile{"AUTH bytes left over", `f0 ( 18 ( 15 "m" ) 00 )`, malformed, packet.AUTH}, v5},
}

// hostileServer is sent by a server to a client.
var hostileServer = []struct {
	hostile
	vs []mqtt.Version
}{
	{hostile{"CONNECT", preludes[mqtt.V311], illegal, packet.CONNECT}, versions},
	{hostile{"SUBSCRIBE", `82 ( 0001 "a" 00 )`, illegal, packet.SUBSCRIBE}, versions},
	{hostile{"UNSUBSCRIBE", `a2 ( 0001 "a" )`, illegal, packet.UNSUBSCRIBE}, versions},
	{hostile{"PINGREQ", `c0 00`, illegal, packet.PINGREQ}, versions},
	{hostile{"DISCONNECT", `e0 00`, illegal, packet.DISCONNECT}, v3v4},
	{hostile{"DISCONNECT code of a client", `e0 01 04`, illegal, packet.DISCONNECT}, v5},
	{hostile{"DISCONNECT with session expiry", `e0 ( 00 ( 11 00000001 ) )`, illegal, packet.DISCONNECT}, v5},
	{hostile{"AUTH code of a client", `f0 ( 19 ( 15 "m" ) )`, illegal, packet.AUTH}, v5},
	{hostile{"CONNACK reserved return code", `20 02 00 06`, malformed, packet.CONNACK}, v3v4},
	{hostile{"CONNACK reserved flags", `20 02 02 00`, malformed, packet.CONNACK}, v4},
	{hostile{"CONNACK session present in a refusal", `20 02 01 05`, illegal, packet.CONNACK}, v4},
	{hostile{"CONNACK session present in a refusal.5", `20 03 01 87 00`, illegal, packet.CONNACK}, v5},
	{hostile{"CONNACK code 0x01", `20 03 00 01 00`, illegal, packet.CONNACK}, v5},
	{hostile{"CONNACK receive maximum 0", `20 ( 00 00 ( 21 0000 ) )`, illegal, packet.CONNACK}, v5},
	{hostile{"CONNACK maximum QoS 2", `20 ( 00 00 ( 24 02 ) )`, illegal, packet.CONNACK}, v5},
	{hostile{"CONNACK property of CONNECT", `20 ( 00 00 ( 17 01 ) )`, malformed, packet.CONNACK}, v5},
	{hostile{"CONNACK without properties", `20 02 00 00`, malformed, packet.CONNACK}, v5},
	{hostile{"SUBACK without codes", `90 02 0001`, malformed, packet.SUBACK}, v3v4},
	{hostile{"SUBACK without codes.5", `90 03 0001 00`, malformed, packet.SUBACK}, v5},
	{hostile{"SUBACK code 0x03", `90 ( 0001 03 )`, illegal, packet.SUBACK}, v3v4},
	{hostile{"SUBACK code 0x87", `90 ( 0001 87 )`, illegal, packet.SUBACK}, v3v4},
	{hostile{"SUBACK code 0x03.5", `90 ( 0001 00 03 )`, illegal, packet.SUBACK}, v5},
	{hostile{"UNSUBACK code 0x92", `b0 ( 0001 00 92 )`, illegal, packet.UNSUBACK}, v5},
	{hostile{"UNSUBACK with codes", `b0 03 0001 00`, malformed, packet.UNSUBACK}, v3v4},
	{hostile{"PUBLISH subscription identifier 0", `30 ( "a" ( 0b 00 ) )`, illegal, packet.PUBLISH}, v5},
}

var (
	v5   = []mqtt.Version{mqtt.V5}
	v4   = []mqtt.Version{mqtt.V311}
	v3v4 = []mqtt.Version{mqtt.V31, mqtt.V311}
	v4v5 = []mqtt.Version{mqtt.V311, mqtt.V5}
)

func TestMalformedFirst(t *testing.T) {
	for _, h := range hostileFirst {
		t.Run(h.name, func(t *testing.T) {
			refuse(t, func() *packet.Decoder { return packet.NewDecoder(0) }, h.hostile, h.v)
		})
	}
}

func TestMalformedLater(t *testing.T) {
	for _, h := range hostileLater {
		for _, v := range h.vs {
			t.Run(h.name+"/"+v.String(), func(t *testing.T) {
				refuse(t, func() *packet.Decoder { return connected(t, v) }, h.hostile, v)
			})
		}
	}
}

func TestMalformedFromServer(t *testing.T) {
	for _, h := range hostileServer {
		for _, v := range h.vs {
			t.Run(h.name+"/"+v.String(), func(t *testing.T) {
				refuse(t, func() *packet.Decoder { return packet.NewClientDecoder(v, 0) }, h.hostile, v)
			})
		}
	}
}

// refuse sends the input whole and byte by byte, each followed by a good
// packet that must not be decoded any more.
func refuse(t *testing.T, decoder func() *packet.Decoder, h hostile, v mqtt.Version) {
	t.Helper()
	in := append(wire(h.wire), wire(`c0 00`)...)
	for _, bytewise := range []bool{false, true} {
		d, r := decoder(), iotest.DataErrReader(bytes.NewReader(in))
		if bytewise {
			r = iotest.OneByteReader(bytes.NewReader(in))
		}
		all, err := decodeFrom(d, r)
		var e *packet.Error
		if !errors.As(err, &e) {
			t.Fatalf("%d packets and error %v, want an *Error", len(all), err)
		}
		if len(all) != 0 || e.Code != h.code || e.Packet != h.t || e.Version != v || d.Version() != v {
			t.Errorf("%d packets, code 0x%02x, packet %v, version %v; want 0, 0x%02x, %v, %v (%s)",
				len(all), byte(e.Code), e.Packet, e.Version, byte(h.code), h.t, v, e.Detail)
		}
		if e.Detail == "" {
			t.Error("no detail")
		}
		if _, again := d.Next(); again != err {
			t.Errorf("Next again: %v, want the same error", again)
		}
		if again := d.Fill(bytes.NewReader(in)); again != err {
			t.Errorf("Fill afterwards: %v, want the same error", again)
		}
	}
}

// What the catalogue has and the codec must let pass, for it is for others to
// judge: topic syntax, limits of the session, methods of authentication.
func TestLeftToOthers(t *testing.T) {
	connects := []string{
		`10 ( "MQTT" 05 00 003c 00 "" )`,                            // B12
		`10 ( "MQTT" 05 02 003c 00 ffff 61*65535 )`,                 // B13
		`10 ( "MQTT" 05 06 003c 00 "c" 00 "a/#" "p" )`,              // B16
		`10 ( "MQTT" 05 02 003c ( 15 "unheard-of" ) "c" )`,          // B29
		`10 ( "MQTT" 04 c2 003c "c" ffff 61*65535 ffff 62*65535 )`,  // B35
		`10 ( "MQTT" 05 06 003c 00 "c" ( 18 ffffffff ) "w" "p" )`,   // E06
		`10 ( "MQTT" 05 06 003c 00 "c" ( 01 01 ) "w" 0002 c328 )`,   // payload that is not UTF-8
		`10 ( "MQTT" 04 02 003c 0003 efbfbf )`,                      // U+FFFF
		`10 ( "MQTT" 04 02 003c 0001 01 )`,                          // U+0001
		`10 ( "MQTT" 04 02 003c 0003 efbbbf )`,                      // a byte order mark [MQTT-1.5.4-3]
		`10 ( "MQIsdp" 03 02 003c "longer-than-23-bytes-is-fine" )`, // as other brokers have it
	}
	for _, c := range connects {
		decodeOne(t, packet.NewDecoder(0), wire(c))
	}
	later := []string{
		`30 ( "a/+" 00 'x' )`,               // C03
		`30 ( "#" 00 'x' )`,                 // C04
		`30 ( "a" ( 23 ffff ) 'x' )`,        // C13
		`30 ( "" ( 23 0001 ) 'x' )`,         // C14
		`30 ( "a" ( 01 01 ) c328 )`,         // C24
		`82 ( 0001 00 ffff 2f*65535 00 )`,   // C26
		`30 ( "$share/g/t" 00 'x' )`,        // C40
		`30 ( "$SYS/broker/version" 00 )`,   // C41
		`82 ( 0001 00 "+a" 00 "##" 00 )`,    // D10
		`82 ( 0001 00 "$share/g" 00 )`,      // D14
		`82 ( 0001 00 "$shared/g/a" 04 )`,   // not a shared subscription
		`82 ( 0001 00 "" 00 )`,              // an empty filter: SUBACK 0x8F
		`30 ( "a" ( 08 "re/#" ) 'x' )`,      // wildcard in a response topic
		`e0 ( 00 ( 1c "other" ) )`,          // a server reference from a client
		`f0 ( 18 ( 15 "another" 16 "d" ) )`, // not the method of CONNECT
		`40 02 7fff`,                        // nothing in flight has that id
		`62 02 7fff`,                        // C33
	}
	for _, l := range later {
		decodeOne(t, connected(t, mqtt.V5), wire(l))
	}
}

// E01 and E03: what DISCONNECT and AUTH may say depends on the CONNECT.
func TestDependsOnConnect(t *testing.T) {
	for _, tt := range []struct {
		name, connect, then string
		code                mqtt.ReasonCode
	}{
		{"E01 no session expiry", `10 ( "MQTT" 05 02 003c 00 "c" )`, `e0 ( 00 ( 11 00000001 ) )`, illegal},
		{"E01 session expiry 0", `10 ( "MQTT" 05 02 003c ( 11 00000000 ) "c" )`, `e0 ( 00 ( 11 00000001 ) )`, illegal},
		{"0 again", `10 ( "MQTT" 05 02 003c 00 "c" )`, `e0 ( 00 ( 11 00000000 ) )`, 0},
		{"E03 AUTH without method", `10 ( "MQTT" 05 02 003c 00 "c" )`, `f0 ( 18 ( 15 "m" ) )`, illegal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decodeAll(packet.NewDecoder(0), append(wire(tt.connect), wire(tt.then)...))
			var e *packet.Error
			if errors.As(err, &e) != (tt.code != 0) || e != nil && e.Code != tt.code {
				t.Errorf("error %v, want code 0x%02x", err, byte(tt.code))
			}
		})
	}
}

// E15: every type with a few bytes of nothing must not do harm.
func TestShortNoise(t *testing.T) {
	for _, v := range versions {
		for first := range 256 {
			for n := range 13 {
				for _, fill := range []byte{0x00, 0x01, 0xff} {
					in := append([]byte{byte(first), byte(n)}, bytes.Repeat([]byte{fill}, n)...)
					if all, err := decodeAll(connected(t, v), in); len(all) == 0 && err == nil {
						t.Fatalf("%v: % x: neither packet nor error", v, in)
					}
				}
			}
		}
	}
}
