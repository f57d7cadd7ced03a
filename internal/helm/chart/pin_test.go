package chart

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/chartutil"
)

const (
	shop   = "registry.example.com/team/shop@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	worker = "registry.example.com/team/worker@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	sha    = "0123456789abcdef0123456789abcdef01234567"
)

// built is an image with a commit, and what the given settings add: "alias=…" and "values=…".
func built(t *testing.T, name, reference string, settings ...string) release.BuiltImage {
	t.Helper()
	image, err := release.ParseImage(reference)
	if err != nil {
		t.Fatal(err)
	}
	b := release.BuiltImage{Name: name, Image: image, Commit: sha}
	for _, setting := range settings {
		switch kind, value, _ := strings.Cut(setting, "="); kind {
		case "alias":
			b.Aliases = append(b.Aliases, release.FullRepository(value))
		case "values":
			b.Values = append(b.Values, value)
		}
	}
	return b
}

// chartOf writes a chart of a values file and one template.
func chartOf(t *testing.T, values, template string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"Chart.yaml": "apiVersion: v2\nname: any\nversion: 0.1.0\nappVersion: 1.2.3\n", "values.yaml": values, "templates/all.yaml": template} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func cluster(version string) Target {
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = chartutil.KubeVersion{Version: version, Major: "1", Minor: strings.Split(version, ".")[1]}
	return Target{Capabilities: capabilities, Install: true}
}

// render loads and renders as a deploy's preflight does.
func render(d release.Deployment) (*Rendered, error) {
	c, err := Load(d)
	if err != nil {
		return nil, err
	}
	if _, err := c.setImages(d); err != nil {
		return nil, err
	}
	rendered, err := c.RenderRevision(d, cluster("v1.30.1"))
	if err != nil {
		return nil, err
	}
	return rendered, c.CheckPaths(d, cluster("v1.30.1"), rendered)
}

// pods is a Deployment of containers, each "NAME IMAGE".
func pods(name string, containers ...string) string {
	var list []string
	for _, container := range containers {
		name, image, _ := strings.Cut(container, " ")
		list = append(list, fmt.Sprintf("{name: %s, image: %q}", name, image))
	}
	return fmt.Sprintf("---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: %s}\nspec: {selector: {matchLabels: {app: %s}}, template: {metadata: {labels: {app: %s}}, spec: {containers: [%s]}}}\n",
		name, name, name, strings.Join(list, ", "))
}

