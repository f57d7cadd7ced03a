package rollout

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/kube/kubeconfig"
	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

var recordWith = flag.String("record", "", "kubeconfig of a sandbox on which testdata/snapshots is recorded again")

// provoked is a rollout whose snapshot is recorded.
type provoked struct {
	hook     bool
	labels   map[string]string   // of the namespace
	before   string              // objects that are there before the watch, YAML
	objects  string              // of the release, YAML
	reaches  causes.Code         // the recording is taken when an object has this code …
	until    func(snapshot) bool // … and this holds, if it is not nil
	finished bool                // the recording is taken when the rollout is ready instead
}

const (
	pauseImage = "sandbox.invalid/pause:1"
	// crashing makes the pause program, which is written in Go, exit at once.
	crashing = `, env: [{name: GOMEMLIMIT, value: malformed}]`
	probing  = `periodSeconds: 1, failureThreshold: 1, tcpSocket: {port: 8080}`
)

func deploymentOf(container, pod, spec string) string {
	return workloadOf("Deployment", container, pod, spec)
}

func workloadOf(kind, container, pod, spec string) string {
	version, name := "apps/v1", "shop"
	if kind == "Job" {
		version, name = "batch/v1", "migrate"
		pod += ", restartPolicy: Never"
	} else {
		spec += ", selector: {matchLabels: {app: shop}}"
	}
	image := ""
	if !strings.Contains(container, "image:") {
		image = `, image: "` + pauseImage + `", imagePullPolicy: Never`
	}
	return fmt.Sprintf(`{apiVersion: %s, kind: %s, metadata: {name: %s}, spec: {template: {metadata: {labels: {app: shop}}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: app%s%s}]%s}}%s}}`,
		version, kind, name, image, container, pod, spec)
}

func provocations() map[string]provoked {
	const quota = `{apiVersion: v1, kind: ResourceQuota, metadata: {name: team}, spec: {hard: {pods: "0"}}}`
	hasEvent := func(reason string) func(snapshot) bool {
		return func(known snapshot) bool {
			for _, events := range known.events {
				if slices.ContainsFunc(events, func(e *core.Event) bool { return e.Reason == reason }) {
					return true
				}
			}
			return false
		}
	}
	return map[string]provoked{
		"ready":                {objects: deploymentOf("", "", ""), finished: true},
		"crash-loop":           {objects: deploymentOf(crashing, "", ""), reaches: causes.CrashLoop},
		"init-crash-loop":      {objects: deploymentOf("", `, initContainers: [{name: first, image: "`+pauseImage+`"`+crashing+`}]`, ""), reaches: causes.CrashLoop},
		"image-pull":           {objects: deploymentOf(`, image: "sandbox.invalid/absent:1"`, "", ""), reaches: causes.ImageNotPulled},
		"image-never-pulled":   {objects: deploymentOf(`, image: "sandbox.invalid/absent:1", imagePullPolicy: Never`, "", ""), reaches: causes.ImageNotPulled},
		"image-name":           {objects: deploymentOf(`, image: "sandbox.invalid/Shop"`, "", ""), reaches: causes.ImageNameInvalid},
		"secret-absent":        {objects: deploymentOf(`, envFrom: [{secretRef: {name: database}}]`, "", ""), reaches: causes.ConfigurationAbsent},
		"volume-secret-absent": {objects: deploymentOf(`, volumeMounts: [{name: v, mountPath: /v}]`, `, volumes: [{name: v, secret: {secretName: database}}]`, ""), reaches: causes.ConfigurationAbsent},
		"no-command":           {objects: deploymentOf(`, command: [/absent]`, "", ""), reaches: causes.ContainerNotStarted},
		"not-ready":            {objects: deploymentOf(`, readinessProbe: {`+probing+`}`, "", ""), reaches: causes.NotReady, until: hasEvent("Unhealthy")},
		"not-alive":            {objects: deploymentOf(`, livenessProbe: {`+probing+`}, readinessProbe: {initialDelaySeconds: 60, `+probing+`}`, "", ""), reaches: causes.NotAlive},
		"never-started":        {objects: deploymentOf(`, startupProbe: {`+probing+`}`, "", ""), reaches: causes.NotAlive},
		"unschedulable":        {objects: deploymentOf(`, resources: {requests: {cpu: "1000"}}`, "", ""), reaches: causes.Unschedulable},
		"quota":                {before: quota, objects: deploymentOf("", "", ""), reaches: causes.QuotaExceeded},
		"quota-of-statefulset": {before: quota, objects: workloadOf("StatefulSet", "", "", ", serviceName: none"), reaches: causes.QuotaExceeded},
		"admission": {labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
			objects: deploymentOf("", "", ""), reaches: causes.AdmissionRefused},
		"claim": {objects: `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: disk}, spec: {storageClassName: absent, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
` + deploymentOf("", `, volumes: [{name: v, persistentVolumeClaim: {claimName: disk}}]`, ""), reaches: causes.VolumePending, until: hasEvent("FailedScheduling")},
		"progress-deadline": {objects: deploymentOf("", `, readinessGates: [{conditionType: example.com/never}]`, ", progressDeadlineSeconds: 3"), reaches: causes.ProgressDeadline},
		"paused":            {objects: deploymentOf("", "", ", paused: true"), reaches: causes.DeploymentPaused, until: observedPaused},
		"job-failed":        {objects: workloadOf("Job", crashing, "", ", backoffLimit: 0"), reaches: causes.JobFailed},
		"job-out-of-time":   {objects: workloadOf("Job", "", "", ", activeDeadlineSeconds: 2"), reaches: causes.JobFailed},
		"hook-failed":       {hook: true, objects: workloadOf("Job", crashing, "", ", backoffLimit: 0"), reaches: causes.JobFailed},
		"hook-gone": {hook: true, objects: workloadOf("Job", crashing, "", ", backoffLimit: 0, ttlSecondsAfterFinished: 0"), reaches: causes.JobFailed,
			until: func(known snapshot) bool { return known.objects[0].content == nil }},
	}
}

