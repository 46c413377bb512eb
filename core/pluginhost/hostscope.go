package pluginhost

import (
	"context"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// scopeOf is the scope that a call of the host service needs, "" for none. Every
// method has an entry.
var scopeOf = map[string]string{
	pluginv1.HostService_Publish_FullMethodName:               "publish",
	pluginv1.HostService_SubscribeClient_FullMethodName:       "subscribe",
	pluginv1.HostService_UnsubscribeClient_FullMethodName:     "subscribe",
	pluginv1.HostService_ListClients_FullMethodName:           "clients.read",
	pluginv1.HostService_GetClient_FullMethodName:             "clients.read",
	pluginv1.HostService_ResetClientStatistics_FullMethodName: "clients.reset",
	pluginv1.HostService_DisconnectClient_FullMethodName:      "clients.disconnect",
	pluginv1.HostService_ListSessions_FullMethodName:          "sessions.read",
	pluginv1.HostService_GetSession_FullMethodName:            "sessions.read",
	pluginv1.HostService_DeleteSession_FullMethodName:         "sessions.write",
	pluginv1.HostService_ClearSessionQueue_FullMethodName:     "sessions.write",
	pluginv1.HostService_EnqueueMessage_FullMethodName:        "sessions.write",
	pluginv1.HostService_UpdateSessionItems_FullMethodName:    "sessions.write",
	pluginv1.HostService_ListRetained_FullMethodName:          "retained.read",
	pluginv1.HostService_GetRetained_FullMethodName:           "retained.read",
	pluginv1.HostService_PutRetained_FullMethodName:           "retained.write",
	pluginv1.HostService_DeleteRetained_FullMethodName:        "retained.write",
	pluginv1.HostService_GetShared_FullMethodName:             "shared.read",
	pluginv1.HostService_PutShared_FullMethodName:             "shared.write",
	pluginv1.HostService_UpdateGrants_FullMethodName:          "grants",
	pluginv1.HostService_StopBroker_FullMethodName:            "stop",
	pluginv1.HostService_UpdateInterest_FullMethodName:        "",
}

// Scopes returns the names of all scopes, in order.
func Scopes() []string {
	var all []string
	for _, scope := range scopeOf {
		if scope != "" && !slices.Contains(all, scope) {
			all = append(all, scope)
		}
	}
	slices.Sort(all)
	return all
}

// checkScopes refuses scopes that do not exist.
func checkScopes(scopes []string) error {
	all := Scopes()
	for _, s := range scopes {
		if !slices.Contains(all, s) {
			return fmt.Errorf("scopes: there is no scope %q; there are %s", s, strings.Join(all, ", "))
		}
	}
	return nil
}

// tokenKey is the metadata that carries the token.
const tokenKey = "gatehouse-token"

// Bounds of the time that a call may take.
const (
	hostCallTime    = 30 * time.Second // of a call without a deadline
	maxHostCallTime = 10 * time.Minute
)

// admit lets a call of the plugin's pass, or says why not: token, scope, and
// whether there is a broker to ask. It bounds the call's time.
func (s *hostService) admit(ctx context.Context, in any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if got := md.Get(tokenKey); len(got) != 1 || subtle.ConstantTimeCompare([]byte(got[0]), []byte(s.token)) != 1 {
		return nil, status.Errorf(codes.Unauthenticated, "%s is not the one that Init handed over", tokenKey)
	}
	scope, known := scopeOf[info.FullMethod]
	switch {
	case !known:
		return nil, status.Errorf(codes.Unimplemented, "%s", info.FullMethod)
	case !s.shadowing.mayCall(scope):
		return nil, status.Errorf(codes.PermissionDenied, "plugin %s runs as a shadow and may change nothing", s.name)
	case scope != "" && !slices.Contains(s.scopes, scope):
		return nil, status.Errorf(codes.PermissionDenied, "plugin %s does not have the scope %s: add it to plugins.%s.scopes in the broker's configuration",
			s.name, scope, s.name)
	case scope != "" && s.api() == nil:
		return nil, status.Error(codes.Unavailable, "the broker is starting: it can be called as soon as it asks hooks")
	}
	limit := hostCallTime
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(time.Until(deadline), maxHostCallTime)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return handle(ctx, in)
}
