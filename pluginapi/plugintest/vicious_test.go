package plugintest

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// vicious is a plugin that does one thing wrong, and everything else right. It is
// written without the SDK, which would not let it. Its environment says which
// hook it has (KIND) and what it does wrong (VICE).
type vicious struct {
	pluginv1.UnimplementedPluginServiceServer
	kind, vice string
	// go-plugin puts its own in their place.
	stdout, stderr *os.File
}

func (v *vicious) is(vice string) bool { return v.vice == vice }

// bad reports whether a text is one that the vice stumbles over.
func (v *vicious) bad(s string) bool { return v.is("hostile") && strings.Contains(s, "\x1b") }

var errBad = status.Error(codes.Unknown, "can't print that")

var viciousServices = map[string]string{
	"validator":   pluginv1.ConnectionValidatorService_ServiceDesc.ServiceName,
	"interceptor": pluginv1.MessageInterceptorService_ServiceDesc.ServiceName,
	"observer":    pluginv1.ObserverService_ServiceDesc.ServiceName,
	"store":       pluginv1.RetainedStoreService_ServiceDesc.ServiceName,
}

func viciousMain() {
	v := &vicious{kind: os.Getenv("KIND"), vice: os.Getenv("VICE"), stdout: os.Stdout, stderr: os.Stderr}
	if len(os.Args) > 1 { // describe
		_, _ = os.Stdout.Write(v.manifest())
		os.Exit(0)
	}
	if v.is("deaf") {
		signal.Ignore(syscall.SIGTERM)
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: pluginapi.Handshake,
		VersionedPlugins: map[int]plugin.PluginSet{
			1: {pluginapi.PluginSetName: &pluginapi.GRPCPlugin{Register: v.register}},
		},
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			o = append(o, grpc.MaxRecvMsgSize(math.MaxInt32), grpc.MaxSendMsgSize(math.MaxInt32))
			if v.is("unknown method") {
				o = append(o, grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
					return s.SendMsg(&pluginv1.StopResponse{})
				}))
			}
			return grpc.NewServer(o...)
		},
		Logger: hclog.NewNullLogger(),
	})
}

func (v *vicious) register(s grpc.ServiceRegistrar) {
	pluginv1.RegisterPluginServiceServer(s, v)
	if v.is("absent") {
		return
	}
	switch v.kind {
	case "validator":
		pluginv1.RegisterConnectionValidatorServiceServer(s, &viciousValidator{vicious: v})
	case "interceptor":
		pluginv1.RegisterMessageInterceptorServiceServer(s, &viciousInterceptor{vicious: v})
	case "observer":
		pluginv1.RegisterObserverServiceServer(s, &viciousObserver{vicious: v})
	case "store":
		store := &viciousStore{vicious: v}
		storeOfProcess = store
		pluginv1.RegisterRetainedStoreServiceServer(s, store)
	}
}

func (v *vicious) manifest() []byte {
	text, err := json.Marshal(&pluginapi.Manifest{
		Schema: 1, Name: "vicious", Version: "1.0.0", API: []string{pluginapi.APIPackage}, Services: []string{viciousServices[v.kind]},
	})
	if err != nil {
		panic(err)
	}
	return text
}

func (v *vicious) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	return &pluginv1.DescribeResponse{ManifestJson: v.manifest()}, nil
}

// judge returns what is wrong with a configuration: it has no keys.
func (v *vicious) judge(config []byte) []*pluginv1.Diagnostic {
	var keys map[string]any
	err := json.Unmarshal(config, &keys)
	if v.is("loose JSON") {
		err = nil
	}
	if err == nil && (len(keys) == 0 || v.is("lenient")) {
		return nil
	}
	return []*pluginv1.Diagnostic{{Severity: pluginv1.Severity_SEVERITY_ERROR, Message: "there are no keys"}}
}

func (v *vicious) ValidateConfig(_ context.Context, in *pluginv1.ValidateConfigRequest) (*pluginv1.ValidateConfigResponse, error) {
	return &pluginv1.ValidateConfigResponse{Diagnostics: v.judge(in.GetConfigJson())}, nil
}

func (v *vicious) Init(_ context.Context, in *pluginv1.InitRequest) (*pluginv1.InitResponse, error) {
	if v.is("exits") {
		os.Exit(3)
	}
	out := &pluginv1.InitResponse{
		Name: "vicious", Version: "1.0.0", Services: []string{viciousServices[v.kind]}, Diagnostics: v.judge(in.GetConfigJson()),
		Capabilities: &pluginv1.Capabilities{InterceptStream: true, ObserveStream: true, Snapshot: true, EnhancedAuthentication: true},
	}
	if v.is("version") {
		out.Version = "2.0.0"
	}
	if v.is("prints") {
		fmt.Fprintln(v.stdout, "debug: initialised")
	}
	switch v.kind {
	case "interceptor":
		filter := "mark/+/#"
		if v.is("filter") {
			filter = "mark/#/x"
		}
		out.Interest = []*pluginv1.HookInterest{
			{Hook: pluginv1.Hook_HOOK_PUBLISH, TopicFilters: []string{filter}, MayChange: []pluginv1.Field{pluginv1.Field_FIELD_USER_PROPERTIES}},
			{Hook: pluginv1.Hook_HOOK_SUBSCRIBE},
		}
	case "observer":
		out.Interest = []*pluginv1.HookInterest{{Hook: pluginv1.Hook_HOOK_EVENT, Snapshot: true}}
	case "store":
		storeOfProcess.open(in.GetDataDir())
	}
	return out, nil
}

