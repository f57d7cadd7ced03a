package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	appbuild "github.com/onedigest/onedigest/internal/app/build"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// named is how soon after the cluster has reported what makes a cause final the deploy must have named it, besides the time for
// which the cause is tolerated.
const named = 3 * time.Second

// broken is one cause, provoked by the chart testdata/charts/broken.
type broken struct {
	values    string         // REGISTRY and IMAGE are replaced
	sign      *regexp.Regexp // of what the kubelet or a controller reports that makes it final; nil: time itself does
	grace     time.Duration  // for which it is tolerated from then on (docs/decisions/0009)
	timeout   string         // 3 min if empty
	noPods    bool           // a quota of no pods is enforced in the namespace before the deploy
	args      []string       // more arguments of the deploy
	code      causes.Code
	kind      string // of the object that is named
	container string
	reason    string
	message   string   // a part of the message
	advice    string   // empty: that of the code
	logs      []string // among the last lines
}

const (
	probe = `periodSeconds: 1, failureThreshold: 1, httpGet: {port: 8080, path: `
)

func provocations() map[string]broken {
	pulls, zeros := regexp.MustCompile(`proxy waits: (ErrImagePull|ImagePullBackOff)`), strings.Repeat("0", 64)
	all := map[string]broken{
		"image absent": {values: `sidecars: [{name: proxy, image: "REGISTRY/absent@sha256:` + zeros + `"}]`, sign: pulls,
			code: causes.ImageNotPulled, kind: "Pod", container: "proxy", message: "not found"},
		"image name": {values: `sidecars: [{name: proxy, image: "REGISTRY/Shop"}]`, sign: regexp.MustCompile(`proxy waits: InvalidImageName`),
			code: causes.ImageNameInvalid, kind: "Pod", container: "proxy", reason: "InvalidImageName", message: "invalid reference format"},
		"crash loop": {values: containerDoing("exit"), sign: regexp.MustCompile(`app waits: CrashLoopBackOff`),
			code: causes.CrashLoop, kind: "Pod", container: "app", reason: "CrashLoopBackOff", message: "exit code 3", logs: []string{"cannot go on: no DATABASE_URL"}},
		"crash loop of an init container": {values: `workload: {progressDeadlineSeconds: 15}
pod: {initContainers: [{name: first, image: "IMAGE", env: [{name: DOES, value: exit}], securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]}`,
			sign: regexp.MustCompile(`Progressing False: ProgressDeadlineExceeded`), code: causes.CrashLoop, kind: "Pod", container: "first", logs: []string{"cannot go on: no DATABASE_URL"}},
		"out of memory": {values: `container: {env: [{name: DOES, value: eat}], resources: {limits: {memory: 24Mi}}}`, sign: regexp.MustCompile(`app waits: CrashLoopBackOff`),
			code: causes.OutOfMemory, kind: "Pod", container: "app", reason: "OOMKilled", message: "its memory limit is 24Mi"},
		"secret absent": {values: `container: {envFrom: [{secretRef: {name: absent}}]}`, sign: regexp.MustCompile(`app waits: CreateContainerConfigError`), grace: 20 * time.Second,
			code: causes.ConfigurationAbsent, kind: "Pod", container: "app", reason: "CreateContainerConfigError", message: `secret "absent" not found`},
		"config map absent": {values: `container: {envFrom: [{configMapRef: {name: absent}}]}`, sign: regexp.MustCompile(`app waits: CreateContainerConfigError`), grace: 20 * time.Second,
			code: causes.ConfigurationAbsent, kind: "Pod", container: "app", message: `configmap "absent" not found`},
		"key absent": {values: `objects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: some}, data: {a: b}}]
container: {env: [{name: A, valueFrom: {configMapKeyRef: {name: some, key: absent}}}]}`, sign: regexp.MustCompile(`app waits: CreateContainerConfigError`), grace: 20 * time.Second,
			code: causes.ConfigurationAbsent, kind: "Pod", container: "app", message: `couldn't find key absent in ConfigMap`},
		"secret absent as a volume": {values: `pod: {volumes: [{name: v, secret: {secretName: absent}}]}
container: {volumeMounts: [{name: v, mountPath: /v}]}`, sign: regexp.MustCompile(`event FailedMount`), grace: 40 * time.Second, code: causes.ConfigurationAbsent, kind: "Pod", reason: "FailedMount", message: `secret "absent" not found`},
		"key absent in a volume": {values: `objects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: some}, data: {a: b}}]
pod: {volumes: [{name: v, configMap: {name: some, items: [{key: absent, path: x}]}}]}
container: {volumeMounts: [{name: v, mountPath: /v}]}`, sign: regexp.MustCompile(`event FailedMount`), grace: 40 * time.Second, code: causes.ConfigurationAbsent, kind: "Pod", reason: "FailedMount", message: "references non-existent config key"},
		"not ready": {values: `container: {env: [{name: READY, value: "500"}], startupProbe: {` + probe + `/started}}, readinessProbe: {` + probe + `/ready}}}`,
			sign: regexp.MustCompile(`event Unhealthy: Readiness`), grace: 10 * time.Second,
			code: causes.NotReady, kind: "Pod", container: "app", reason: "Unhealthy", message: "Readiness probe failed: HTTP probe failed with statuscode: 500", logs: []string{"listening on 8080"}},
		"not alive": {values: `container: {env: [{name: LIVE, value: "503"}], livenessProbe: {` + probe + `/live}}, readinessProbe: {initialDelaySeconds: 60, ` + probe + `/ready}}}`,
			sign: regexp.MustCompile(`app started again 2 times|app waits: CrashLoopBackOff`), code: causes.NotAlive, kind: "Pod", container: "app",
			message: "Liveness probe failed: HTTP probe failed with statuscode: 503", logs: []string{"listening on 8080"}},
		"never started": {values: `container: {env: [{name: DOES, value: sleep}], startupProbe: {` + probe + `/started}}}`,
			sign: regexp.MustCompile(`event Killing: .*failed startup probe`), code: causes.NotAlive, kind: "Pod", container: "app", message: "Startup probe failed: ", logs: []string{"broken: sleep"}},
		"claim": {values: `objects: [{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: disk}, spec: {storageClassName: absent, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]
pod: {volumes: [{name: v, persistentVolumeClaim: {claimName: disk}}]}`, sign: regexp.MustCompile(`event ProvisioningFailed`),
			code: causes.VolumePending, kind: "PersistentVolumeClaim", reason: "ProvisioningFailed", message: `storageclass.storage.k8s.io "absent" not found`},
		"claim of a StatefulSet": {values: `kind: StatefulSet
workload: {serviceName: none, volumeClaimTemplates: [{metadata: {name: v}, spec: {storageClassName: absent, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}`,
			sign: regexp.MustCompile(`event ProvisioningFailed`), code: causes.VolumePending, kind: "PersistentVolumeClaim", message: `storageclass.storage.k8s.io "absent" not found`},
		"claim absent": {values: `pod: {volumes: [{name: v, persistentVolumeClaim: {claimName: absent}}]}`, sign: regexp.MustCompile(`unscheduled: .*persistentvolumeclaim "absent" not found`),
			code: causes.VolumePending, kind: "Pod", message: `persistentvolumeclaim "absent" not found`},
		"no room": {values: `container: {resources: {requests: {cpu: "1000"}}}`, sign: regexp.MustCompile(`unscheduled: .*Insufficient cpu`), grace: 30 * time.Second,
			code: causes.Unschedulable, kind: "Pod", reason: "Unschedulable", message: "Insufficient cpu"},
		"no such node": {values: `pod: {nodeSelector: {example.com/none: "yes"}}`, sign: regexp.MustCompile(`unscheduled: .*didn't match`), grace: 30 * time.Second,
			code: causes.Unschedulable, kind: "Pod", message: "didn't match Pod's node affinity/selector"},
		"hook": {values: "objects: [{" + job("pre-install", "exit") + "}]", sign: regexp.MustCompile(`job migrate failed`),
			code: causes.HookFailed, kind: "Pod", container: "app", reason: "PodFailed", message: "exit code 3", logs: []string{"cannot go on: no DATABASE_URL"}},
		"hook that is tried again": {values: "objects: [{" + strings.Replace(job("pre-install", "exit"), "restartPolicy: Never", "restartPolicy: OnFailure", 1) + "}]", sign: regexp.MustCompile(`job migrate failed`),
			code: causes.HookFailed, kind: "Pod", container: "app", message: "exit code 3", logs: []string{"cannot go on: no DATABASE_URL"}},
		"hook that cannot start": {values: "objects: [{" + strings.Replace(job("pre-install", "exit"), "IMAGE", "REGISTRY/Shop", 1) + "}]", sign: regexp.MustCompile(`app waits: InvalidImageName`),
			code: causes.HookFailed, kind: "Pod", container: "app", reason: "InvalidImageName (OD-102)", advice: causes.ImageNameInvalid.Cause().Advice},
		"no progress": {values: `workload: {progressDeadlineSeconds: 4}
pod: {readinessGates: [{conditionType: example.com/never}]}`, sign: regexp.MustCompile(`Progressing False: ProgressDeadlineExceeded`),
			code: causes.ProgressDeadline, kind: "Pod", message: "readiness gate"},
		"job": {values: "kind: Job\nworkload: {backoffLimit: 0}\n" + containerDoing("exit"), sign: regexp.MustCompile(`job \S+ failed`),
			code: causes.JobFailed, kind: "Pod", container: "app", reason: "PodFailed", message: "exit code 3", logs: []string{"cannot go on: no DATABASE_URL"}},
		"job out of time": {values: "kind: Job\nworkload: {activeDeadlineSeconds: 3}\n" + containerDoing("sleep"), sign: regexp.MustCompile(`job \S+ failed`),
			code: causes.JobFailed, reason: "DeadlineExceeded", message: "longer than specified deadline"},
		"no command": {values: `container: {command: [/absent]}`, sign: regexp.MustCompile(`app waits: (RunContainerError|CrashLoopBackOff)`),
			code: causes.ContainerNotStarted, kind: "Pod", container: "app", message: "no such file or directory"},
		"paused": {values: `workload: {paused: true}`, sign: regexp.MustCompile(`Progressing Unknown: DeploymentPaused`), grace: 20 * time.Second,
			code: causes.DeploymentPaused, kind: "Deployment", reason: "DeploymentPaused", message: "spec.paused is true"},
		"custom resource": {values: `objects: [{apiVersion: e2e.onedigest.dev/v1, kind: Widget, metadata: {name: w}, status: {observedGeneration: "1", conditions: [{type: Degraded, status: "True", reason: Any, message: no more widgets}]}}]`,
			timeout: "90s", code: causes.CustomResourceFailed, kind: "Widget", reason: "FailedWhen", message: "condition=Degraded holds: Any: no more widgets"},
		"no address": {values: `objects: [{apiVersion: v1, kind: Service, metadata: {name: outside, labels: {app.kubernetes.io/instance: shop}}, spec: {type: LoadBalancer, loadBalancerClass: example.com/none, ports: [{port: 80}]}}]`,
			timeout: "20s", args: []string{"--smoke-checks", "default"}, code: causes.NoAddress, kind: "Service", message: "no load balancer has been assigned"},
		"out of time": {values: `pod: {readinessGates: [{conditionType: example.com/never}]}`, timeout: "20s",
			code: causes.TimedOut, kind: "Pod", message: "readiness gate"},
	}
	for kind, object := range map[string]string{"Deployment": "ReplicaSet", "StatefulSet": "StatefulSet", "DaemonSet": "DaemonSet", "Job": "Job"} {
		extra := ""
		if kind == "StatefulSet" {
			extra = "workload: {serviceName: none}\n"
		}
		all["quota of a "+kind] = broken{values: "kind: " + kind + "\n" + extra, noPods: true, sign: regexp.MustCompile(`FailedCreate.*exceeded quota`),
			code: causes.QuotaExceeded, kind: object, reason: "FailedCreate", message: "exceeded quota: none"}
		all["admission of a "+kind] = broken{values: "kind: " + kind + "\n" + extra + "container: {securityContext: {allowPrivilegeEscalation: true}}", sign: regexp.MustCompile(`FailedCreate.*violates PodSecurity`),
			code: causes.AdmissionRefused, kind: object, reason: "FailedCreate", message: `violates PodSecurity "restricted:latest"`}
	}
	return all
}

