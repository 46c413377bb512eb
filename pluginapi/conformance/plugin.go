package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// pluginCases are about what every plugin has, whatever its hooks.
var pluginCases = []testCase{
	{
		startName, "it prints a handshake, serves grpc.health.v1 and PluginService, and answers Init with its configuration",
		"run it by hand and look at its first lines; --config FILE gives it another configuration", testStart,
	},
	{
		"plugin/describe", "its manifest, Describe and Init agree on name, version and services",
		"write the manifest anew: PROGRAM describe > plugin.json", testDescribe,
	},
	{
		"plugin/services", "every service and stream that Init announces is there",
		"register the service with the gRPC server, or do not announce it", testServices,
	},
	{
		"plugin/health", "it is SERVING for grpc.health.v1, and CheckHealth does not say UNHEALTHY",
		"answer CheckHealth with READY, or DEGRADED and the limitation, as long as calls are decided", testHealth,
	},
	{
		"plugin/config", "ValidateConfig finds its configuration good, and says what is wrong with one that is no JSON object",
		"let ValidateConfig and Init judge a configuration by the same code", testConfig,
	},
	{
		"plugin/unknown-key", "ValidateConfig and Init refuse a key that the plugin does not know, with a diagnostic of SEVERITY_ERROR",
		"refuse unknown keys: a key with a typing mistake must not be a setting that silently does nothing", testUnknownKey,
	},
	{
		"plugin/malformed", "bytes that are no message are answered with a gRPC status, and an unknown method with UNIMPLEMENTED",
		"leave decoding to the gRPC library, and keep its errors away from the rest of the plugin", testMalformed,
	},
}

func testStart(c *check) {
	if err := c.up(c.ctx); err != nil {
		c.fatalf("%v", err)
	}
}

func testDescribe(c *check) {
	ctx, cancel := c.call()
	defer cancel()
	out, err := pluginv1.NewPluginServiceClient(c.process.Conn).Describe(ctx, &pluginv1.DescribeRequest{})
	if err != nil {
		c.fatalf("answers Describe with %s", rpcError(err))
	}
	running, err := pluginapi.ParseManifest(out.GetManifestJson())
	if err != nil {
		c.fatalf("answers Describe with a manifest that is none: %v", err)
	}
	if !slices.Contains(running.API, pluginapi.APIPackage) {
		c.failf("does not name %s in the api of its manifest", pluginapi.APIPackage)
	}
	c.compare("Init", c.init.GetName(), c.init.GetVersion(), c.init.GetServices(), running)
	if m := c.Manifest; m != nil {
		c.compare("the manifest of its folder or program", m.Name, m.Version, m.Services, running)
		if m.Exclusive != running.Exclusive {
			c.failf("is exclusive by one of manifest and Describe, and not by the other")
		}
		if !sameSet(m.Env, running.Env) {
			c.failf("wants the environment %v by its manifest and %v by Describe", m.Env, running.Env)
		}
		if !sameJSON(m.ConfigSchema, running.ConfigSchema) {
			c.failf("has another config_schema in its manifest than Describe tells")
		}
	}
}

// compare holds what Init or a file says against Describe.
func (c *check) compare(who, name, version string, services []string, running *pluginapi.Manifest) {
	if name != running.Name || version != running.Version {
		c.failf("is %s %s by %s, and %s %s by Describe", name, version, who, running.Name, running.Version)
	}
	if !sameSet(services, running.Services) {
		c.failf("serves %s by %s, and %s by Describe", list(services), who, list(running.Services))
	}
}

func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(slices.Sorted(slices.Values(names)), ", ")
}

func sameSet(a, b []string) bool {
	set := func(names []string) map[string]bool {
		m := make(map[string]bool)
		for _, n := range names {
			m[n] = true
		}
		return m
	}
	return maps.Equal(set(a), set(b))
}

// sameJSON compares texts of JSON without regard to spaces; nothing is the same
// as null.
func sameJSON(a, b json.RawMessage) bool {
	form := func(raw json.RawMessage) string {
		var v any
		if json.Unmarshal(raw, &v) != nil || v == nil {
			return "null"
		}
		text, err := json.Marshal(v) // with sorted keys
		if err != nil {
			return "null"
		}
		return string(text)
	}
	return form(a) == form(b)
}

