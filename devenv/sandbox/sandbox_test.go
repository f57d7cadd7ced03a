package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/supervisor"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/teardown"
)

func discard() *log.Logger { return log.New(io.Discard, "", 0) }

// TestSandbox runs a real cluster and takes it away again, several times.
func TestSandbox(t *testing.T) {
	if os.Getenv("ONEDIGEST_SANDBOX_TEST") != "1" {
		t.Skip("NOT CHECKED: that a cluster starts, pulls with a password, answers on its load balancer without dropping " +
			"a request during a rollout, survives the loss of a component, and leaves nothing. " +
			"Set ONEDIGEST_SANDBOX_TEST=1 (needs root on Linux; compiles Kubernetes once).")
	}
	b := newBench(t)
	g := startGuarded(t)
	image := g.push(t)

	t.Run("up", func(t *testing.T) {
		b.must(t, "up", "--registry", g.host(), "--ecr-endpoint", g.ecr.URL)
		if now := b.status(t); now.Phase != supervisor.Ready || len(now.Components) != 7 {
			t.Errorf("after up the status is %+v", now)
		}
	})
	client := b.client(t)
	address := ""
	t.Run("a pod pulls with the password and answers on the load balancer", func(t *testing.T) {
		deploy(t, client, image, "one")
		address = b.balancer(t, client)
		awaitAnswer(t, address, "one")
		if !strings.HasPrefix(address, "127.77.") {
			t.Errorf("the load balancer is at %s, not in 127.77.0.0/16", address)
		}
		if g.refused.Load() == 0 || g.pulled.Load() == 0 || g.tokens.Load() == 0 {
			t.Errorf("refused %d requests, gave %d manifests and %d tokens: the pull did not go through the login", g.refused.Load(), g.pulled.Load(), g.tokens.Load())
		}
	})
	t.Run("a pod's log can be read", func(t *testing.T) {
		pods, err := client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(pods.Items) == 0 {
			t.Fatalf("listing pods: %d, %v", len(pods.Items), err)
		}
		log, err := client.CoreV1().Pods("default").GetLogs(pods.Items[0].Name, &core.PodLogOptions{}).DoRaw(t.Context())
		if err != nil || !strings.Contains(string(log), "answering as one") {
			t.Errorf("the log is %q, %v", log, err)
		}
	})
	t.Run("what a pod and the node use can be read", func(t *testing.T) {
		for path, want := range map[string]string{"namespaces/default/pods": `"name":"answer-`, "nodes": `"name":"sandbox"`} {
			await(t, "the figures of "+path, func() bool {
				text, err := client.CoreV1().RESTClient().Get().AbsPath("/apis/metrics.k8s.io/v1beta1/" + path).DoRaw(t.Context())
				return err == nil && strings.Contains(string(text), want)
			})
		}
	})
	t.Run("a rollout under load drops no request", func(t *testing.T) { rollUnderLoad(t, client, address) })
	t.Run("a registry added later serves too", func(t *testing.T) {
		later := startGuarded(t)
		other := later.push(t)
		b.must(t, "up", "--registry", later.host(), "--ecr-endpoint", later.ecr.URL)
		update(t, client, "three", other)
		awaitAnswer(t, address, "three")
		if later.pulled.Load() == 0 {
			t.Error("nothing was pulled from it")
		}
	})
	t.Run("a lost component comes back", func(t *testing.T) {
		b.must(t, "fault", "kube-apiserver", "--for", "1s")
		await(t, "the API server to be held", func() bool { return !b.component(t, "kube-apiserver").Ready })
		awaitAnswer(t, address, "three") // the data path needs no API server
		etcd := b.component(t, "etcd")
		if err := syscall.Kill(etcd.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		await(t, "both to be back", func() bool {
			return b.component(t, "kube-apiserver").Ready && b.component(t, "etcd").Ready && b.component(t, "etcd").Restarts == 1
		})
		await(t, "the API to answer", func() bool {
			_, err := client.CoreV1().Services("default").Get(t.Context(), "answer", metav1.GetOptions{})
			return err == nil
		})
	})
	t.Run("deleting the Service closes its address", func(t *testing.T) {
		if err := client.CoreV1().Services("default").Delete(t.Context(), "answer", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		await(t, "the address to refuse", func() bool { _, err := get(t.Context(), address); return err != nil })
	})
	t.Run("down leaves nothing", func(t *testing.T) {
		b.must(t, "down")
		b.nothingLeft(t)
	})
	t.Run("down after the supervisor was killed leaves nothing", func(t *testing.T) {
		b.must(t, "up", "--registry", g.host(), "--ecr-endpoint", g.ecr.URL)
		again := b.client(t)
		deploy(t, again, image, "one")
		awaitAnswer(t, b.balancer(t, again), "one")
		if err := syscall.Kill(b.status(t).Supervisor, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		await(t, "the node to end with its supervisor", func() bool { return len(b.processes(t)) == 0 })
		if now := b.status(t); now.Phase != supervisor.Stopped || len(now.Leftovers) == 0 {
			t.Errorf("after the kill the status is %+v", now)
		}
		b.must(t, "down")
		b.nothingLeft(t)
	})
	t.Run("up after a crash starts afresh", func(t *testing.T) {
		b.must(t, "up")
		if err := syscall.Kill(b.status(t).Supervisor, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		b.must(t, "up")
		b.must(t, "down")
		b.nothingLeft(t)
	})
	t.Run("two ups at once make one sandbox", func(t *testing.T) {
		var both [2]*exec.Cmd
		for i := range both {
			both[i] = exec.Command(b.program, "up", "--dir", string(b.dir))
			if err := both[i].Start(); err != nil {
				t.Fatal(err)
			}
		}
		for _, one := range both {
			if err := one.Wait(); err != nil {
				t.Error(err)
			}
		}
		if now := b.status(t); now.Phase != supervisor.Ready {
			t.Errorf("the status is %+v", now)
		}
		b.must(t, "down")
		b.nothingLeft(t)
	})
	t.Run("an interrupted up leaves nothing", func(t *testing.T) {
		interrupted := exec.Command(b.program, "up", "--dir", string(b.dir))
		if err := interrupted.Start(); err != nil {
			t.Fatal(err)
		}
		await(t, "the node to start", func() bool { return len(b.processes(t)) > 4 })
		if err := interrupted.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := interrupted.Wait(); err == nil {
			t.Error("an interrupted up succeeded")
		}
		b.nothingLeft(t)
	})
	t.Run("down without a sandbox is fine", func(t *testing.T) { b.must(t, "down") })
}

// bench is the program under test and the machine before it ran.
type bench struct {
	program string
	dir     place.Dir
	before  []string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{program: filepath.Join(t.TempDir(), "sandbox")}
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", b.program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the sandbox: %v\n%s", err, output)
	}
	parent, err := os.MkdirTemp("/var/lib", "onedigest-test-") // short, for sockets; and where the node hides things
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if output, err := exec.Command(b.program, "down", "--dir", string(b.dir)).CombinedOutput(); err != nil {
			t.Errorf("cleaning up: %v\n%s", err, output)
		}
		if err := os.Remove(parent); err != nil {
			t.Error(err)
		}
	})
	if b.dir, err = place.At(filepath.Join(parent, "s")); err != nil {
		t.Fatal(err)
	}
	b.before = machine(t)
	return b
}

