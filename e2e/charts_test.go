package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appbuild "github.com/onedigest/onedigest/internal/app/build"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// waiting is a program that waits to be stopped, or with an argument ends at once.
const waiting = `package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	fmt.Println("NAME")
	if len(os.Args) > 1 {
		return
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
}
`

// podTemplate is a template that any namespace admits; SECURE in its containers stands for their security context.
func podTemplate(labels, containers string) string {
	const security = "securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}"
	return "{metadata: {labels: " + labels + "}, spec: {terminationGracePeriodSeconds: 1, automountServiceAccountToken: false, restartPolicy: RESTART, " +
		"securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}, " + strings.ReplaceAll(containers, "SECURE", security) + "}}"
}

// deploymentOf is a Deployment of containers, without the label app.kubernetes.io/instance.
func deploymentOf(name, containers string) string {
	return "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: '" + name + "'}\nspec: {selector: {matchLabels: {app: '" + name + "'}}, template: " +
		strings.Replace(podTemplate("{app: '"+name+"'}", containers), "RESTART", "Always", 1) + "}\n"
}

// jobOf is a Job; SCHEDULE in it is to be replaced by what stands before its template.
func jobOf(head, name, annotations, containers string) string {
	return "---\napiVersion: batch/v1\nkind: " + head + "\nmetadata: {name: '" + name + "', annotations: {" + annotations + "}}\nspec: {SCHEDULEtemplate: " +
		strings.Replace(podTemplate("{app: '"+name+"'}", containers), "RESTART", "Never", 1) + "}\n"
}

// chartClass is a chart as teams write them, and how it is deployed.
type chartClass struct {
	files   map[string]string // values.yaml and templates; Chart.yaml has a default
	flags   []string
	images  int    // that the release is pinned to
	object  string // "KIND/NAME" that runs the main image
	idle    bool   // no pod runs
	refused string // why, "" if it is deployed
}

// TestChartsOfEveryClass deploys charts of each class that docs/charts.md lists, unedited, and wants their pods to run the digest.
func TestChartsOfEveryClass(t *testing.T) {
	onNode(t)
	t.Parallel()
	tree := newCheckout(t)
	build := func(name string) string {
		dir := filepath.Join(tree.dir, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		tree.write(name+"/go.mod", "module example.com/"+name+"\n\ngo 1.26\n")
		tree.write(name+"/main.go", strings.Replace(waiting, "NAME", name, 1))
		tree.commit(name)
		return field(t, tree.verb(t.Context(), appbuild.Command(), "--repository", site.registry+"/"+name, "--context", name, "--builder", "go", "--output", "json"), "image")
	}
	web, worker := build("shop"), build("worker")
	const image = "'{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}'"
	for name, class := range map[string]chartClass{
		"created": {files: map[string]string{"Chart.yaml": "appVersion: 1.16.0\nkubeVersion: '>= 1.25.0-0'\n", "values.yaml": "image: {repository: nginx, pullPolicy: IfNotPresent, tag: ''}\n",
			"templates/all.yaml": strings.Replace(deploymentOf("{{ .Release.Name }}", "containers: [{name: app, image: "+image+", SECURE}]"), "labels: {", "labels: {app.kubernetes.io/version: '{{ .Values.image.tag | default .Chart.AppVersion }}', ", 1)},
			images: 1, object: "Deployment/created"},
		"string": {files: map[string]string{"values.yaml": "web: {image: 'nginx:1.0'}\n", "templates/all.yaml": deploymentOf("string", "containers: [{name: app, image: '{{ .Values.web.image }}', SECURE}]")},
			flags: []string{"--image-values", "web.image"}, images: 1, object: "Deployment/string"},
		"registry": {files: map[string]string{"values.yaml": "global: {imageRegistry: ''}\nimage: {registry: docker.io, repository: team/shop, tag: 1.0.0}\n",
			"templates/all.yaml": deploymentOf("registry", "containers: [{name: app, image: '{{ .Values.global.imageRegistry | default .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}', SECURE}]")},
			images: 1, object: "Deployment/registry"},
		"several": {files: map[string]string{"values.yaml": "image: {repository: a, tag: b}\nworker: {image: {repository: c, tag: d}}\n",
			"templates/all.yaml": deploymentOf("several", "containers: [{name: app, image: "+image+", SECURE}]") +
				deploymentOf("several-worker", "containers: [{name: app, image: '{{ .Values.worker.image.repository }}:{{ .Values.worker.image.tag }}', SECURE}]") +
				deploymentOf("several-redis", "containers: [{name: redis, image: 'PAUSE', imagePullPolicy: IfNotPresent, SECURE}]")},
			flags: []string{"--image", "worker=" + worker, "--image-values", "worker=worker.image"}, images: 2, object: "Deployment/several"},
		"hooked": {files: map[string]string{"values.yaml": "image: {repository: a, tag: b}\n",
			"templates/all.yaml": deploymentOf("hooked", "initContainers: [{name: first, image: "+image+", args: [once], SECURE}], containers: [{name: app, image: "+image+", SECURE}]") +
				strings.Replace(jobOf("Job", "hooked-migrate", "helm.sh/hook: 'pre-install,pre-upgrade'", "containers: [{name: migrate, image: "+image+", args: [once], SECURE}]"), "SCHEDULE", "", 1)},
			images: 1, object: "Deployment/hooked"},
		"umbrella": {files: map[string]string{"Chart.yaml": "dependencies: [{name: api, version: 0.1.0}]\n", "values.yaml": "api: {image: {tag: x}}\n",
			"charts/api/Chart.yaml": "apiVersion: v2\nname: api\nversion: 0.1.0\n", "charts/api/values.yaml": "image: {repository: nginx, tag: ''}\n",
			"charts/api/templates/all.yaml": deploymentOf("umbrella", "containers: [{name: app, image: '{{ .Values.image.repository }}:{{ .Values.image.tag }}', SECURE}]")},
			flags: []string{"--image-values", "api.image"}, images: 1, object: "Deployment/umbrella"},
		"text": {files: map[string]string{"values.yaml": "child: team/shop:1.0\n",
			"templates/all.yaml": deploymentOf("text", "containers: [{name: app, image: 'team/shop:1.0', env: [{name: CHILD, value: '{{ .Values.child }}'}], SECURE}]") +
				"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: text}\ndata: {child.yaml: \"image: {{ .Values.child }}\\n\"}\n"},
			flags: []string{"--image-alias", "team/shop", "--pin-text"}, images: 1, object: "Deployment/text"},
		"unpinned": {files: map[string]string{"templates/all.yaml": deploymentOf("unpinned", "containers: [{name: app, image: 'team/shop:1.0', env: [{name: CHILD, value: 'team/shop:1.0'}], SECURE}]")},
			flags: []string{"--image-alias", "team/shop"}, refused: "Deployment/unpinned spec.template.spec.containers.app.env.CHILD.value: team/shop:1.0"},
		"short": {files: map[string]string{"templates/all.yaml": deploymentOf("short", "containers: [{name: app, image: 'shop:1.0', SECURE}]")},
			flags: []string{"--image-alias", "docker.io/library/shop"}, images: 1, object: "Deployment/short"},
		"unnamed": {files: map[string]string{"templates/all.yaml": deploymentOf("unnamed", "containers: [{name: app, image: 'ghcr.io/team/shop:1.0', SECURE}]")},
			refused: "if that is the built image, give --image-alias ghcr.io/team/shop"},
		"scheduled": {files: map[string]string{"values.yaml": "image: {repository: a, tag: b}\n", "templates/all.yaml": strings.Replace(strings.Replace(
			jobOf("CronJob", "scheduled", "", "containers: [{name: app, image: "+image+", args: [once], SECURE}]"), "SCHEDULEtemplate: ", "schedule: '0 0 1 1 *', jobTemplate: {spec: {template: ", 1), "}}}\n", "}}}}}\n", 1)},
			images: 1, object: "CronJob/scheduled", idle: true},
		"newer": {files: map[string]string{"Chart.yaml": "kubeVersion: '>= 1.99.0-0'\n", "templates/all.yaml": deploymentOf("newer", "containers: [{name: app, image: 'shop:1.0', SECURE}]")},
			refused: "the chart wants Kubernetes >= 1.99.0-0, and the cluster has v1."},
	} {
		class.write(tree, name)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"--environment", "classes", "--chart", "classes/" + name, "--release", name, "--create-namespace", "--timeout", "4m", "--output", "json", "--image", web}, class.flags...)
			got := tree.verb(t.Context(), appdeploy.Command(), args...)
			if class.refused != "" {
				got.expect(t, 2, class.refused)
				return
			}
			got.expect(t, 0)
			var result deploy.Result
			if err := json.Unmarshal([]byte(got.stdout), &result); err != nil {
				t.Fatalf("%v in %s", err, got.stdout)
			}
			if len(result.Images) != class.images || !class.idle && slices.ContainsFunc(result.Images, func(i deploy.ImageResult) bool { return i.Digest != i.Image.Digest || len(i.Pods) == 0 }) {
				t.Errorf("got images %+v", result.Images)
			}
			checkLabelled(t, name, class, web)
		})
	}
}

