package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appbuild "github.com/onedigest/onedigest/internal/app/build"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/release"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// brokenSite is a checkout with the chart and the program of testdata that fail in the way that the values name.
type brokenSite struct {
	checkout
	image string
}

func newBrokenSite(t *testing.T) brokenSite {
	t.Helper()
	tree := newCheckout(t)
	for _, part := range []string{"broken", "charts/broken"} {
		if err := os.CopyFS(filepath.Join(tree.dir, part), os.DirFS(filepath.Join(site.root, "e2e/testdata", part))); err != nil {
			t.Fatal(err)
		}
	}
	tree.commit("a program that goes wrong")
	image := field(t, tree.verb(t.Context(), appbuild.Command(), "--repository", site.registry+"/shop", "--context", "broken", "--output", "json"), "image")
	return brokenSite{tree, image}
}

// deployValues deploys the chart to a namespace with values, in which IMAGE is the program's image.
func (s brokenSite) deployValues(t *testing.T, namespace, values string, args ...string) verbResult {
	t.Helper()
	s.t = t
	s.write(namespace+".yaml", strings.ReplaceAll(values, "IMAGE", s.image)+"\n")
	if !slices.Contains(args, "--timeout") {
		args = append(args, "--timeout", "2m")
	}
	return s.verb(t.Context(), appdeploy.Command(), append([]string{"--environment", namespace, "--image", s.image, "--chart", "charts/broken", "--values", namespace + ".yaml",
		"--release", "shop", "--create-namespace", "--lease-duration", "3s", "--output", "json"}, args...)...)
}

const probed = `readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1}`

// TestRolloutVerdicts deploys what is easily misjudged.
func TestRolloutVerdicts(t *testing.T) {
	onNode(t)
	t.Parallel()
	tree := newBrokenSite(t)
	for name, test := range map[string]func(t *testing.T, tree brokenSite, namespace string){
		"stateful-set-goes-back":       statefulSetGoesBack,
		"secret-created-after-failure": secretCreatedAfterFailure,
		"crash-fixed-after-failure":    crashFixedAfterFailure,
		"job-is-collected":             jobIsCollected,
		"init-tries-three-times":       initTriesThreeTimes,
		"hook-secret-is-kept":          hookSecretIsKept,
		"generation-as-text":           generationAsText,
		"daemon-set-on-delete":         daemonSetOnDelete,
		"stateful-set-has-to-stay":     statefulSetHasToStay,
	} {
		t.Run(name, func(t *testing.T) {
			beside(t)
			test(t, tree, name)
		})
	}
}

// statefulSetGoesBack breaks a StatefulSet, whose controller never replaces the broken pod by itself.
func statefulSetGoesBack(t *testing.T, tree brokenSite, namespace string) {
	const set = "kind: StatefulSet\nworkload: {serviceName: none, replicas: 2}\ncontainer: {" + probed
	tree.deployValues(t, namespace, set+"}").expect(t, 0)
	for _, breaks := range []string{"env: [{name: DOES, value: exit}]", `env: [{name: READY, value: "500"}]`} {
		tree.deployValues(t, namespace, set+", "+breaks+"}").expect(t, 1, string(release.RolledBack), "deleted: it was not ready, of an older template, and kept StatefulSet/shop")
	}
	if ready := readyPods(t, namespace); ready != 2 {
		t.Errorf("%d pods are ready", ready)
	}
	// What a rollback did not repair, because it is off, does not block the next revision either.
	tree.deployValues(t, namespace, set+", env: [{name: DOES, value: exit}]}", "--rollback", "off").expect(t, 1, "OD-103")
	tree.deployValues(t, namespace, set+`, env: [{name: DOES, value: ""}]}`).expect(t, 0, "deleted: it was not ready")
}