func testServices(c *check) {
	probes := map[string]func(context.Context) error{
		validatorService: func(ctx context.Context) error {
			_, err := pluginv1.NewConnectionValidatorServiceClient(c.process.Conn).Validate(ctx,
				&pluginv1.ValidateRequest{Connect: c.connect("probe")})
			return err
		},
		interceptorService: func(ctx context.Context) error {
			_, err := pluginv1.NewMessageInterceptorServiceClient(c.process.Conn).Intercept(ctx, &pluginv1.InterceptRequest{})
			return err
		},
		observerService: func(ctx context.Context) error {
			_, err := pluginv1.NewObserverServiceClient(c.process.Conn).Observe(ctx, &pluginv1.ObserveRequest{})
			return err
		},
		storeService: func(ctx context.Context) error {
			stream, err := pluginv1.NewRetainedStoreServiceClient(c.process.Conn).Load(ctx, &pluginv1.LoadRequest{})
			if err != nil {
				return err
			}
			_, err = stream.Recv()
			return err
		},
	}
	if len(c.init.GetServices()) == 0 {
		c.failf("announces no service, so that there would be nothing to call")
	}
	for kind, service := range serviceOf {
		if c.serves(service) && c.missing(probes[service]) {
			c.failf("announces %s and does not serve it", service)
			c.blocked[kind] = "the plugin announces " + service + " and does not serve it"
		}
	}
	for _, s := range c.streams() {
		if s.announced && c.serves(s.service) && c.blocked[s.kind] == "" && c.missing(s.probe) {
			c.failf("announces %s and does not have it", s.what)
			c.blocked[s.kind] = "the plugin announces " + s.what + " and does not have it"
		}
	}
}

// missing reports whether a call is UNIMPLEMENTED. Any other outcome is for
// other cases to judge.
func (c *check) missing(probe func(context.Context) error) bool {
	ctx, cancel := c.call()
	defer cancel()
	return status.Code(probe(ctx)) == codes.Unimplemented
}

// streamProbe is a method that a capability announces.
type streamProbe struct {
	kind, service, what string
	announced           bool
	probe               func(context.Context) error
}

func (c *check) streams() []streamProbe {
	conn, caps := c.process.Conn, c.init.GetCapabilities()
	return []streamProbe{
		{"interceptor", interceptorService, "intercept_stream", caps.GetInterceptStream(), func(ctx context.Context) error {
			s, err := pluginv1.NewMessageInterceptorServiceClient(conn).InterceptStream(ctx)
			return ended(s, err)
		}},
		{"observer", observerService, "observe_stream", caps.GetObserveStream(), func(ctx context.Context) error {
			s, err := pluginv1.NewObserverServiceClient(conn).ObserveStream(ctx)
			return ended(s, err)
		}},
		{"validator", validatorService, "enhanced_authentication", caps.GetEnhancedAuthentication(), func(ctx context.Context) error {
			s, err := pluginv1.NewConnectionValidatorServiceClient(conn).Authenticate(ctx)
			return ended(s, err)
		}},
		{"store", storeService, "snapshot", caps.GetSnapshot(), func(ctx context.Context) error {
			s, err := pluginv1.NewRetainedStoreServiceClient(conn).Snapshot(ctx, &pluginv1.SnapshotRequest{})
			if err != nil {
				return err
			}
			_, err = s.Recv()
			return err
		}},
	}
}