// write writes the chart into a checkout.
func (c chartClass) write(tree checkout, name string) {
	tree.t.Helper()
	head := fmt.Sprintf("apiVersion: v2\nname: %s\nversion: 0.1.0\n", name)
	for file, content := range c.files {
		if file == "Chart.yaml" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tree.dir, "classes", name, file)), 0o755); err != nil {
			tree.t.Fatal(err)
		}
		tree.write("classes/"+name+"/"+file, strings.ReplaceAll(content, "PAUSE", pauseImage))
	}
	tree.write("classes/"+name+"/Chart.yaml", head+c.files["Chart.yaml"])
}

// pauseImage is an image that the node has, and that nobody built.
const pauseImage = "sandbox.invalid/pause:1"

// checkLabelled wants the release's label on what runs the image, and on nothing else.
func checkLabelled(t *testing.T, name string, class chartClass, image string) {
	t.Helper()
	kube := client(t)
	var labelled []string
	options := meta.ListOptions{LabelSelector: release.LabelRelease + "=" + name}
	deployments, err := kube.AppsV1().Deployments("classes").List(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range deployments.Items {
		labelled = append(labelled, "Deployment/"+one.Name)
		for _, container := range one.Spec.Template.Spec.Containers {
			if "Deployment/"+one.Name == class.object && container.Image != image {
				t.Errorf("container %q runs %s", container.Name, container.Image)
			}
			for _, variable := range container.Env {
				if variable.Name == "CHILD" && variable.Value != image {
					t.Errorf("CHILD is %s", variable.Value)
				}
			}
		}
	}
	jobs, err := kube.BatchV1().CronJobs("classes").List(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range jobs.Items {
		labelled = append(labelled, "CronJob/"+one.Name)
	}
	if !slices.Contains(labelled, class.object) || slices.Contains(labelled, "Deployment/several-redis") || len(labelled) != class.images {
		t.Errorf("labelled are %q", labelled)
	}
}