// statefulSetHasToStay has a pod that is ready at once, and is killed before it has been ready for minReadySeconds.
func statefulSetHasToStay(t *testing.T, tree brokenSite, namespace string) {
	const set = "kind: StatefulSet\nworkload: {serviceName: none, minReadySeconds: 10}\ncontainer: {" + probed
	tree.deployValues(t, namespace, set+`, env: [{name: LIVE, value: "500"}], livenessProbe: {httpGet: {path: /live, port: 8080}, periodSeconds: 1, failureThreshold: 5}}`, "--timeout", "1m").expect(t, 1, "Available: 0/1: minReadySeconds is 10")
	tree.deployValues(t, namespace, set+"}").expect(t, 0, "deleted: it was not ready")
}

func secretCreatedAfterFailure(t *testing.T, tree brokenSite, namespace string) {
	const values = "container: {envFrom: [{secretRef: {name: needed}}], " + probed + "}\nworkload: {progressDeadlineSeconds: 8}"
	tree.deployValues(t, namespace, values).expect(t, 1, "OD-105")
	put(t, namespace, "needed", map[string]string{"PASSWORD": "x"})
	tree.deployValues(t, namespace, values).expect(t, 0)
}

// crashFixedAfterFailure has a program that crashes or not by the value in a Secret.
func crashFixedAfterFailure(t *testing.T, tree brokenSite, namespace string) {
	const values = "container: {envFrom: [{secretRef: {name: behaviour, optional: true}}], env: [{name: CLUSTER, value: any}], " + probed + "}"
	tree.deployValues(t, namespace, values, "--dry-run").expect(t, 0)
	if _, err := client(t).CoreV1().Namespaces().Create(t.Context(), &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: namespace}}, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	put(t, namespace, "behaviour", map[string]string{"DOES": "exit"})
	tree.deployValues(t, namespace, values).expect(t, 1, "OD-103")
	put(t, namespace, "behaviour", map[string]string{"DOES": ""})
	tree.deployValues(t, namespace, values).expect(t, 0)
}

// plainJob is a Job of the release that is deleted as soon as it has ended, in one line of YAML without its braces.
func plainJob(what string) string {
	return strings.Replace(strings.Replace(job("x", what), `, annotations: {helm.sh/hook: x, helm.sh/hook-delete-policy: "before-hook-creation,hook-failed"}`, "", 1),
		"backoffLimit: 0", "backoffLimit: 0, ttlSecondsAfterFinished: 0", 1)
}

// TestAPlainJobOfTheRelease: a Job that is the same in the next commit is left as it is, complete and not run again; one that differs is refused and
// stays, and one that each revision names anew runs.
func TestAPlainJobOfTheRelease(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newBrokenSite(t)
	build := func(repository string) string {
		return field(t, tree.verb(t.Context(), appbuild.Command(), "--repository", site.registry+"/"+repository, "--context", "broken", "--output", "json"), "image")
	}
	first, other := tree.image, build("worker")
	tree.edit("broken/main.go", `log.Printf("broken: %s"`, `log.Printf("broken again: %s"`)
	tree.commit("say it otherwise")
	second := build("shop")
	deploy := func(namespace, image, job string) verbResult {
		tree.image = image
		return tree.deployValues(t, namespace, "container: {"+probed+"}\nobjects: [{"+job+"}]")
	}
	kept := strings.Replace(plainJob("end"), ", ttlSecondsAfterFinished: 0", "", 1)

	ofAnother := strings.ReplaceAll(kept, "IMAGE", other)
	deploy("plain-job", first, ofAnother).expect(t, 0)
	before := onlyJob(t, "plain-job", "migrate")
	deploy("plain-job", second, ofAnother).expect(t, 0, "1 pod runs "+second[strings.Index(second, "@")+1:])
	if after := onlyJob(t, "plain-job", "migrate"); after.UID != before.UID || after.Generation != before.Generation || after.Status.Succeeded != 1 {
		t.Errorf("the Job was %s, generation %d, and is %s, generation %d, %+v", before.UID, before.Generation, after.UID, after.Generation, after.Status)
	}
	deploy("plain-job", second, strings.Replace(ofAnother, "value: end", "value: done", 1)).expect(t, 1, "OD-201", "Job/migrate")
	if after := onlyJob(t, "plain-job", "migrate"); after.UID != before.UID || readReleaseState(t, "plain-job").status != "deployed" {
		t.Errorf("after the refusal: %s, %+v", readReleaseState(t, "plain-job"), after)
	}

	deploy("job-of-image", first, kept).expect(t, 0)
	deploy("job-of-image", second, kept).expect(t, 1, "OD-201", "Job/migrate")
	if state := readReleaseState(t, "job-of-image"); state.status != "deployed" || readyPods(t, "job-of-image") != 1 {
		t.Errorf("after the refusal: %s", state)
	}
	deploy("job-of-image", second, strings.Replace(kept, "name: migrate", "name: migrate-again", 1)).expect(t, 0)
	if job := onlyJob(t, "job-of-image", "migrate-again"); job.Status.Succeeded != 1 {
		t.Errorf("the Job of the second commit: %+v", job.Status)
	}
}

