//go:build unix

package pluginhost

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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

// chaos is a plugin with every vice. Its modes are the arguments in its
// manifest: "name" or "name=value".
type chaos struct {
	pluginv1.UnimplementedPluginServiceServer
	modes map[string]string
	busy  sync.WaitGroup // calls of hooks
	lock  *os.File
}

func (c *chaos) is(mode string) bool {
	_, ok := c.modes[mode]
	return ok
}

func (c *chaos) duration(mode string) time.Duration {
	d, err := time.ParseDuration(c.modes[mode])
	if err != nil {
		panic(err)
	}
	return d
}

// chaosReport is what the plugin found at Init; it writes it to its data
// directory.
type chaosReport struct {
	PID, PGID int
	Env       []string
	Stdin     string
	Lifeline  bool
	Config    string
	Instance  string
	LogLevel  string
}

func chaosMain(args []string) {
	c := &chaos{modes: make(map[string]string)}
	for _, a := range args {
		mode, value, _ := strings.Cut(a, "=")
		c.modes[mode] = value
	}
	if c.is("describe") {
		text, _ := json.Marshal(chaosManifest(filepath.Base(os.Args[0])))
		fmt.Println(string(text))
		return
	}
	if c.is("sleeper") {
		_, _ = io.Copy(io.Discard, os.Stdin) // a pipe that the test holds, or /dev/null
		time.Sleep(time.Hour)
	}
	c.beforeHandshake()
	version := 1
	if c.is("version-7") {
		version = 7
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: pluginapi.Handshake,
		VersionedPlugins: map[int]plugin.PluginSet{
			version: {pluginapi.PluginSetName: &pluginapi.GRPCPlugin{Register: func(s grpc.ServiceRegistrar) {
				if !c.is("foreign") {
					pluginv1.RegisterPluginServiceServer(s, c)
				}
				pluginv1.RegisterConnectionValidatorServiceServer(s, &chaosValidator{chaos: c})
				if c.is("gate") {
					pluginv1.RegisterMessageInterceptorServiceServer(s, &chaosGate{chaos: c})
				}
			}}},
		},
		GRPCServer: plugin.DefaultGRPCServer,
		Logger:     hclog.NewNullLogger(),
	})
}

func (c *chaos) beforeHandshake() {
	if c.is("noise") {
		fmt.Println("API server listening at: 127.0.0.1:2345")
	}
	if c.is("delay") {
		time.Sleep(c.duration("delay"))
	}
	if c.is("exit") {
		fmt.Fprintln(os.Stderr, "cannot open the database")
		os.Exit(3)
	}
	if c.is("exit-once") {
		if _, err := os.Stat(c.modes["exit-once"]); err != nil {
			_ = os.WriteFile(c.modes["exit-once"], nil, 0o600)
			os.Exit(3)
		}
	}
	if c.is("garbage") {
		fmt.Println("Welcome to Acme(tm) Rules!")
		time.Sleep(time.Hour)
	}
	if c.is("garbage-exit") {
		fmt.Println("usage: acme [OPTION]...")
		os.Exit(0)
	}
	if c.is("mute") {
		_ = os.Stdout.Close()
		time.Sleep(time.Hour)
	}
	if c.is("silent") {
		time.Sleep(time.Hour)
	}
	if c.is("hello-and-die") {
		fmt.Printf("1|1|unix|%s/x.sock|grpc\n", os.Getenv("PLUGIN_UNIX_SOCKET_DIR"))
		os.Exit(4)
	}
	if c.is("netrpc") {
		fmt.Printf("1|1|unix|%s/x.sock|netrpc\n", os.Getenv("PLUGIN_UNIX_SOCKET_DIR"))
		time.Sleep(time.Hour)
	}
	if c.is("elsewhere") {
		_ = os.Setenv("PLUGIN_UNIX_SOCKET_DIR", filepath.Dir(os.Getenv("PLUGIN_UNIX_SOCKET_DIR")))
	}
	if c.is("hostile-log") {
		for _, line := range hostileLines {
			fmt.Fprintln(os.Stderr, line)
		}
	}
	if c.is("deaf") {
		signal.Ignore(syscall.SIGTERM)
	}
	if c.is("grandchild") {
		c.bear(false)
	}
	if c.is("escaped-grandchild") {
		c.bear(true)
	}
}