func containerDoing(what string) string {
	return "container: {env: [{name: DOES, value: " + what + "}]}"
}

// job is a hook's Job, in one line of YAML without its braces.
func job(hook, what string) string {
	return `apiVersion: batch/v1, kind: Job, metadata: {name: migrate, annotations: {helm.sh/hook: ` + hook + `, helm.sh/hook-delete-policy: "before-hook-creation,hook-failed"}}, ` +
		`spec: {backoffLimit: 0, template: {spec: {restartPolicy: Never, terminationGracePeriodSeconds: 1, automountServiceAccountToken: false, ` +
		`securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}, ` +
		`containers: [{name: app, image: "IMAGE", env: [{name: DOES, value: ` + what + `}], securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]}}}`
}

// TestDiagnosis provokes every cause of a failed rollout on the real node and wants it named, with its object, its container and
// what to try, as soon as the cluster has reported what makes it final.
func TestDiagnosis(t *testing.T) {
	onNode(t)
	t.Parallel()
	tree := newCheckout(t)
	for _, part := range []string{"broken", "charts/broken"} {
		if err := os.CopyFS(filepath.Join(tree.dir, part), os.DirFS(filepath.Join(site.root, "e2e/testdata", part))); err != nil {
			t.Fatal(err)
		}
	}
	tree.commit("a program that goes wrong")
	built := field(t, tree.verb(t.Context(), appbuild.Command(), "--repository", site.registry+"/shop", "--context", "broken", "--output", "json"), "image")
	shown := map[causes.Code]bool{}
	for name, cause := range provocations() {
		shown[cause.code] = true
		t.Run(name, func(t *testing.T) {
			beside(t)
			provoke(t, tree, built, strings.ReplaceAll(name, " ", "-"), cause)
		})
	}
	for _, trouble := range causes.All {
		if strings.HasPrefix(string(trouble.Code), "OD-1") && !shown[trouble.Code] {
			t.Errorf("%s is not provoked", trouble.Code)
		}
	}
}