// TestWhatCannotBeChangedIsRefusedBeforeHooks: in an object that Helm would adopt, and in one of the release unless a hook's service account may delete it by rights that the chart does not give.
func TestWhatCannotBeChangedIsRefusedBeforeHooks(t *testing.T) {
	onNode(t)
	beside(t)
	const namespace = "fixed"
	tree, image, _ := newAnySite(t)
	deploy := func(manifest string) verbResult {
		return tree.deployManifest(t, namespace, image, manifest, "--address", "none")
	}
	deploy(web).expect(t, 0)
	const mark = "\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: hooked, annotations: {helm.sh/hook: pre-upgrade}}"
	hooked := func() bool {
		_, err := client(t).CoreV1().ConfigMaps(namespace).Get(t.Context(), "hooked", meta.GetOptions{})
		return err == nil
	}

	extra := &apps.Deployment{ObjectMeta: meta.ObjectMeta{Name: "extra", Labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"},
		Annotations: map[string]string{"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": namespace}},
		Spec: apps.DeploymentSpec{Replicas: new(int32), Selector: &meta.LabelSelector{MatchLabels: map[string]string{"app": "old"}},
			Template: core.PodTemplateSpec{ObjectMeta: meta.ObjectMeta{Labels: map[string]string{"app": "old"}}, Spec: core.PodSpec{Containers: []core.Container{{Name: "app", Image: image}}}}}}
	if _, err := client(t).AppsV1().Deployments(namespace).Create(t.Context(), extra, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	deploy(web+"\n---"+strings.ReplaceAll(web, "web}", "extra}")+mark).expect(t, 1, "OD-201", "nothing was changed", "Deployment/extra")

	changed := strings.ReplaceAll(web, "{app: web}", "{app: other}")
	const hook = "\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: before, annotations: {helm.sh/hook: pre-upgrade}}\nspec:\n  backoffLimit: 0\n  template:\n" +
		"    spec: {restartPolicy: Never, containers: [{name: app, image: IMAGE, command: [no-such-program]}]}"
	deploy(changed+mark+strings.Replace(hook, "IMAGE", image, 1)).expect(t, 1, "OD-201", "nothing was changed", "Deployment/web: spec.selector")
	if hooked() || readReleaseState(t, namespace).revision != 1 {
		t.Errorf("after the refusals: hooks ran %t, %+v", hooked(), readReleaseState(t, namespace))
	}
	binding := &rbac.RoleBinding{ObjectMeta: meta.ObjectMeta{Name: "outside"}, RoleRef: rbac.RoleRef{APIGroup: rbac.GroupName, Kind: "ClusterRole", Name: "edit"},
		Subjects: []rbac.Subject{{Kind: rbac.ServiceAccountKind, Name: "default", Namespace: namespace}}}
	if _, err := client(t).RbacV1().RoleBindings(namespace).Create(t.Context(), binding, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	deploy(changed+mark+strings.Replace(hook, "IMAGE", image, 1)).expect(t, 1, "OD-112") // the hook runs; it is none that deletes anything
}

// onlyJob returns the only Job of a namespace.
func onlyJob(t *testing.T, namespace, name string) batch.Job {
	t.Helper()
	jobs, err := client(t).BatchV1().Jobs(namespace).List(t.Context(), meta.ListOptions{})
	if err != nil || len(jobs.Items) != 1 || jobs.Items[0].Name != name {
		t.Fatalf("got Jobs %+v, %v, want only %s", jobs.Items, err, name)
	}
	return jobs.Items[0]
}

// jobIsCollected has a Job that is gone before the rest is ready: how it ended counts.
func jobIsCollected(t *testing.T, tree brokenSite, namespace string) {
	const slowly = "container: {readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1, initialDelaySeconds: 6}}\n"
	tree.deployValues(t, namespace, slowly+"objects: [{"+plainJob("end")+"}]").expect(t, 0)
	tree.deployValues(t, namespace, slowly+"objects: [{"+plainJob("exit")+"}]").expect(t, 1, "OD-114", "exit code 3", "cannot go on: no DATABASE_URL")
}

// initTriesThreeTimes has an init container that ends well at its third try, some 30 s after the first.
func initTriesThreeTimes(t *testing.T, tree brokenSite, namespace string) {
	tree.deployValues(t, namespace, `pod: {volumes: [{name: tries, emptyDir: {}}], initContainers: [{name: first, image: "IMAGE", env: [{name: DOES, value: try}], `+
		`volumeMounts: [{name: tries, mountPath: /tries}], securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]}
container: {`+probed+"}").expect(t, 0, "Pod/shop-", "CrashLoopBackOff: ended with exit code 1")
}

// hookSecretIsKept has a password that every render generates again.
func hookSecretIsKept(t *testing.T, tree brokenSite, namespace string) {
	const values = `objects: [{apiVersion: v1, kind: Secret, metadata: {name: password, annotations: {helm.sh/hook: pre-install, helm.sh/hook-delete-policy: hook-failed, helm.sh/resource-policy: keep}}, stringData: {is: NEW}}]
workload: {progressDeadlineSeconds: 60}
container: {`
	password := func() string {
		secret, err := client(t).CoreV1().Secrets(namespace).Get(t.Context(), "password", meta.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return string(secret.Data["is"])
	}
	tree.deployValues(t, namespace, strings.Replace(values, "NEW", "first", 1)+"env: [{name: DOES, value: exit}], "+probed+"}").expect(t, 1, "OD-103")
	tree.deployValues(t, namespace, strings.Replace(values, "NEW", "second", 1)+probed+"}").expect(t, 0, "hook Secret/password is left as it is: it succeeded in revision 1")
	if got := password(); got != "first" {
		t.Errorf("the password is the %s one", got)
	}
}

// generationAsText has a custom resource whose controller writes observedGeneration as Argo Rollouts does.
func generationAsText(t *testing.T, tree brokenSite, namespace string) {
	tree.deployValues(t, namespace, "container: {"+probed+`}
objects: [{apiVersion: e2e.onedigest.dev/v1, kind: Widget, metadata: {name: w, annotations: {onedigest.dev/ready-when: "jsonpath={.status.phase}=Healthy"}}, status: {observedGeneration: "1", phase: Healthy}}]`).expect(t, 0, "Widget/w")
}

// daemonSetOnDelete has pods that nobody deletes.
func daemonSetOnDelete(t *testing.T, tree brokenSite, namespace string) {
	const set = "kind: DaemonSet\nworkload: {updateStrategy: {type: OnDelete}}\ncontainer: {" + probed
	tree.deployValues(t, namespace, set+"}").expect(t, 0)
	tree.deployValues(t, namespace, set+", env: [{name: ANY, value: other}]}").expect(t, 0, "1 of 1 pods have an older template: updateStrategy OnDelete")
}

// put creates or replaces a Secret.
func put(t *testing.T, namespace, name string, values map[string]string) {
	t.Helper()
	secrets := client(t).CoreV1().Secrets(namespace)
	secret := &core.Secret{ObjectMeta: meta.ObjectMeta{Name: name}, StringData: values}
	if _, err := secrets.Create(t.Context(), secret, meta.CreateOptions{}); err == nil {
		return
	}
	if _, err := secrets.Update(t.Context(), secret, meta.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}
