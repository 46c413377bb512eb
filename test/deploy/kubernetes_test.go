package deploy

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	disruption "k8s.io/api/policy/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// cluster is what the manifest asks for.
type cluster struct {
	configs  []*core.ConfigMap
	accounts []*core.ServiceAccount
	services []*core.Service
	budgets  []*disruption.PodDisruptionBudget
	sets     []*apps.StatefulSet
}

// apply decodes a manifest, and takes no field that Kubernetes does not know.
func apply(t *testing.T, path string) *cluster {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := new(cluster)
	for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(doc, &head); err != nil {
			t.Fatal(err)
		}
		var object any
		switch head.APIVersion + " " + head.Kind {
		case "v1 ConfigMap":
			object = add(&c.configs)
		case "v1 ServiceAccount":
			object = add(&c.accounts)
		case "v1 Service":
			object = add(&c.services)
		case "policy/v1 PodDisruptionBudget":
			object = add(&c.budgets)
		case "apps/v1 StatefulSet":
			object = add(&c.sets)
		default:
			t.Fatalf("nobody looks at %s %s", head.APIVersion, head.Kind)
		}
		if err := yaml.UnmarshalStrict(doc, object, yaml.DisallowUnknownFields); err != nil {
			t.Fatalf("%s: %v", head.Kind, err)
		}
	}
	return c
}

func add[T any](list *[]*T) *T {
	object := new(T)
	*list = append(*list, object)
	return object
}

// The parts of the manifest fit together, and what is in the pod may do no more
// than the standard "restricted" permits.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	c := apply(t, filepath.Join(program.Root(), "contrib/kubernetes/gatehouse.yaml"))
	if len(c.sets) != 1 || len(c.configs) != 1 || len(c.budgets) != 1 || len(c.services) != 2 || len(c.accounts) != 1 {
		t.Fatalf("%+v", c)
	}
	set := c.sets[0]
	pod := set.Spec.Template
	for _, selector := range []map[string]string{
		set.Spec.Selector.MatchLabels, c.budgets[0].Spec.Selector.MatchLabels, c.services[0].Spec.Selector, c.services[1].Spec.Selector,
	} {
		for key, value := range selector {
			if pod.Labels[key] != value {
				t.Errorf("the selector %s=%s does not fit the pod", key, value)
			}
		}
		if len(selector) == 0 {
			t.Error("a selector takes everything")
		}
	}
	checks, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range checks.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			t.Errorf("not restricted: %s: %s", result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
	broker := pod.Spec.Containers[0]
	if s := broker.SecurityContext; s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
		t.Error("the root file system can be written to")
	}
	var ports []string
	for _, p := range broker.Ports {
		ports = append(ports, p.Name)
	}
	for name, probe := range map[string]*core.Probe{"startup": broker.StartupProbe, "readiness": broker.ReadinessProbe, "liveness": broker.LivenessProbe} {
		switch {
		case probe == nil:
			t.Errorf("no %s probe", name)
		case probe.TCPSocket != nil && !slices.Contains(ports, probe.TCPSocket.Port.StrVal):
			t.Errorf("the %s probe asks at port %s", name, probe.TCPSocket.Port.StrVal)
		case probe.HTTPGet != nil && !slices.Contains(ports, probe.HTTPGet.Port.StrVal):
			t.Errorf("the %s probe asks at port %s", name, probe.HTTPGet.Port.StrVal)
		}
	}
	for _, s := range c.services {
		for _, p := range s.Spec.Ports {
			if !slices.Contains(ports, p.TargetPort.StrVal) {
				t.Errorf("service %s leads to port %s", s.Name, p.TargetPort.StrVal)
			}
		}
	}
	if !slices.ContainsFunc(c.services, func(s *core.Service) bool { return s.Name == set.Spec.ServiceName }) {
		t.Errorf("there is no service %s", set.Spec.ServiceName)
	}
	mounted(t, set)
	checkConfig(t, broker.Args, c.configs[0].Data["gatehouse.yaml"])
}

// mounted checks that what is mounted exists, and that folders of the command
// line are mounted.
func mounted(t *testing.T, set *apps.StatefulSet) {
	t.Helper()
	var volumes []string
	for _, v := range set.Spec.Template.Spec.Volumes {
		volumes = append(volumes, v.Name)
	}
	for _, v := range set.Spec.VolumeClaimTemplates {
		volumes = append(volumes, v.Name)
	}
	broker := set.Spec.Template.Spec.Containers[0]
	for _, m := range broker.VolumeMounts {
		if !slices.Contains(volumes, m.Name) {
			t.Errorf("there is no volume %s", m.Name)
		}
	}
	for _, arg := range broker.Args {
		flag, path, found := strings.Cut(arg, "=")
		if !found || flag == "--plugin-dir" {
			continue
		}
		if !slices.ContainsFunc(broker.VolumeMounts, func(m core.VolumeMount) bool { return strings.HasPrefix(path, m.MountPath+"/") }) {
			t.Errorf("%s: nothing is mounted there", arg)
		}
	}
}

// checkConfig has the broker check a command line with a configuration.
func checkConfig(t *testing.T, args []string, config string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gatehouse.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var line []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if name, _, joined := strings.Cut(arg, "="); name == "--config" {
			arg = "--config=" + path
			if !joined {
				i++
			}
		}
		line = append(line, arg)
	}
	if !slices.Contains(line, "--config="+path) {
		t.Fatalf("no configuration is named in %q", args)
	}
	out, err := exec.Command(program.Ours(t, "./cmd/broker"), append(line, "--check-config")...).CombinedOutput()
	if err != nil {
		t.Errorf("%q: %v\n%s", line, err, out)
	}
}