// must runs a verb, which must succeed.
func (b *bench) must(t *testing.T, verb string, arguments ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	output, err := exec.CommandContext(ctx, b.program, append([]string{verb, "--dir", string(b.dir)}, arguments...)...).CombinedOutput()
	t.Logf("sandbox %s\n%s", verb, output)
	if err != nil {
		t.Fatalf("sandbox %s: %v", verb, err)
	}
}

func (b *bench) status(t *testing.T) supervisor.Status {
	t.Helper()
	output, _ := exec.Command(b.program, "status", "--dir", string(b.dir), "--output", "json").Output() //nolint:errcheck // exit 1 means not ready
	var now supervisor.Status
	if err := json.Unmarshal(output, &now); err != nil {
		t.Fatalf("reading the status %q: %v", output, err)
	}
	return now
}

func (b *bench) component(t *testing.T, name string) supervisor.Component {
	t.Helper()
	for _, c := range b.status(t).Components {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no component %q", name)
	return supervisor.Component{}
}

func (b *bench) client(t *testing.T) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", b.dir.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// balancer awaits the address of the Service answer, host:port.
func (b *bench) balancer(t *testing.T, client kubernetes.Interface) string {
	t.Helper()
	address := ""
	await(t, "an address", func() bool {
		service, err := client.CoreV1().Services("default").Get(t.Context(), "answer", metav1.GetOptions{})
		if err != nil || len(service.Status.LoadBalancer.Ingress) == 0 {
			return false
		}
		address = service.Status.LoadBalancer.Ingress[0].IP + ":80"
		return true
	})
	return address
}

func (b *bench) processes(t *testing.T) []string {
	t.Helper()
	left, err := teardown.Leftovers(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	var processes []string
	for _, one := range left {
		if strings.HasPrefix(one, "process ") {
			processes = append(processes, one)
		}
	}
	return processes
}

func (b *bench) nothingLeft(t *testing.T) {
	t.Helper()
	left, err := teardown.Leftovers(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("left behind: %s", strings.Join(left, ", "))
	}
	if diff := cmp.Diff(b.before, machine(t)); diff != "" {
		t.Errorf("the machine is not as it was (-before +after):\n%s", diff)
	}
}

func deploy(t *testing.T, client kubernetes.Interface, image, version string) {
	t.Helper()
	labels := map[string]string{"app": "answer"}
	replicas, yes, no := int32(2), true, false
	none, one := intstr.FromInt32(0), intstr.FromInt32(1)
	_, err := client.AppsV1().Deployments("default").Create(t.Context(), &apps.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "answer"},
		Spec: apps.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Strategy: apps.DeploymentStrategy{RollingUpdate: &apps.RollingUpdateDeployment{MaxUnavailable: &none, MaxSurge: &one}},
			Template: core.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: core.PodSpec{
					AutomountServiceAccountToken: &no,
					SecurityContext:              &core.PodSecurityContext{RunAsNonRoot: &yes, SeccompProfile: &core.SeccompProfile{Type: core.SeccompProfileTypeRuntimeDefault}},
					Containers: []core.Container{{
						Name: "answer", Image: image, Env: []core.EnvVar{{Name: "VERSION", Value: version}},
						Ports: []core.ContainerPort{{Name: "http", ContainerPort: 8080}},
						ReadinessProbe: &core.Probe{PeriodSeconds: 1, ProbeHandler: core.ProbeHandler{
							HTTPGet: &core.HTTPGetAction{Path: "/", Port: intstr.FromString("http")}}},
						SecurityContext: &core.SecurityContext{
							AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
							Capabilities: &core.Capabilities{Drop: []core.Capability{"ALL"}},
						},
					}},
				},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.CoreV1().Services("default").Create(t.Context(), &core.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "answer"},
		Spec: core.ServiceSpec{
			Type: core.ServiceTypeLoadBalancer, Selector: labels,
			Ports: []core.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func update(t *testing.T, client kubernetes.Interface, version, image string) {
	t.Helper()
	container := map[string]any{"name": "answer", "env": []map[string]string{{"name": "VERSION", "value": version}}}
	if image != "" {
		container["image"] = image
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{container}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.AppsV1().Deployments("default").Patch(t.Context(), "answer", "application/strategic-merge-patch+json", patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

// rollUnderLoad rolls out a new version while connections come in, each request on a new one.
func rollUnderLoad(t *testing.T, client kubernetes.Interface, address string) {
	const enough, most = 2000, 200_000
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var asked, dropped, old, fresh atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil && asked.Load() < most {
			answer, err := get(t.Context(), address)
			asked.Add(1)
			switch {
			case err != nil:
				dropped.Add(1)
				t.Logf("request %d: %v", asked.Load(), err)
			case answer == "one":
				old.Add(1)
			case answer == "two":
				fresh.Add(1)
			}
		}
	}()
	update(t, client, "two", "")
	await(t, "the rollout", func() bool {
		d, err := client.AppsV1().Deployments("default").Get(t.Context(), "answer", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		pods, err := client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas == 2 && len(pods.Items) == 2 && asked.Load() >= enough
	})
	stop()
	<-done
	if dropped.Load() > 0 || old.Load() == 0 || fresh.Load() == 0 {
		t.Errorf("of %d requests %d were dropped; %d were answered by the old version, %d by the new one", asked.Load(), dropped.Load(), old.Load(), fresh.Load())
	}
	t.Logf("%d requests, none dropped: %d old, %d new", asked.Load(), old.Load(), fresh.Load())
}

var once = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}

func get(ctx context.Context, address string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return "", err
	}
	response, err := once.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close() //nolint:errcheck // it is only read
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", response.Status)
	}
	return string(body), err
}

func awaitAnswer(t *testing.T, address, want string) {
	t.Helper()
	await(t, "the answer "+want, func() bool { answer, err := get(t.Context(), address); return err == nil && answer == want })
}

// await waits for a condition, at most two minutes.
func await(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !met(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited two minutes for %s", what)
		}
	}
}