func provoke(t *testing.T, tree checkout, image, name string, cause broken) {
	tree.t = t
	namespace := "broken-" + strings.ToLower(name)
	tree.write(name+".yaml", strings.NewReplacer("REGISTRY", site.registry, "IMAGE", image).Replace(cause.values)+"\n")
	cluster := client(t)
	if cause.noPods {
		forbidPods(t, cluster, namespace)
	}
	reports := observe(t, cluster, namespace, cause.sign)
	t.Cleanup(func() {
		_ = cluster.CoreV1().Namespaces().Delete(context.Background(), namespace, meta.DeleteOptions{})
	})
	tree.own(namespace)
	logged := &stampedLog{pattern: regexp.MustCompile(string(cause.code) + " ")}
	var stdout bytes.Buffer
	args := []string{"--environment", namespace, "--image", image, "--chart", "charts/broken", "--values", name + ".yaml", "--release", "shop",
		"--create-namespace", "--pod-security", "restricted", "--timeout", cmp.Or(cause.timeout, "3m"), "--lease-duration", "3s", "--output", "json"}
	args = append(args, cause.args...)
	environ := append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "KUBECONFIG=" + site.kubeconfig, "USER=e2e"}, site.aws...)
	code := appdeploy.Command().Run(t.Context(), app.Process{Args: args, Environ: environ, Dir: tree.dir, Stdout: &stdout, Stderr: io.MultiWriter(logged, testLog{t}), Now: time.Now})
	var failed struct{ Result deploy.Result }
	if err := json.Unmarshal(stdout.Bytes(), &failed); err != nil || code != release.ExitFailed || failed.Result.Diagnosis == nil {
		t.Fatalf("exit %d, %v in %s", code, err, &stdout)
	}
	got := *failed.Result.Diagnosis
	cause.checkDiagnosis(t, got)
	if cause.sign == nil {
		return
	}
	final, at := reports.at(), logged.at()
	switch {
	case final.IsZero():
		t.Errorf("the cluster never reported %s:\n%s", cause.sign, reports.all())
	case at.IsZero():
		t.Errorf("%s is never logged", cause.code)
	case at.Sub(final) > cause.grace+named:
		t.Errorf("named %s after the cluster's report, want at most %s", at.Sub(final), cause.grace+named)
	default:
		t.Logf("TIMING %s %s: named %s after the cluster's report (tolerated for %s)", cause.code, name, at.Sub(final).Round(time.Millisecond), cause.grace)
	}
}

