package helm

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/history"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/chartutil"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var update = flag.Bool("update", false, "write the golden files again")

const (
	chartDir = "../../charts/service"
	commit   = release.Commit("0123456789abcdef0123456789abcdef01234567")
)

// deployment is of the common chart, with one environment's values.
func deployment(t *testing.T, environment release.Environment) release.Deployment {
	t.Helper()
	image, err := release.ParseImage("registry.example.com/shop@sha256:" + strings.Repeat("a", 64))
	if err != nil {
		t.Fatal(err)
	}
	return release.Deployment{Name: "shop", Namespace: environment.String(), Environment: environment, Images: []release.BuiltImage{{Image: image, Commit: commit}}, Commit: commit,
		Chart: chartDir, ValuesFiles: []string{filepath.Join("../../terraform", environment.String(), "values-"+environment.String()+".yaml")},
		RunURL: "https://github.com/example/shop/actions/runs/1", Actor: "octocat"}
}

// rendering loads a chart and renders its first revision, as for a cluster of the version that Helm is built with.
func rendering(d release.Deployment) (*chart.Rendered, error) {
	loaded, err := chart.Load(d)
	if err != nil {
		return nil, err
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = chartutil.KubeVersion{Version: "v1.37.2", Major: "1", Minor: "37"}
	revision, err := loaded.RenderRevision(d, chart.Target{Capabilities: capabilities, Install: true})
	if err == nil {
		err = history.CheckSize(loaded.Record(d, revision))
	}
	return revision, err
}

func rendered(t *testing.T, d release.Deployment) (string, map[string]map[string]any) {
	t.Helper()
	revision, err := rendering(d)
	if err != nil {
		t.Fatal(err)
	}
	text := revision.Manifest
	objects, err := manifest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	byKind := map[string]map[string]any{}
	for _, object := range objects {
		byKind[object["kind"].(string)] = object
	}
	return text, byKind
}

// at walks an object; the walk fails the test where there is nothing.
func at(t *testing.T, object map[string]any, path ...string) any {
	t.Helper()
	value, found, err := unstructured.NestedFieldNoCopy(object, path...)
	if err != nil || !found {
		t.Fatalf("nothing at %v: %v", path, err)
	}
	return value
}

func TestEnvironmentsRenderAsTheirGoldens(t *testing.T) {
	t.Parallel()
	for _, environment := range []release.Environment{"staging", "production"} {
		manifest, _ := rendered(t, deployment(t, environment))
		golden := filepath.Join("testdata", environment.String()+".golden.yaml")
		if *update {
			if err := os.WriteFile(golden, []byte(manifest), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), manifest); diff != "" {
			t.Errorf("%s -want +got:\n%s", environment, diff)
		}
	}
}

func TestAnAutoscalerOwnsTheReplicas(t *testing.T) {
	t.Parallel()
	_, production := rendered(t, deployment(t, "production"))
	if _, found, _ := unstructured.NestedFieldNoCopy(production["Deployment"], "spec", "replicas"); found {
		t.Error("the Deployment has replicas beside an autoscaler")
	}
	if production["HorizontalPodAutoscaler"] == nil || production["PodDisruptionBudget"] == nil {
		t.Error("production has no autoscaler or no disruption budget")
	}
	_, staging := rendered(t, deployment(t, "staging"))
	if got := at(t, staging["Deployment"], "spec", "replicas"); got != float64(2) && got != int64(2) {
		t.Errorf("staging has %v replicas", got)
	}
	if staging["HorizontalPodAutoscaler"] != nil {
		t.Error("staging has an autoscaler")
	}
}

func TestTheDigestWinsOverATag(t *testing.T) {
	t.Parallel()
	d := deployment(t, "staging")
	d.Set = []string{"image.tag=v1"}
	_, objects := rendered(t, d)
	container := at(t, objects["Deployment"], "spec", "template", "spec", "containers").([]any)[0].(map[string]any)
	if container["image"] != d.Main().Image.String() {
		t.Errorf("the container runs %v", container["image"])
	}
}

func TestConfigAndSecretsRollThePods(t *testing.T) {
	t.Parallel()
	sums := map[string]string{}
	for name, set := range map[string][]string{
		"plain": nil, "config": {"config.GREETING=Hi"}, "secret": {"secret.API_TOKEN=x"}, "another secret": {"secret.API_TOKEN=y"},
	} {
		d := deployment(t, "staging")
		d.Set = set
		_, objects := rendered(t, d)
		annotations := at(t, objects["Deployment"], "spec", "template", "metadata", "annotations").(map[string]any)
		sum := annotations["checksum/config"].(string) + annotations["checksum/secret"].(string)
		for other, seen := range sums {
			if seen == sum {
				t.Errorf("%q and %q have the same checksums", name, other)
			}
		}
		sums[name] = sum
	}
}

func TestARunDoesNotRollThePods(t *testing.T) {
	t.Parallel()
	first, second := deployment(t, "staging"), deployment(t, "staging")
	second.RunURL, second.Actor = "https://github.com/example/shop/actions/runs/2", "hubot"
	one, objects := rendered(t, first)
	two, _ := rendered(t, second)
	if one == two {
		t.Error("the run is not on the objects")
	}
	asFirst := strings.NewReplacer(second.RunURL, first.RunURL, second.Actor, first.Actor).Replace(two)
	if diff := cmp.Diff(one, asFirst); diff != "" {
		t.Errorf("another run is another release:\n%s", diff)
	}
	template := at(t, objects["Deployment"], "spec", "template").(map[string]any)
	if got := at(t, template, "metadata", "labels", release.LabelCommit); got != commit.String() {
		t.Errorf("the pods are labelled with commit %v", got)
	}
	if _, found, _ := unstructured.NestedString(template, "metadata", "annotations", release.AnnotationRun); found {
		t.Error("the run is on the pods, so every run rolls them")
	}
	for kind, object := range objects {
		actor, _, _ := unstructured.NestedString(object, "metadata", "annotations", release.AnnotationActor)
		if runs := kind == "Deployment"; runs != (actor == "octocat") {
			t.Errorf("%s: actor %q", kind, actor)
		}
	}
}

func TestPodsAreRestricted(t *testing.T) {
	t.Parallel()
	_, objects := rendered(t, deployment(t, "production"))
	pod := at(t, objects["Deployment"], "spec", "template", "spec").(map[string]any)
	container := pod["containers"].([]any)[0].(map[string]any)
	for _, want := range []struct {
		in   map[string]any
		path []string
		want any
	}{
		{pod, []string{"automountServiceAccountToken"}, false},
		{pod, []string{"securityContext", "runAsNonRoot"}, true},
		{pod, []string{"securityContext", "seccompProfile", "type"}, "RuntimeDefault"},
		{container, []string{"securityContext", "allowPrivilegeEscalation"}, false},
		{container, []string{"securityContext", "readOnlyRootFilesystem"}, true},
		{container, []string{"securityContext", "privileged"}, false},
	} {
		if got := at(t, want.in, want.path...); got != want.want {
			t.Errorf("%v is %v, want %v", want.path, got, want.want)
		}
	}
}

// TestNamesThatYAMLReadsAsOtherTypes renders names and keys that YAML would read as a number, a boolean or nothing.
func TestNamesThatYAMLReadsAsOtherTypes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"1e3", "on", "null", "0777", "123"} {
		d := deployment(t, "production")
		d.Name = name
		d.Set = []string{"config.NO=no", "config.AMOUNT=1000000", "config.VERSION=1.10", "secret.ON=off", "existingSecrets[0].name=" + name, "image.pullSecrets[0]=" + name}
		_, objects := rendered(t, d)
		for kind, object := range objects {
			if got := at(t, object, "metadata", "name"); got != name {
				t.Errorf("%s is named %#v, want %q", kind, got, name)
			}
			if got := at(t, object, "metadata", "labels", "app.kubernetes.io/instance"); got != name {
				t.Errorf("%s is labelled %#v, want %q", kind, got, name)
			}
		}
		pod := at(t, objects["Deployment"], "spec", "template", "spec").(map[string]any)
		if pod["serviceAccountName"] != name || at(t, pod, "imagePullSecrets").([]any)[0].(map[string]any)["name"] != name {
			t.Errorf("the pod names %#v and %#v", pod["serviceAccountName"], pod["imagePullSecrets"])
		}
		config := at(t, objects["ConfigMap"], "data").(map[string]any)
		if config["NO"] != "no" || config["AMOUNT"] != "1000000" || config["VERSION"] != "1.10" {
			t.Errorf("the configuration is %#v", config)
		}
		if got := at(t, objects["Secret"], "data", "ON"); got != "b2Zm" {
			t.Errorf("the secret is %#v", got)
		}
	}
}
