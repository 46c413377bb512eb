package hook

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// unkeyed are the fields on which no decision about the same client depends:
// numbers of the connection, what is made of the certificate's DER, and what a
// will gets from the broker.
var unkeyed = []string{
	"Connect.ConnectionID",
	"Certificate.Subject", "Certificate.Issuer", "Certificate.CommonName", "Certificate.DNSNames", "Certificate.EmailAddresses",
	"Certificate.URIs", "Certificate.IPAddresses", "Certificate.SHA256", "Certificate.Serial",
	"Message.Publisher", "Message.Origin", "Message.Created", "Message.Hops",
}

func fullConnect() *Connect {
	return &Connect{
		Will: &Will{Message: &mqtt.Message{Properties: &mqtt.Properties{}}},
		TLS:  &TLS{Certificate: &Certificate{}}, WebSocket: &WebSocket{}, Proxy: &Proxy{},
	}
}

// Every field of a CONNECT makes another key, but those that are known not to
// matter; a new field has to be thought about.
func TestKeyHasEverything(t *testing.T) {
	secret := []byte("secret")
	plain := keyOf(secret, fullConnect())
	if keyOf(secret, fullConnect()) != plain {
		t.Fatal("the key of the same is not the same")
	}
	if keyOf([]byte("another"), fullConnect()) == plain {
		t.Fatal("the secret does not matter")
	}
	seen := 0
	eachField(fullConnect(), func(c *Connect, name string) {
		seen++
		if same := keyOf(secret, c) == plain; same != slices.Contains(unkeyed, name) {
			t.Errorf("%s: same key %v", name, same)
		}
	})
	if seen < 50 {
		t.Errorf("only %d fields were tried", seen)
	}
}

// eachField tells of copies of a CONNECT in which one field differs.
func eachField(c *Connect, tell func(c *Connect, name string)) {
	var walk func(at func(*Connect) reflect.Value, v reflect.Value)
	walk = func(at func(*Connect) reflect.Value, v reflect.Value) {
		for i := range v.NumField() {
			field := func(c *Connect) reflect.Value { return at(c).Field(i) }
			if f := v.Field(i); f.Kind() == reflect.Pointer && f.Type().Elem().Kind() == reflect.Struct {
				if f.Type() != reflect.TypeFor[*mqtt.Message]() { // no will is without
					absent := fullConnect()
					field(absent).SetZero()
					tell(absent, v.Type().Name()+"."+v.Type().Field(i).Name)
				}
				walk(func(c *Connect) reflect.Value { return field(c).Elem() }, f.Elem())
				continue
			}
			changed := fullConnect()
			change(field(changed))
			tell(changed, v.Type().Name()+"."+v.Type().Field(i).Name)
		}
	}
	walk(func(c *Connect) reflect.Value { return reflect.ValueOf(c).Elem() }, reflect.ValueOf(c).Elem())
}

func change(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		m.SetMapIndex(reflect.Zero(v.Type().Key()), reflect.Zero(v.Type().Elem()))
		v.Set(m)
	case reflect.Array:
		change(v.Index(0))
	case reflect.Struct:
		v.Set(reflect.ValueOf(time.Unix(1, 0)))
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	default:
		v.SetUint(1)
	}
}

// What differs whenever the same client connects is left out, and no more.
func TestKeyOfTheSameClient(t *testing.T) {
	secret := []byte("secret")
	key := func(peer, webSocketKey, cookie string) connectKey {
		return keyOf(secret, &Connect{ClientID: "c", PeerAddress: peer, WebSocket: &WebSocket{Headers: []mqtt.UserProperty{
			{Key: "Sec-Websocket-Key", Value: webSocketKey}, {Key: "Cookie", Value: cookie},
		}}})
	}
	first := key("[::1]:1000", "a", "x")
	for _, tt := range []struct {
		peer, webSocketKey, cookie string
		same                       bool
	}{
		{"[::1]:2000", "b", "x", true},
		{"[::2]:1000", "a", "x", false},
		{"[::1]:1000", "a", "y", false},
	} {
		if got := key(tt.peer, tt.webSocketKey, tt.cookie) == first; got != tt.same {
			t.Errorf("%+v: same key %v", tt, got)
		}
	}
}