// forbidPods creates the namespace with a quota of no pods, and waits until the apiserver enforces it. Until its cache holds a new
// quota, the apiserver admits pods, so a quota in the chart itself would race with the chart's pods.
func forbidPods(t *testing.T, cluster kubernetes.Interface, namespace string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if _, err := cluster.CoreV1().Namespaces().Create(ctx, &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: namespace}}, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	none := &core.ResourceQuota{ObjectMeta: meta.ObjectMeta{Name: "none"}, Spec: core.ResourceQuotaSpec{Hard: core.ResourceList{core.ResourcePods: resource.MustParse("0")}}}
	if _, err := cluster.CoreV1().ResourceQuotas(namespace).Create(ctx, none, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod := &core.Pod{ObjectMeta: meta.ObjectMeta{Name: "refused"}, Spec: core.PodSpec{Containers: []core.Container{{Name: "any", Image: "any"}}}}
	for {
		_, err := cluster.CoreV1().Pods(namespace).Create(ctx, pod, meta.CreateOptions{DryRun: []string{meta.DryRunAll}})
		if err != nil && strings.Contains(err.Error(), "exceeded quota: none") {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the quota is not enforced: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// checkDiagnosis compares a diagnosis with the expected one.
func (b broken) checkDiagnosis(t *testing.T, got release.Diagnosis) {
	t.Helper()
	if b.advice == "" {
		b.advice = b.code.Cause().Advice
	}
	if got.Code != b.code || got.Object.Kind != b.kind && b.kind != "" || got.Container != b.container && b.container != "" || got.Reason != b.reason && b.reason != "" ||
		!strings.Contains(got.Message, b.message) || got.Advice != b.advice {
		t.Errorf("got %+v, want %+v", got, b)
	}
	for _, line := range b.logs {
		if !strings.Contains(strings.Join(got.Logs, "\n"), line) && !strings.Contains(strings.Join(got.Previous, "\n"), line) {
			t.Errorf("no %q in the log: %q, before: %q", line, got.Logs, got.Previous)
		}
	}
	// No controller sends an event about a load balancer class that is nobody's, nor about a paused Deployment; none is there for the
	// custom resource.
	if len(got.Events) == 0 && b.kind != "" && b.code != causes.NoAddress && b.code != causes.DeploymentPaused && b.code != causes.CustomResourceFailed {
		t.Errorf("no events: %+v", got)
	}
}

// stampedLog remembers when a pattern was first written.
type stampedLog struct {
	pattern *regexp.Regexp
	mu      sync.Mutex
	first   time.Time
	lines   []string
}

func (l *stampedLog) Write(text []byte) (int, error) {
	l.note(string(text))
	return len(text), nil
}

func (l *stampedLog) note(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, text)
	if l.first.IsZero() && l.pattern != nil && l.pattern.MatchString(text) {
		l.first = time.Now()
	}
}

func (l *stampedLog) at() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

func (l *stampedLog) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// observe watches a namespace besides the deploy, and notes when the cluster reports something.
func observe(t *testing.T, cluster *kubernetes.Clientset, namespace string, pattern *regexp.Regexp) *stampedLog {
	t.Helper()
	reports := &stampedLog{pattern: pattern}
	ctx, stop := context.WithCancel(context.Background())
	var watches sync.WaitGroup
	t.Cleanup(func() { stop(); watches.Wait() })
	for what, open := range map[string]func() (watch.Interface, error){
		"pods": func() (watch.Interface, error) {
			return cluster.CoreV1().Pods(namespace).Watch(ctx, meta.ListOptions{})
		},
		"events": func() (watch.Interface, error) {
			return cluster.CoreV1().Events(namespace).Watch(ctx, meta.ListOptions{})
		},
		"replicasets": func() (watch.Interface, error) {
			return cluster.AppsV1().ReplicaSets(namespace).Watch(ctx, meta.ListOptions{})
		},
		"deployments": func() (watch.Interface, error) {
			return cluster.AppsV1().Deployments(namespace).Watch(ctx, meta.ListOptions{})
		},
		"jobs": func() (watch.Interface, error) {
			return cluster.BatchV1().Jobs(namespace).Watch(ctx, meta.ListOptions{})
		},
	} {
		changes, err := open()
		if err != nil {
			t.Fatalf("watching %s: %v", what, err)
		}
		watches.Go(func() {
			defer changes.Stop()
			for change := range changes.ResultChan() {
				for _, line := range linesOf(change) {
					reports.note(line)
				}
			}
		})
	}
	return reports
}

// linesOf is what a change says of how a workload fares.
func linesOf(change watch.Event) (lines []string) {
	switch object := change.Object.(type) {
	case *core.Pod:
		for _, status := range append(object.Status.InitContainerStatuses, object.Status.ContainerStatuses...) {
			lines = append(lines, fmt.Sprintf("%s started again %d times", status.Name, status.RestartCount))
			if waits := status.State.Waiting; waits != nil {
				lines = append(lines, fmt.Sprintf("%s waits: %s: %s", status.Name, waits.Reason, waits.Message))
			}
		}
		for _, condition := range object.Status.Conditions {
			if condition.Type == core.PodScheduled && condition.Status == core.ConditionFalse {
				lines = append(lines, "unscheduled: "+condition.Message)
			}
		}
	case *core.Event:
		lines = append(lines, fmt.Sprintf("event %s: %s", object.Reason, object.Message))
	case *apps.ReplicaSet:
		for _, condition := range object.Status.Conditions {
			lines = append(lines, fmt.Sprintf("%s %s: %s", condition.Type, condition.Reason, condition.Message))
		}
	case *apps.Deployment:
		for _, condition := range object.Status.Conditions {
			lines = append(lines, fmt.Sprintf("%s %s: %s", condition.Type, condition.Status, condition.Reason))
		}
	case *batch.Job:
		for _, condition := range object.Status.Conditions {
			if condition.Type == batch.JobFailed && condition.Status == core.ConditionTrue {
				lines = append(lines, "job "+object.Name+" failed")
			}
		}
	}
	return lines
}