// hostileLines end go-plugin's own host, or are a burden to any.
var hostileLines = []string{
	`{"@message": 1}`,
	`{"@message":"hi","@level":7}`,
	`{"@message":"hi","@level":"info","@timestamp":12}`,
	`{"@message":{"a":[1,2,3]},"@level":null}`,
	`{"@level":"error","@message":"an error","plugin":"another","time":"never"}`,
	`{`,
	`[]`,
	`{"@message":` + strings.Repeat("[", 20000),
	"{\"msg\":\"\xff\xfe\x00\"}",
	strings.Repeat("x", 1<<20),
}

// bear starts a child that inherits standard error and stays.
func (c *chaos) bear(escaped bool) {
	child := exec.Command(os.Args[0], "sleeper")
	child.Stderr = os.Stderr
	child.Stdout = os.Stdout
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: escaped}
	if err := child.Start(); err != nil {
		panic(err)
	}
	fmt.Fprintf(os.Stderr, "grandchild %d\n", child.Process.Pid)
}

func (c *chaos) Init(ctx context.Context, in *pluginv1.InitRequest) (*pluginv1.InitResponse, error) {
	c.report(in)
	if c.is("single") {
		lock, err := lockFile(filepath.Join(in.GetDataDir(), "lock"))
		if err != nil {
			return nil, err
		}
		c.lock = lock // until the process ends
	}
	switch {
	case c.is("hang-init"):
		<-ctx.Done()
		time.Sleep(time.Hour)
	case c.is("late-init"): // as gRPC's server, whose clock may be ahead
		end, _ := ctx.Deadline()
		time.Sleep(time.Until(end) - 50*time.Millisecond)
		return nil, status.Error(codes.Canceled, "late")
	case c.is("die-in-init"):
		go panic("boom in Init")
		time.Sleep(time.Hour)
	case c.is("picky") && strings.Contains(string(in.GetConfigJson()), "bad"):
		return &pluginv1.InitResponse{Diagnostics: []*pluginv1.Diagnostic{{
			Severity: pluginv1.Severity_SEVERITY_ERROR, Path: "/bad", Message: "this is no good",
		}}}, nil
	case c.is("unknown-key"):
		return &pluginv1.InitResponse{Diagnostics: []*pluginv1.Diagnostic{{
			Severity: pluginv1.Severity_SEVERITY_ERROR, Path: "/colour",
			Message: `unknown key "colour"; the known keys are: path, mode`,
		}}}, nil
	case c.is("nonsense"):
		return &pluginv1.InitResponse{
			Name: "chaos", Version: "1.0.0", Services: hookServices[:1],
			Interest: []*pluginv1.HookInterest{{Hook: pluginv1.Hook_HOOK_PUBLISH, TopicFilters: []string{"a/#/b"}}},
		}, nil
	}
	if c.is("gate") {
		init := gateInit()
		init.Version = c.version()
		return init, nil
	}
	go c.later()
	out := &pluginv1.InitResponse{
		Name: "chaos", Version: c.version(), Services: hookServices[:1],
		Capabilities: &pluginv1.Capabilities{Reconfigure: c.is("reconfigure")},
	}
	if c.is("no-service") {
		out.Services = nil
	}
	return out, nil
}

// version is what the mode "v" says.
func (c *chaos) version() string {
	if v, ok := c.modes["v"]; ok {
		return v
	}
	return "1.0.0"
}

// Reconfigure takes every configuration but one with the key "bad".
func (c *chaos) Reconfigure(_ context.Context, in *pluginv1.ReconfigureRequest) (*pluginv1.ReconfigureResponse, error) {
	if strings.Contains(string(in.GetConfigJson()), "bad") {
		return &pluginv1.ReconfigureResponse{Diagnostics: []*pluginv1.Diagnostic{{
			Severity: pluginv1.Severity_SEVERITY_ERROR, Path: "/bad", Message: "this is no good",
		}}}, nil
	}
	return &pluginv1.ReconfigureResponse{}, nil
}

