package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// introduce makes a connected plugin ready: it must serve, accept its
// configuration and have what its manifest declares. A failure is what the
// plugin said; an error is of the connection, and the caller knows better what
// became of the plugin.
func (l *launcher) introduce(ctx context.Context, s *start, conn *grpc.ClientConn) (*pluginv1.InitResponse, *Failure, error) {
	if err := ping(ctx, conn); err != nil {
		return nil, nil, fmt.Errorf("health check: %w", err)
	}
	if s.manifest == nil {
		if err := l.shadowing.checkRunning(ctx, conn); err != nil {
			return nil, s.fail(l.now(), KindRefused, err.Error(), ""), nil
		}
	}
	in, err := l.initRequest(s)
	if err != nil {
		return nil, s.fail(l.now(), KindRefused, err.Error(), ""), nil
	}
	out, err := pluginv1.NewPluginServiceClient(conn).Init(ctx, in)
	if status.Code(err) == codes.Unimplemented {
		return nil, s.fail(l.now(), KindIncomplete, "it has no gatehouse.plugin.v1.PluginService",
			"is it a plugin of another program?"), nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("Init: %w", err)
	}
	if f := l.judge(s, out); f != nil {
		return nil, f, nil
	}
	return out, nil, nil
}

func (l *launcher) initRequest(s *start) (*pluginv1.InitRequest, error) {
	dir, err := l.dataDirOf(s.Name)
	if err != nil {
		return nil, err
	}
	return &pluginv1.InitRequest{
		HostName:     "gatehouse",
		HostVersion:  l.version,
		ApiPackages:  apiPackages,
		Instance:     s.Name,
		ConfigJson:   s.configJSON(),
		DataDir:      dir,
		LogLevel:     l.logLevel,
		HostTarget:   s.service.target,
		HostToken:    s.service.token,
		Capabilities: &pluginv1.Capabilities{InterceptStream: true, ObserveStream: true},
	}, nil
}

// dataDirOf makes a plugin's private folder.
func (l *launcher) dataDirOf(name string) (string, error) {
	if l.dataDir == "" {
		return "", errors.New("the broker has no data directory for it")
	}
	dir, err := filepath.Abs(filepath.Join(l.dataDir, "plugins", name))
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o700)
}

// judge checks what Init answered.
func (l *launcher) judge(s *start, out *pluginv1.InitResponse) *Failure {
	refusals := remarks(s.log, out.GetDiagnostics())
	if len(refusals) > 0 {
		return s.fail(l.now(), KindMisconfigured, "it refused its configuration: "+strings.Join(refusals, "; "),
			fmt.Sprintf("change config of %s in the broker's configuration, or the file that it names", s.Name))
	}
	if err := l.shadowing.check(out.GetServices(), out.GetCapabilities().GetExclusive()); err != nil {
		return s.fail(l.now(), KindRefused, err.Error(), "")
	}
	if s.manifest != nil {
		if f := l.compare(s, out); f != nil {
			return f
		}
	}
	for _, service := range out.GetServices() {
		if !slices.Contains(hookServices, service) {
			s.log.Warn("unknown service of plugin is not used", slog.String("service", clean(service, 200)))
		}
	}
	return nil
}

// compare holds Init's answer against the manifest.
func (l *launcher) compare(s *start, out *pluginv1.InitResponse) *Failure {
	var missing []string
	for _, service := range s.manifest.Services {
		if !slices.Contains(out.GetServices(), service) {
			missing = append(missing, service)
		}
	}
	if len(missing) > 0 {
		return s.fail(l.now(), KindIncomplete, "its manifest declares "+strings.Join(missing, ", ")+", but it does not serve that",
			"install program and manifest of the same version, or write the manifest anew with: PROGRAM describe")
	}
	if name, version := out.GetName(), out.GetVersion(); name != s.manifest.Name || version != s.manifest.Version {
		s.log.Warn("program and manifest of plugin differ",
			slog.String("program", clean(name+" "+version, 100)),
			slog.String("manifest", s.manifest.Name+" "+s.manifest.Version))
	}
	return nil
}

func diagnostic(d *pluginv1.Diagnostic) string {
	text := clean(d.GetMessage(), 1000)
	if path := clean(d.GetPath(), 300); path != "" {
		return path + ": " + text
	}
	return text
}