// ended ends a stream that was just opened and returns what the other side says
// to that.
func ended(s grpc.ClientStream, err error) error {
	if err != nil {
		return err
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	return s.RecvMsg(new(pluginv1.StopResponse)) // any message: its content is of no interest
}

func testHealth(c *check) {
	ctx, cancel := c.call()
	defer cancel()
	out, err := healthv1.NewHealthClient(c.process.Conn).Check(ctx, &healthv1.HealthCheckRequest{Service: pluginapi.HealthService})
	switch {
	case err != nil:
		c.failf("answers grpc.health.v1 for the service %q with %s", pluginapi.HealthService, rpcError(err))
	case out.GetStatus() != healthv1.HealthCheckResponse_SERVING:
		c.failf("is %s by grpc.health.v1", out.GetStatus())
	}
	ctx, cancel = c.call()
	defer cancel()
	health, err := pluginv1.NewPluginServiceClient(c.process.Conn).CheckHealth(ctx, &pluginv1.CheckHealthRequest{})
	switch {
	case status.Code(err) == codes.Unimplemented:
	case err != nil:
		c.failf("answers CheckHealth with %s", rpcError(err))
	case health.GetStatus() == pluginv1.HealthStatus_HEALTH_STATUS_UNHEALTHY:
		c.failf("says UNHEALTHY: %q", shortened(health.GetMessage()))
	case health.GetStatus() < 0 || health.GetStatus() > pluginv1.HealthStatus_HEALTH_STATUS_UNHEALTHY:
		c.failf("answers CheckHealth with the unknown status %d", health.GetStatus())
	}
	if text := health.GetDetailsJson(); len(text) > 0 && (!json.Valid(text) || !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{"))) {
		c.failf("answers CheckHealth with details that are no JSON object: %s", shortened(string(text)))
	}
}

// validate asks ValidateConfig. ok is false where the plugin does not have it.
func (c *check) validate(config []byte) (refusals []string, ok bool) {
	ctx, cancel := c.call()
	defer cancel()
	out, err := pluginv1.NewPluginServiceClient(c.process.Conn).ValidateConfig(ctx, &pluginv1.ValidateConfigRequest{ConfigJson: config})
	if status.Code(err) == codes.Unimplemented {
		return nil, false
	}
	if err != nil {
		c.fatalf("answers ValidateConfig with %s, and not with diagnostics", rpcError(err))
	}
	return refusalsOf(out.GetDiagnostics()), true
}

func testConfig(c *check) {
	refusals, ok := c.validate(c.Config)
	if !ok {
		c.skipf("the plugin has no ValidateConfig; Init alone judges its configuration")
	}
	if len(refusals) > 0 {
		c.failf("refuses in ValidateConfig what Init has taken: %s", strings.Join(refusals, "; "))
	}
	for _, bad := range []string{`{`, `[]`, `"text"`, "{} trailing"} {
		refusals, _ := c.validate([]byte(bad))
		if len(refusals) == 0 {
			c.failf("finds the configuration %q good", bad)
		} else if slices.Contains(refusals, "") {
			c.failf("does not say what is wrong with the configuration %q", bad)
		}
	}
}

// unknownKey is no plugin's.
const unknownKey = "no-such-key-of-gatehouse-check"

func testUnknownKey(c *check) {
	config, err := withKey(c.Config, unknownKey)
	if err != nil {
		c.skipf("the configuration is no JSON object: %v", err)
	}
	if refusals, ok := c.validate(config); ok && len(refusals) == 0 {
		c.failf("finds a configuration with the key %q good (ValidateConfig)", unknownKey)
	}
	if !c.process.ours() {
		return // it goes on with the configuration that it has
	}
	p := c.fresh()
	ctx, cancel := c.call()
	defer cancel()
	out, err := pluginv1.NewPluginServiceClient(p.Conn).Init(ctx, c.request(p, config))
	switch {
	case err != nil:
		c.failf("answers Init with %s where a diagnostic is due", rpcError(err))
	case len(refusalsOf(out.GetDiagnostics())) == 0:
		c.failf("starts with a configuration that has the key %q (Init)", unknownKey)
	}
}

// withKey adds a key to a JSON object.
func withKey(config []byte, key string) ([]byte, error) {
	object := make(map[string]json.RawMessage)
	if err := json.Unmarshal(config, &object); err != nil {
		return nil, err
	}
	object[key] = json.RawMessage("true")
	return json.Marshal(object)
}

func testMalformed(c *check) {
	methods := []string{pluginv1.PluginService_ValidateConfig_FullMethodName}
	for service, method := range map[string]string{
		validatorService:   pluginv1.ConnectionValidatorService_Validate_FullMethodName,
		interceptorService: pluginv1.MessageInterceptorService_Intercept_FullMethodName,
		observerService:    pluginv1.ObserverService_Observe_FullMethodName,
		storeService:       pluginv1.RetainedStoreService_Apply_FullMethodName,
	} {
		if c.serves(service) {
			methods = append(methods, method)
		}
	}
	slices.Sort(methods)
	// A field of 100 bytes of which two came, and a string that is not UTF-8.
	for _, frame := range [][]byte{{0x0a, 0x64, 0xff, 0xff}, bytes.Repeat([]byte{0xff}, 1000)} {
		for _, method := range methods {
			if code := c.raw(method, frame); code == codes.OK || code == codes.Unavailable || code == codes.DeadlineExceeded {
				c.failf("answers %s to bytes that are no message of %s", code, method)
			}
		}
	}
	if code := c.raw("/gatehouse.plugin.v1.PluginService/NoSuchMethod", nil); code != codes.Unimplemented {
		c.failf("answers an unknown method with %s", code)
	}
}
