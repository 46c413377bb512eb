package admin_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/admin"
)

func TestGuard(t *testing.T) {
	const token = "0123456789abcdef"
	for _, tt := range []struct {
		name                  string
		guard                 admin.Guard
		host, origin, bearing string
		want                  int
	}{
		{"a Unix socket", admin.Guard{}, "anything", "", "", 200},
		{"a token", admin.Guard{Token: token}, "anything", "", "Bearer " + token, 200},
		{"no token", admin.Guard{Token: token}, "anything", "", "", 401},
		{"an empty token", admin.Guard{Token: token}, "anything", "", "Bearer ", 401},
		{"half a token", admin.Guard{Token: token}, "anything", "", "Bearer " + token[:8], 401},
		{"more than the token", admin.Guard{Token: token}, "anything", "", "Bearer " + token + "0", 401},
		{"another scheme", admin.Guard{Token: token}, "anything", "", "Basic " + token, 401},
		{"an address", admin.Guard{Web: true}, "127.0.0.1:8080", "", "", 200},
		{"an address of IPv6", admin.Guard{Web: true}, "[::1]:8080", "", "", 200},
		{"an address without port", admin.Guard{Web: true}, "[::1]", "", "", 200},
		{"localhost", admin.Guard{Web: true}, "LocalHost:8080", "", "", 200},
		{"a foreign name", admin.Guard{Web: true}, "evil.example:8080", "", "", 421},
		{"no host", admin.Guard{Web: true}, "", "", "", 421},
		{"a name that is ours", admin.Guard{Web: true, Hosts: []string{"broker.example"}}, "broker.example:8080", "", "", 200},
		{"a name below ours", admin.Guard{Web: true, Hosts: []string{"broker.example"}}, "x.broker.example", "", "", 421},
		{"our own page", admin.Guard{Web: true}, "127.0.0.1:8080", "http://127.0.0.1:8080", "", 200},
		{"a foreign page", admin.Guard{Web: true}, "127.0.0.1:8080", "http://evil.example", "", 403},
		{"a page on another port", admin.Guard{Web: true}, "127.0.0.1:8080", "http://127.0.0.1:8081", "", 403},
		{"a page from nowhere", admin.Guard{Web: true}, "127.0.0.1:8080", "null", "", 403},
		{"a foreign page that knows the token", admin.Guard{Web: true, Token: token}, "127.0.0.1:8080", "http://evil.example", "Bearer " + token, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := tt.guard.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r := httptest.NewRequest(http.MethodPost, "/x", nil)
			r.Host = tt.host
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			if tt.bearing != "" {
				r.Header.Set("Authorization", tt.bearing)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if w.Header().Get("Access-Control-Allow-Origin") != "" {
				t.Error("CORS")
			}
		})
	}
}