func (v *vicious) CheckHealth(context.Context, *pluginv1.CheckHealthRequest) (*pluginv1.CheckHealthResponse, error) {
	if v.is("unhealthy") {
		return &pluginv1.CheckHealthResponse{Status: pluginv1.HealthStatus_HEALTH_STATUS_UNHEALTHY, Message: "I feel bad"}, nil
	}
	return &pluginv1.CheckHealthResponse{Status: pluginv1.HealthStatus_HEALTH_STATUS_READY}, nil
}

func (v *vicious) CollectMetrics(context.Context, *pluginv1.CollectMetricsRequest) (*pluginv1.CollectMetricsResponse, error) {
	return &pluginv1.CollectMetricsResponse{}, nil
}

func (v *vicious) Drain(context.Context, *pluginv1.DrainRequest) (*pluginv1.DrainResponse, error) {
	if v.is("drains for ever") {
		select {}
	}
	return &pluginv1.DrainResponse{}, nil
}

func (v *vicious) Stop(context.Context, *pluginv1.StopRequest) (*pluginv1.StopResponse, error) {
	if v.kind == "store" {
		storeOfProcess.flush()
	}
	if !v.is("stays") {
		time.AfterFunc(20*time.Millisecond, func() { os.Exit(0) })
	}
	return &pluginv1.StopResponse{}, nil
}

// viciousValidator lets in who knows the password.
type viciousValidator struct {
	pluginv1.UnimplementedConnectionValidatorServiceServer
	*vicious
	stuck  sync.RWMutex
	latest atomic.Uint64 // the connection of the latest call
}

func decided(verdict pluginv1.DecisionVerdict) *pluginv1.ValidateResponse {
	return &pluginv1.ValidateResponse{Decision: &pluginv1.Decision{Verdict: verdict}}
}

func (v *viciousValidator) Validate(ctx context.Context, in *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error) {
	v.stuck.RLock()
	defer v.stuck.RUnlock()
	c := in.GetConnect()
	if c == nil && v.is("crashes") {
		os.Exit(1)
	}
	user, password := c.GetUsername(), string(c.GetPassword())
	switch {
	case v.is("logs passwords"):
		fmt.Fprintf(v.stderr, "user %s, password %x\n", user, password)
	case v.is("logs encoded"):
		fmt.Fprintf(v.stderr, "{\"@message\":\"login\",\"password\":\"%s\"}\n", strings.ToUpper(hex.EncodeToString([]byte(password))))
	case v.is("mixes up") && (user == "anna" || strings.HasPrefix(c.GetClientId(), "crowd-")):
		v.latest.Store(c.GetConnectionId())
		time.Sleep(20 * time.Millisecond) // the others come meanwhile
		if v.latest.Load() != c.GetConnectionId() {
			user = "somebody"
		}
	case v.is("gets stuck"):
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			go v.stuck.Lock() // and never unlocks
		}
	case v.bad(user):
		return nil, errBad
	case v.is("no effect") && c.GetProtocolLevel() == 3:
		out := decided(pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW)
		out.Decision.Grants = &pluginv1.GrantList{Grants: []*pluginv1.Grant{{Filter: "#"}}}
		return out, nil
	case v.is("for good") && c.GetProtocolLevel() == 3:
		out := decided(pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW)
		out.Decision.Durability = pluginv1.Durability_DURABILITY_NONE + 1
		return out, nil
	case v.is("empty password") && user != "anna" && c != nil && c.Password != nil && password == "":
		return decided(pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW), nil
	case v.is("prefix") && user == "anna" && strings.HasPrefix(password, "secret phrase"):
		return decided(pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW), nil
	}
	if user == "anna" && password == "secret phrase" {
		return decided(pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW), nil
	}
	return decided(pluginv1.DecisionVerdict_DECISION_VERDICT_DENY), nil
}

func (v *viciousValidator) Authenticate(s pluginv1.ConnectionValidatorService_AuthenticateServer) error {
	if _, err := s.Recv(); err != nil {
		return err
	}
	verdict := pluginv1.DecisionVerdict_DECISION_VERDICT_DENY
	if v.is("trusts methods") {
		verdict = pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW
	}
	return s.Send(&pluginv1.AuthenticateResponse{Decision: &pluginv1.Decision{Verdict: verdict}})
}