// TestChartsOfEveryClassArePinned: however a chart builds the name of the image, its containers run it by digest, and nothing else is touched.
func TestChartsOfEveryClassArePinned(t *testing.T) {
	t.Parallel()
	const template = `{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}`
	for name, test := range map[string]struct {
		values, template string
		images           []release.BuiltImage
		pinText          bool
		want             []string // of all containers, hooks last
	}{
		"helm create, without a digest": {"image: {repository: nginx, tag: ''}", pods("web", "app "+template), []release.BuiltImage{built(t, "", shop)}, false, []string{shop}},
		"registry, repository and tag": {"global: {imageRegistry: ''}\nimage: {registry: docker.io, repository: bitnami/shop, tag: 1.0.0}",
			pods("web", "app {{ .Values.global.imageRegistry | default .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}"),
			[]release.BuiltImage{built(t, "", shop)}, false, []string{shop}},
		"a digest of hex digits": {"image: {repository: nginx, tag: '1', sha: ''}", pods("web", "app {{ .Values.image.repository }}:{{ .Values.image.tag }}{{ with .Values.image.sha }}@sha256:{{ . }}{{ end }}"),
			[]release.BuiltImage{built(t, "", shop)}, false, []string{shop}},
		"one string":                               {"web: {image: 'nginx:1.0'}", pods("web", "app {{ .Values.web.image }}"), []release.BuiltImage{built(t, "", shop, "values=web.image")}, false, []string{shop}},
		"a field for each part":                    {"web: {repo: nginx, tag: x}", pods("web", "app {{ .Values.web.repo }}:{{ .Values.web.tag }}"), []release.BuiltImage{built(t, "", shop, "values=web.repo")}, false, []string{shop}},
		"an item of a list":                        {"apps: [{image: {repository: nginx, tag: x}}]", pods("web", "app {{ (index .Values.apps 0).image.repository }}:{{ (index .Values.apps 0).image.tag }}"), []release.BuiltImage{built(t, "", shop, "values=apps[0].image")}, false, []string{shop}},
		"written in the template, by a short name": {"", pods("web", "app team/shop:6.1.0"), []release.BuiltImage{built(t, "", shop, "alias=docker.io/team/shop")}, false, []string{shop}},
		"a library image by its full name":         {"", pods("web", "app index.docker.io/library/shop"), []release.BuiltImage{built(t, "", shop, "alias=shop")}, false, []string{shop}},
		"an alias beside the value":                {"image: {repository: ghcr.io/team/shop, tag: '1'}", pods("web", "app "+template, "again ghcr.io/team/shop:1"), []release.BuiltImage{built(t, "", shop, "alias=ghcr.io/team/shop")}, false, []string{shop, shop}},
		"a value image that is another program's":  {"image: {repository: grafana/grafana, tag: '1'}", pods("web", "app "+template, "plugin team/shop:1"), []release.BuiltImage{built(t, "", shop, "alias=team/shop")}, false, []string{"grafana/grafana:1", shop}},
		"a tag with the right digest":              {"", pods("web", "app registry.example.com/team/shop:x@sha256:"+strings.Repeat("a", 64)), []release.BuiltImage{built(t, "", shop)}, false, []string{shop}},
		"another digest of the repository":         {"", pods("web", "app registry.example.com/team/shop@sha256:"+strings.Repeat("c", 64)), []release.BuiltImage{built(t, "", shop)}, false, []string{shop}},
		"a tag that is empty":                      {"", pods("web", "app registry.example.com/team/shop:"), []release.BuiltImage{built(t, "", shop)}, false, []string{shop}},
		"several images, and a third that is not ours": {"image: {repository: a, tag: b}\nworker: {image: {repository: c, tag: d}}",
			pods("web", "app "+template) + pods("worker", "app {{ .Values.worker.image.repository }}:{{ .Values.worker.image.tag }}") + pods("redis", "redis redis:7"),
			[]release.BuiltImage{built(t, "", shop), built(t, "worker", worker, "values=worker.image")}, false, []string{shop, worker, "redis:7"}},
		"init containers and hooks": {"image: {repository: a, tag: b}", "---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate, annotations: {helm.sh/hook: 'pre-install,pre-upgrade'}}\nspec: {template: {spec: {containers: [{name: m, image: '" + template + "'}]}}}\n" +
			"---\napiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {initContainers: [{name: i, image: '" + template + "'}], containers: [{name: app, image: busybox}], ephemeralContainers: [{name: e, image: '" + template + "'}]}\n",
			[]release.BuiltImage{built(t, "", shop)}, false, []string{shop, "busybox", shop, shop}},
		"a CronJob": {"image: {repository: a, tag: b}", "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{name: app, image: '" + template + "'}]}}}}}\n",
			[]release.BuiltImage{built(t, "", shop)}, false, []string{shop}},
		"only a hook": {"image: {repository: a, tag: b}", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: m, annotations: {helm.sh/hook: pre-upgrade}}\nspec: {template: {spec: {containers: [{name: m, image: '" + template + "'}]}}}\n",
			[]release.BuiltImage{built(t, "", shop)}, false, []string{shop}},
		"in texts": {"", pods("web", "app registry.example.com/team/shop:1") + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  worker.yaml: |\n    image: registry.example.com/team/shop:1 # pinned\n  url: https://registry.example.com/team/shop\n",
			[]release.BuiltImage{built(t, "", shop)}, true, []string{shop}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := release.Deployment{Name: "shop", Namespace: "staging", Environment: "staging", Images: test.images, PinText: test.pinText, Chart: chartOf(t, test.values, test.template)}
			rendered, err := render(d)
			if err != nil {
				t.Fatal(err)
			}
			objects, err := manifest.Parse(rendered.Manifest)
			if err != nil {
				t.Fatal(err)
			}
			for _, hook := range rendered.Hooks {
				object, err := manifest.ParseObject([]byte(hook.Manifest))
				if err != nil {
					t.Fatal(err)
				}
				objects = append(objects, object)
			}
			got := manifest.Images(objects...)
			slices.Sort(got)
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s\n%s", diff, rendered.Manifest)
			}
			if test.pinText && (!strings.Contains(rendered.Manifest, "image: "+shop+" # pinned") || !strings.Contains(rendered.Manifest, "url: https://registry.example.com/team/shop\n")) {
				t.Errorf("got\n%s", rendered.Manifest)
			}
		})
	}
}