func (c *chaos) report(in *pluginv1.InitRequest) {
	r := chaosReport{
		PID: os.Getpid(), PGID: syscall.Getpgrp(), Env: os.Environ(),
		Config: string(in.GetConfigJson()), Instance: in.GetInstance(), LogLevel: in.GetLogLevel(),
	}
	r.Stdin, _ = os.Readlink("/proc/self/fd/0")
	if info, err := os.NewFile(3, "lifeline").Stat(); err == nil {
		r.Lifeline = info.Mode()&os.ModeNamedPipe != 0
	}
	text, _ := json.Marshal(r)
	_ = os.WriteFile(filepath.Join(in.GetDataDir(), "report.json"), text, 0o600)
}

// later is what happens to a plugin that is Ready.
func (c *chaos) later() {
	if c.is("flood") {
		line := strings.Repeat("0123456789abcde ", 64) + "\n"
		real := os.NewFile(2, "stderr")
		for range 100 << 10 { // 100 MiB
			_, _ = io.WriteString(real, line)
		}
		_, _ = io.WriteString(real, "flood is over\n")
	}
	if c.is("chatter") {
		for i := range 4096 { // more than a pipe holds
			fmt.Printf("line %04d %s\n", i, strings.Repeat("-", 100))
		}
		fmt.Println("chatter is over")
	}
}

func (c *chaos) CheckHealth(context.Context, *pluginv1.CheckHealthRequest) (*pluginv1.CheckHealthResponse, error) {
	switch {
	case c.is("unfit"):
		return &pluginv1.CheckHealthResponse{
			Status: pluginv1.HealthStatus_HEALTH_STATUS_UNHEALTHY, Message: "the database is empty",
		}, nil
	case c.is("mute-health"):
		time.Sleep(time.Hour)
	case c.is("degraded"):
		return &pluginv1.CheckHealthResponse{
			Status: pluginv1.HealthStatus_HEALTH_STATUS_DEGRADED, Message: "users file is old",
		}, nil
	}
	return &pluginv1.CheckHealthResponse{Status: pluginv1.HealthStatus_HEALTH_STATUS_READY}, nil
}

func (c *chaos) Drain(context.Context, *pluginv1.DrainRequest) (*pluginv1.DrainResponse, error) {
	c.busy.Wait()
	return &pluginv1.DrainResponse{}, nil
}

func (c *chaos) Stop(ctx context.Context, in *pluginv1.StopRequest) (*pluginv1.StopResponse, error) {
	switch {
	case c.is("deaf"):
		time.Sleep(time.Hour)
	case c.is("no-stop"):
		return c.UnimplementedPluginServiceServer.Stop(ctx, in)
	}
	time.AfterFunc(5*time.Millisecond, func() { os.Exit(0) })
	return &pluginv1.StopResponse{}, nil
}

// chaosValidator allows everybody, and says which version did. For the user
// "slow" it writes the file that the client identifier names, and takes its
// time; for "wait" it then waits until the file is removed; "crash" ends it.
type chaosValidator struct {
	pluginv1.UnimplementedConnectionValidatorServiceServer
	chaos *chaos
}

func (v *chaosValidator) Validate(_ context.Context, in *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error) {
	v.chaos.busy.Add(1)
	defer v.chaos.busy.Done()
	switch c := in.GetConnect(); c.GetUsername() {
	case "slow":
		_ = os.WriteFile(c.GetClientId(), nil, 0o600)
		time.Sleep(300 * time.Millisecond)
	case "wait":
		_ = os.WriteFile(c.GetClientId(), nil, 0o600)
		for exists(c.GetClientId()) {
			time.Sleep(time.Millisecond)
		}
	case "crash":
		go panic("boom at work")
		time.Sleep(time.Hour)
	}
	return &pluginv1.ValidateResponse{Decision: &pluginv1.Decision{
		Verdict: pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW, Reason: v.chaos.version(),
	}}, nil
}

// chaosManifest is the manifest of a plugin in a folder, or of a bare one.
func chaosManifest(name string, args ...string) *pluginapi.Manifest {
	m := &pluginapi.Manifest{
		Schema: pluginapi.ManifestSchema, Name: "chaos", Version: "1.0.0",
		API: []string{pluginapi.APIPackage}, Exclusive: slices.Contains(args, "single"), Services: hookServices[:1], Env: []string{"CHAOS_*", "GORACE"},
	}
	if len(args) > 0 {
		m.Exec = map[string][]string{"*": append([]string{"./" + name}, args...)}
	}
	return m
}