// observedPaused reports whether the controller has reported that the Deployment is paused.
func observedPaused(known snapshot) bool {
	object := known.objects[0].content
	return !diagnose.NotObserved(object) && diagnose.Conditions(object)["Progressing"].Reason == "DeploymentPaused"
}

// TestRecord records testdata/snapshots on a sandbox:
//
//	go test ./internal/kube/rollout -run TestRecord/NAME -record "$(bin/sandbox kubeconfig)"
func TestRecord(t *testing.T) {
	if *recordWith == "" {
		t.Skip("no -record")
	}
	config, err := kubeconfig.Load(kubeconfig.Access{Kubeconfig: *recordWith})
	if err != nil {
		t.Fatal(err)
	}
	client, err := kube.New(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(provocations())) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			provocations()[name].record(t, client, name)
		})
	}
}

func (p provoked) record(t *testing.T, client *kube.Client, name string) {
	namespace := name
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	core := func(resource string) dynamic.NamespaceableResourceInterface {
		return client.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: resource})
	}
	made := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
	made.SetName(namespace)
	made.SetLabels(p.labels)
	if _, err := core("namespaces").Create(ctx, made, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := core("serviceaccounts").Namespace(namespace).Get(ctx, "default", meta.GetOptions{}); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	create(ctx, t, client, namespace, p.before)
	if p.before != "" {
		time.Sleep(2 * time.Second) // until the quota has been counted
	}
	watcher, err := New(client)
	if err != nil {
		t.Fatal(err)
	}
	r, err := watcher.newRollout(ctx, namespace, releaseObjects(parse(t, p.objects)), release.Baseline{}, p.hook, func(release.RolloutStep) {})
	if err != nil {
		t.Fatal(err)
	}
	r.start(ctx, func(source store.Source) *store.Store { return store.Follow(ctx, source, r.wake) })
	for allSynced := false; !allSynced; {
		if err := r.wait(ctx, 0); err != nil {
			t.Fatal(err)
		}
		known, _ := r.evaluate()
		allSynced = known.namespaces[namespace].podSync.Synced && known.namespaces[namespace].eventSync.Synced
		for _, o := range known.objects {
			allSynced = allSynced && o.sync.Synced
		}
	}
	create(ctx, t, client, namespace, p.objects)
	for {
		known, result := r.evaluate()
		reached := p.finished && len(result.pending) == 0 && known.objects[0].content != nil
		for _, late := range result.pending {
			setGivenUpCode(&late)
			reached = reached || late.finding.Code != "" && late.finding.Code == p.reaches
		}
		if reached && (p.until == nil || p.until(known)) {
			write(t, name, namespace, p.hook, known)
			return
		}
		if err := r.wait(ctx, result.recheckAfter); err != nil {
			t.Fatalf("not reached: %+v", result.pending)
		}
	}
}

func parse(t *testing.T, text string) (objects []*unstructured.Unstructured) {
	t.Helper()
	for document := range strings.SplitSeq(text, "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			t.Fatalf("%v in %s", err, document)
		}
		if object.Object != nil {
			objects = append(objects, object)
		}
	}
	return objects
}

func releaseObjects(objects []*unstructured.Unstructured) (named []release.Object) {
	for _, object := range objects {
		named = append(named, release.Object{APIVersion: object.GetAPIVersion(), Kind: object.GetKind(), Name: object.GetName()})
	}
	return named
}

func create(ctx context.Context, t *testing.T, client *kube.Client, namespace, text string) {
	t.Helper()
	for _, object := range parse(t, text) {
		resource := schema.GroupVersionResource{Version: "v1", Resource: "resourcequotas"}
		if watched, known := watchedKinds[object.GroupVersionKind()]; known {
			resource = watched.resource
		}
		if _, err := client.Dynamic.Resource(resource).Namespace(namespace).Create(ctx, object, meta.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func write(t *testing.T, name, namespace string, hook bool, known snapshot) {
	t.Helper()
	r := recording{Taken: time.Now().UTC().Truncate(time.Millisecond), Namespace: namespace, Hook: hook}
	add := func(object runtime.Object) {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			t.Fatal(err)
		}
		if kinds, _, err := scheme.Scheme.ObjectKinds(object); err == nil {
			fields["apiVersion"], fields["kind"] = kinds[0].ToAPIVersionAndKind()
		}
		r.Objects = append(r.Objects, &unstructured.Unstructured{Object: fields})
	}
	for _, o := range known.objects {
		r.Tracked = append(r.Tracked, o.object)
		if o.content != nil {
			add(o.content)
		}
	}
	for _, set := range known.namespaces[namespace].replicaSets {
		add(set)
	}
	for _, pod := range known.namespaces[namespace].pods {
		add(pod)
	}
	for _, uid := range slices.Sorted(maps.Keys(known.events)) {
		for _, event := range known.events[uid] {
			add(event)
			if known.oldEvents[event.UID] {
				r.OldEvents = append(r.OldEvents, event.UID)
			}
		}
	}
	content, err := yaml.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("testdata", "snapshots", name+".yaml"), content, 0o600); err != nil {
		t.Fatal(err)
	}
}