// TestWhatCannotBePinnedIsRefused, and the message says what to do.
func TestWhatCannotBePinnedIsRefused(t *testing.T) {
	t.Parallel()
	const values, template = "image: {repository: a, tag: b}\nunused: {image: {repository: x, tag: y}}\nnumber: 1", "app {{ .Values.image.repository }}:{{ .Values.image.tag }}"
	for name, test := range map[string]struct {
		template string
		images   []release.BuiltImage
		want     string
	}{
		"only a test": {pods("web", "app nginx:1") + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: h, annotations: {helm.sh/hook: test}}\nspec: {containers: [{name: a, image: registry.example.com/team/shop}]}\n",
			[]release.BuiltImage{built(t, "", shop)}, `no container would run "` + shop + `"; the containers run "nginx:1"`},
		"only a volume": {pods("web", "app nginx:1") + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: h}\nspec: {containers: [{name: a, image: b}], volumes: [{name: m, image: {reference: registry.example.com/team/shop}}]}\n",
			[]release.BuiltImage{built(t, "", shop)}, `pods only mount "` + shop + `", as a volume: no kubelet reports which image that is`},
		"a transport":      {pods("web", template) + configMap("it: 'docker://registry.example.com/team/shop:1'"), []release.BuiltImage{built(t, "", shop)}, `data.it: registry.example.com/team/shop:1`},
		"metadata as data": {pods("web", template) + configMap("metadata: 'registry.example.com/team/shop:1'"), []release.BuiltImage{built(t, "", shop)}, `data.metadata: registry.example.com/team/shop:1`},
		"a spelling of Docker Hub": {pods("web", template) + configMap("it: 'registry-1.docker.io/team/shop:1'"), []release.BuiltImage{built(t, "", shop, "alias=team/shop", "values=image")},
			`data.it: registry-1.docker.io/team/shop:1`},
		"another image": {pods("web", "app ghcr.io/team/shop:1", "proxy envoy:1"), []release.BuiltImage{built(t, "", shop)},
			`--chart: no container would run "` + shop + `"; the containers run "ghcr.io/team/shop:1", "envoy:1"; if that is the built image, give --image-alias ghcr.io/team/shop`},
		"two that it may be": {pods("web", "app team/web:1", "proxy envoy:1"), []release.BuiltImage{built(t, "", shop)},
			`say which of these is the built image: --image-alias docker.io/team/web or --image-alias docker.io/library/envoy`},
		"a further image": {pods("web", template, "w worker:1"), []release.BuiltImage{built(t, "", shop), built(t, "worker", worker)},
			`no container would run "` + worker + `"; the containers run "worker:1", "` + shop + `"; if that is the built image, give --image-alias worker=docker.io/library/worker`},
		"an alias that matches nothing": {pods("web", template), []release.BuiltImage{built(t, "", shop, "alias=team/shop", "values=image")},
			`--image-alias: docker.io/team/shop: the chart names no image of this repository; its containers run "` + shop + `"`},
		"a path that the chart does not have":     {pods("web", template), []release.BuiltImage{built(t, "", shop, "values=web.image")}, "--image-values: web.image: neither the chart's values nor the given ones have it"},
		"a path that the chart ignores":           {pods("web", template), []release.BuiltImage{built(t, "", shop, "values=image", "values=unused.image")}, "--image-values: unused.image: the chart does not use this value"},
		"a path of a number":                      {pods("web", template), []release.BuiltImage{built(t, "", shop, "values=number")}, "--image-values: number: is neither a string nor a map"},
		"a ConfigMap":                             {pods("web", template) + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {image: 'registry.example.com/team/shop:1'}\n", []release.BuiltImage{built(t, "", shop)}, `references to a built image that are not pinned: "ConfigMap/c data.image: registry.example.com/team/shop:1"; give --pin-text`},
		"an argument of a hook, by a second name": {pods("web", template) + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: h, annotations: {helm.sh/hook: test}}\nspec: {containers: [{name: a, image: ghcr.io/team/shop, args: ['--image=ghcr.io/team/shop:1']}]}\n", []release.BuiltImage{built(t, "", shop, "alias=ghcr.io/team/shop", "values=image")}, `"Pod/h spec.containers.a.args.0: ghcr.io/team/shop:1"`},
		"an environment variable":                 {"---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: registry.example.com/team/shop, env: [{name: CHILD, value: 'registry.example.com/team/shop:1'}]}]}\n", []release.BuiltImage{built(t, "", shop)}, `"Pod/p spec.containers.a.env.CHILD.value: registry.example.com/team/shop:1"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := render(release.Deployment{Name: "shop", Namespace: "staging", Images: test.images, Chart: chartOf(t, values, test.template)})
			var input *release.InputError
			if !errors.As(err, &input) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// TestWhatIsNoReferenceStays: a name in a text that is no reference to the image, with a tag or a digest, says nothing about what runs.
func TestWhatIsNoReferenceStays(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"registry.example.com/team/shop", "registry.example.com/team/shopping:1", "mirror.registry.example.com/team/shop:1", "shop:8080", "http://registry.example.com/team/shop:1", shop,
		"registry.example.com/team/shop:1@sha256:" + strings.Repeat("c", 64)} {
		template := pods("web", "app shop:1") + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {it: '" + value + "'}\n"
		if _, err := render(release.Deployment{Name: "shop", Images: []release.BuiltImage{built(t, "", shop, "alias=shop")}, Chart: chartOf(t, "", template)}); err != nil {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func configMap(data string) string {
	return "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {" + data + "}\n"
}

// TestADefinitionMayDescribeTheImage: the description of a field runs nothing.
func TestADefinitionMayDescribeTheImage(t *testing.T) {
	t.Parallel()
	template := pods("web", "app {{ .Values.image.repository }}") + "---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a}\nspec: {versions: [{schema: {openAPIV3Schema: {description: 'as registry.example.com/team/shop:1'}}}]}\n"
	if _, err := render(release.Deployment{Name: "shop", Images: []release.BuiltImage{built(t, "", shop)}, Chart: chartOf(t, "image: {repository: a}", template)}); err != nil {
		t.Error(err)
	}
}

// TestSeveralTagsAreReported, because the chart may mean several images.
func TestSeveralTagsAreReported(t *testing.T) {
	t.Parallel()
	for want, template := range map[string]string{
		"":                     pods("web", "app registry.example.com/team/shop:1", "b registry.example.com/team/shop:1"),
		`(":1", ":migrate-1")`: pods("web", "app registry.example.com/team/shop:1", "b registry.example.com/team/shop:migrate-1"),
	} {
		rendered, err := render(release.Deployment{Name: "shop", Images: []release.BuiltImage{built(t, "", shop)}, Chart: chartOf(t, "", template)})
		if err != nil || strings.Contains(strings.Join(rendered.Warnings, "\n"), want) != (want != "" || len(rendered.Warnings) == 0) || len(rendered.Warnings) > 1 {
			t.Errorf("got %q, %v, want %q", rendered.Warnings, err, want)
		}
	}
}

// TestEmptyMetadataIsStamped: null is how a template renders a map of which nothing is set.
func TestEmptyMetadataIsStamped(t *testing.T) {
	t.Parallel()
	template := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, labels: , annotations: }\nspec: {template: {metadata: {annotations: }, spec: {containers: [{name: a, image: registry.example.com/team/shop}]}}}\n"
	rendered, err := render(release.Deployment{Name: "shop", Commit: sha, Images: []release.BuiltImage{built(t, "", shop)}, Chart: chartOf(t, "", template)})
	if err != nil || strings.Count(rendered.Manifest, release.LabelRelease) != 2 || strings.Count(rendered.Manifest, release.AnnotationDigest) != 2 {
		t.Errorf("got %v\n%s", err, rendered.Manifest)
	}
}

// TestAMapIsSetByItsRepository: charts name it image too, and a map without any is refused.
func TestAMapIsSetByItsRepository(t *testing.T) {
	t.Parallel()
	template := pods("web", "app {{ .Values.web.image.registry }}/{{ .Values.web.image.image }}:{{ .Values.web.image.tag }}")
	d := release.Deployment{Name: "shop", Images: []release.BuiltImage{built(t, "", shop, "values=web.image")}, Chart: chartOf(t, "web: {image: {registry: registry.k8s.io, image: team/web, tag: v1}}", template)}
	if rendered, err := render(d); err != nil || !strings.Contains(rendered.Manifest, shop) {
		t.Errorf("got %v", err)
	}
	d.Chart = chartOf(t, "web: {image: {registry: registry.k8s.io, tag: v1}}", pods("web", "app {{ .Values.web.image.registry }}/team/web:1"))
	if _, err := render(d); err == nil || !strings.Contains(err.Error(), "without any of the keys") {
		t.Errorf("a map without a repository: got %v", err)
	}
}

// TestOnlyKeysOfTheChartAreSet: a chart without a digest gets none, and nothing that it renders into a label is longer than a label may be.
func TestOnlyKeysOfTheChartAreSet(t *testing.T) {
	t.Parallel()
	template := pods("web", "app {{ .Values.image.repository }}:{{ .Values.image.tag }}") + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {image: '{{ .Values.image | toJson }}'}\n"
	rendered, err := render(release.Deployment{Name: "shop", Images: []release.BuiltImage{built(t, "", shop)}, Chart: chartOf(t, "image: {repository: a, tag: b, pullPolicy: Always}", template)})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"pullPolicy":"Always","repository":"registry.example.com/team/shop","tag":"` + sha + `"}`; !strings.Contains(rendered.Manifest, want) {
		t.Errorf("got\n%s\nwant %s", rendered.Manifest, want)
	}
}

func TestTheClustersVersionDecides(t *testing.T) {
	t.Parallel()
	d := release.Deployment{Name: "shop", Images: []release.BuiltImage{built(t, "", shop)}, Chart: chartOf(t, "", pods("web", "app registry.example.com/team/shop"))}
	if err := os.WriteFile(filepath.Join(d.Chart, "Chart.yaml"), []byte("apiVersion: v2\nname: any\nversion: 0.1.0\nkubeVersion: '>= 1.25.0-0'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.RenderRevision(d, cluster("v1.30.1-eks-1")); err != nil {
		t.Error(err)
	}
	if _, err := c.RenderRevision(d, cluster("v1.24.9")); err == nil || !strings.Contains(err.Error(), "the chart wants Kubernetes >= 1.25.0-0, and the cluster has v1.24.9") {
		t.Errorf("got %v", err)
	}
}

// TestFiveThousandObjects are pinned, only those that run the image.
func TestFiveThousandObjects(t *testing.T) {
	t.Parallel()
	template := pods("web", "app registry.example.com/team/shop") + "{{ range until 5000 }}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: 'c{{ . }}'}\ndata: {a: '{{ . }}'}\n{{ end }}\n"
	rendered, err := render(release.Deployment{Name: "shop", Images: []release.BuiltImage{built(t, "", shop)}, Chart: chartOf(t, "", template)})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := manifest.Parse(rendered.Manifest)
	if err != nil || len(objects) != 5001 || len(rendered.Images[0].Workloads) != 1 {
		t.Errorf("got %d objects, %+v, %v", len(objects), rendered.Images, err)
	}
}

// TestServicesOfBuiltWorkloadsAreLabelled, in their metadata only, and no others.
func TestServicesOfBuiltWorkloadsAreLabelled(t *testing.T) {
	t.Parallel()
	service := func(name, selector string) string {
		return fmt.Sprintf("---\napiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {selector: %s}\n", name, selector)
	}
	template := pods("web", "app registry.example.com/team/shop") + pods("db", "db postgres:16") +
		service("web", "{app: web}") + service("db", "{app: db}") + service("external", "{}") + service("both", "{app: web, tier: x}")
	d := release.Deployment{Name: strings.Repeat("s", 53), Namespace: "staging", Images: []release.BuiltImage{built(t, "", shop)}, Chart: chartOf(t, "", template)}
	rendered, err := render(d)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := manifest.Parse(rendered.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, object := range objects {
		got[manifest.KindAndName(object)] = labelsAt(object, "metadata", "labels")[release.LabelRelease] == d.Name
		if manifest.GroupKind(object) == "/Service" && labelsAt(object, "spec", "selector")[release.LabelRelease] != "" {
			t.Error("a selector is changed")
		}
		if manifest.KindAndName(object) == "Deployment/db" && len(labelsAt(object, "spec", "template", "metadata", "labels")) != 1 {
			t.Error("the pods of another workload are labelled")
		}
	}
	want := map[string]bool{"Deployment/web": true, "Deployment/db": false, "Service/web": true, "Service/db": false, "Service/external": false, "Service/both": false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestUnknownResourcePoliciesAreReported: Helm neither deletes such an object in an uninstall, nor keeps it in an upgrade.
func TestUnknownResourcePoliciesAreReported(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]string{"keep": "", "Keep": "", "retain": `an uninstall leaves ConfigMap/c ("retain")`, "": `an uninstall leaves ConfigMap/c ("")`} {
		template := pods("web", "app registry.example.com/team/shop:1") + fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, annotations: {helm.sh/resource-policy: %q}}\n", policy)
		rendered, err := render(release.Deployment{Name: "shop", Images: []release.BuiltImage{built(t, "", shop)}, Chart: chartOf(t, "", template)})
		if err != nil || (len(rendered.Warnings) == 1) != (want != "") || !strings.Contains(strings.Join(rendered.Warnings, ""), want) {
			t.Errorf("%q: got %q, %v, want %q", policy, rendered.Warnings, err, want)
		}
	}
}
