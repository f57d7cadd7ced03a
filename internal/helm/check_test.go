package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
)

// files writes a tree of files and returns its directory.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// problems returns the problems that Check, or else rendering, reports, each as one line, without directories.
func problems(t *testing.T, d release.Deployment, dirs ...string) []string {
	t.Helper()
	err := (&Client{log: func(string) {}}).Check(d)
	if err == nil {
		_, err = rendering(d)
	}
	if err == nil {
		return nil
	}
	var input *release.InputError
	if !errors.As(err, &input) {
		t.Fatalf("got %v, want bad input", err)
	}
	lines := make([]string, len(input.Problems))
	for i, problem := range input.Problems {
		lines[i] = problem.String()
		for _, dir := range dirs {
			lines[i] = strings.ReplaceAll(lines[i], dir+"/", "")
		}
		if strings.ContainsAny(lines[i], "\n\r\x1b") {
			t.Errorf("%q is more than one line", lines[i])
		}
	}
	return lines
}

func TestCheckReportsProblemsWithTheirLocation(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		values string // of v.yaml; "-" for none
		set    []string
		want   []string
	}{
		"nothing": {values: "", want: nil},
		"typos": {values: "replicaz: 3\nservice:\n  type: LoadBalancer\n  tpye: x\nexistingSecrets:\n  - name: a\n  - nam: b\n", want: []string{
			`v.yaml:1: replicaz: the chart has no such value; see the chart's values.yaml`,
			`v.yaml:4: service.tpye: the chart has no such value; see the chart's values.yaml`,
			`v.yaml:7: existingSecrets.1.nam: the chart has no such value; see the chart's values.yaml`,
			`v.yaml:7: existingSecrets.1: missing property 'name'; see the chart's values.yaml`,
		}},
		"types and ranges": {values: "replicas: many\nservice: {type: NodePort, port: 0}\nsecret:\n  TOKEN: 12345\nconfig: []\n", want: []string{
			`v.yaml:1: replicas: is of type string, want integer; see the chart's values.yaml`,
			`v.yaml:2: service.port: minimum: got 0, want 1; see the chart's values.yaml`,
			`v.yaml:2: service.type: value must be one of 'ClusterIP', 'LoadBalancer'; see the chart's values.yaml`,
			`v.yaml:4: secret.TOKEN: is of type number, want string; see the chart's values.yaml`,
			`v.yaml:5: config: is of type array, want object; see the chart's values.yaml`,
		}},
		"what the chart sets itself": {values: "config:\n  PORT: \"9\"\npodLabels:\n  app.kubernetes.io/name: other\n", want: []string{
			`v.yaml:2: config.PORT: may not be set; see the chart's values.yaml`,
			`v.yaml:4: podLabels."app.kubernetes.io/name": may not be set; see the chart's values.yaml`,
		}},
		"an assignment over a file": {values: "replicas: 2\n", set: []string{"replicas=3", "service.tpye=x"}, want: []string{
			`--set replicas: replicas: is of type string, want integer; --set gives strings only; give this value by --set-json or in a values file`,
			`--set service.tpye: service.tpye: the chart has no such value; see the chart's values.yaml`,
		}},
		"assignments that are none, their values not shown": {set: []string{"hunter2", "=hunter2", "secret.A.=hunter2", "a[hunter2", "secret.A[x]=hunter2", ""}, want: []string{
			`--set: a value is not path=value; write it as path=value`,
			`--set: a value is not path=value; write it as path=value`,
			`--set: a value has an empty step in its path, or none; write it as path=value`,
			`--set: a value has an empty step in its path; write it as path=value`,
			`--set: a value has an index that is not a number from 0 to 1023; write it as path=value`,
			`--set: a value has an index that is not a number from 0 to 1023; write it as path=value`,
		}},
		"assignments that do not fit": {values: "existingSecrets: [{name: a}]\n", set: []string{"existingSecrets[2].name=x", "existingSecrets.name=x", "replicas[0]=x", "secret.A=x", "secret.A.B=hunter2"}, want: []string{
			`--set existingSecrets.2.name: existingSecrets has 1 items in the values that are given, so that item 2 cannot be set; see the chart's values.yaml`,
			`--set existingSecrets.name: existingSecrets is not a map; see the chart's values.yaml`,
			`--set secret.A.B: secret.A is not a map; see the chart's values.yaml`,
		}},
		"an image that is no map": {values: "\nimage: nginx\n", want: []string{`v.yaml:2: image: is not a map; --image gives image.repository and image.digest`}},
		"not YAML":                {values: "a: 1\nb: [\n", want: []string{`v.yaml:2: is not a YAML map of values: did not find expected node content`}},
		"no map":                  {values: "- a\n", want: []string{`v.yaml:1: is not a YAML map of values: cannot unmarshal !!seq into map[string]interface {}`}},
		"a key twice":             {values: "replicas: 1\nreplicas: 2\n", want: []string{`v.yaml:2: is not a YAML map of values: mapping key "replicas" already defined at line 1`}},
		"two documents":           {values: "replicas: 1\n---\nreplicas: 2\n", want: []string{`v.yaml:2: is not a YAML map of values: a second document begins, and Helm reads only the first`}},
		"a key twice as YAML reads it": {values: "config:\n  true: 1\n  on: 2\n", want: []string{
			`v.yaml:3: config.on: YAML reads this key as "true", as it does the key in line 2, so that one of them would be lost; quote the keys`}},
		"more digits than a number keeps": {values: "config:\n  A: 123456789012345678901234567890\n", want: []string{`v.yaml:2: config.A: the number has more digits than are kept; quote it`}},
		"no file":                         {values: "-", want: []string{`--values: "v.yaml" does not exist; name a YAML file of values`}},
		"bounds that cross": {values: "autoscaling: {enabled: true, minReplicas: 5, maxReplicas: 2}\n", want: []string{
			`chart "service": autoscaling.minReplicas (5) is above autoscaling.maxReplicas (2); fix the values`}},
		"a budget that leaves nothing to evict": {values: "replicas: 2\npodDisruptionBudget: {minAvailable: 2}\n", want: []string{
			`chart "service": podDisruptionBudget.minAvailable (2) leaves none of 2 pods to evict, so no node could ever be drained; fix the values`}},
		"a rollout that could not begin": {values: "rollingUpdate: {maxSurge: 0, maxUnavailable: 0%}\n", want: []string{
			`chart "service": rollingUpdate.maxSurge and rollingUpdate.maxUnavailable are both 0, so no pod could ever be replaced; fix the values`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			d := deployment(t, "staging")
			d.ValuesFiles, d.Set = []string{filepath.Join(dir, "v.yaml")}, test.set
			if test.values != "-" {
				dir = files(t, map[string]string{"v.yaml": test.values})
				d.ValuesFiles[0] = filepath.Join(dir, "v.yaml")
			}
			got := problems(t, d, dir)
			// The validator's order is that of a map.
			if diff := cmp.Diff(test.want, got, sortLines); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

var sortLines = cmp.Transformer("sorted", func(lines []string) map[string]int {
	counted := map[string]int{}
	for _, line := range lines {
		counted[line]++
	}
	return counted
})

func TestCheckReportsTheProblemsOfAllFiles(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"broken.yaml": "b: [\n", "other.yaml": "- x\n"})
	d := deployment(t, "staging")
	d.Chart, d.ValuesFiles, d.Set = dir, []string{dir + "/broken.yaml", dir + "/other.yaml", dir + "/none.yaml"}, []string{"x"}
	got := strings.Join(problems(t, d, dir), "\n")
	for _, want := range []string{"is not a chart", "broken.yaml:", "other.yaml:1", "none.yaml", "a value is not path=value"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

func TestALaterFileWins(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"one.yaml": "config: {A: one, B: one, C: one}\nservice: {port: 8}\n", "two.yaml": "config: {B: two, C: two}\nservice: {port: 0}\n"})
	d := deployment(t, "staging")
	d.ValuesFiles, d.Set = []string{dir + "/one.yaml", dir + "/two.yaml"}, []string{"config.C=three"}
	want := []string{`two.yaml:2: service.port: minimum: got 0, want 1; see the chart's values.yaml`}
	if diff := cmp.Diff(want, problems(t, d, dir)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := os.WriteFile(dir+"/two.yaml", []byte("config: {B: two, C: two}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, objects := rendered(t, d)
	if diff := cmp.Diff(map[string]any{"A": "one", "B": "two", "C": "three"}, at(t, objects["ConfigMap"], "data")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestAssignmentsAreStrings checks that a commit that looks like a number stays a string.
func TestAssignmentsAreStrings(t *testing.T) {
	t.Parallel()
	d := deployment(t, "staging")
	d.Set = []string{"config.A=1234567e8", "config.B=0777", "config.C=true", `config.D=a\,b=c`, "config.E=", "config.F={}", "existingSecrets[0].name=other"}
	_, objects := rendered(t, d)
	config := at(t, objects["ConfigMap"], "data").(map[string]any)
	want := map[string]any{"A": "1234567e8", "B": "0777", "C": "true", "D": `a\,b=c`, "E": "", "F": "{}", "ENVIRONMENT": "staging", "LOG_LEVEL": "debug", "GREETING": "Hello", "DRAIN_DELAY": "120s"}
	if diff := cmp.Diff(want, config); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if text, _ := manifest.Format([]map[string]any{objects["Deployment"]}); !strings.Contains(text.String(), "name: other") || strings.Contains(text.String(), "shop-staging") {
		t.Errorf("the first existing secret was not replaced:\n%s", text)
	}
}

const looseChart = "apiVersion: v2\nname: loose\nversion: 0.1.0\n"

func workload(kind, spec string) string {
	return "apiVersion: v1\nkind: " + kind + "\nmetadata: {name: loose}\nspec: " + spec + "\n"
}

func TestSomeContainerMustRunTheImage(t *testing.T) {
	t.Parallel()
	const pinnedImage = `'{{ .Values.image.repository }}@{{ .Values.image.digest }}'`
	for name, test := range map[string]struct{ template, want string }{
		"loose":             {workload("Deployment", "{template: {spec: {containers: [{name: app, image: 'nginx:latest'}]}}}"), `the containers run "nginx:latest"; if that is the built image, give --image-alias docker.io/library/nginx`},
		"nothing runs":      {workload("ConfigMap", "{}"), "nor any other image"},
		"nothing":           {"", "nor any other image"},
		"of a Deployment":   {workload("Deployment", "{template: {spec: {containers: [{name: app, image: "+pinnedImage+"}]}}}"), ""},
		"of a CronJob":      {workload("CronJob", "{jobTemplate: {spec: {template: {spec: {containers: [{name: app, image: "+pinnedImage+"}]}}}}}"), ""},
		"of a Pod":          {workload("Pod", "{containers: [{name: app, image: "+pinnedImage+"}]}"), ""},
		"first, beside one": {workload("Job", "{template: {spec: {initContainers: [{name: a, image: "+pinnedImage+"}], containers: [{name: b, image: other}]}}}"), ""},
		"in a list":         {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: a, image: " + pinnedImage + "}]}}\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deployment(t, "staging")
			d.Chart, d.ValuesFiles = files(t, map[string]string{"Chart.yaml": looseChart, "templates/w.yaml": test.template}), nil
			got := strings.Join(problems(t, d), "\n")
			if test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestRenderListsTheObjects(t *testing.T) {
	t.Parallel()
	revision, err := rendering(deployment(t, "staging"))
	if err != nil || !strings.Contains(revision.Manifest, "kind: Deployment") {
		t.Fatalf("got %+v, %v", revision, err)
	}
	objects, err := manifest.ListObjects(revision.Manifest, "staging")
	if err != nil {
		t.Fatal(err)
	}
	want := []release.Object{}
	for _, kind := range []string{"v1 ServiceAccount", "v1 ConfigMap", "v1 Service", "apps/v1 Deployment", "policy/v1 PodDisruptionBudget", "networking.k8s.io/v1 NetworkPolicy"} {
		version, kind, _ := strings.Cut(kind, " ")
		want = append(want, release.Object{APIVersion: version, Kind: kind, Namespace: "staging", Name: "shop"})
	}
	byKind := cmp.Transformer("byKind", func(objects []release.Object) map[string]release.Object {
		kinds := map[string]release.Object{}
		for _, object := range objects {
			kinds[object.Kind] = object
		}
		return kinds
	})
	if diff := cmp.Diff(want, objects, byKind); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestHostileCharts checks charts that read files outside of them, or never end.
func TestHostileCharts(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	otherServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		io.WriteString(w, "{}")
	}))
	defer otherServer.Close()
	outside := files(t, map[string]string{"secret.txt": "hunter2", "schema.json": "{}"})
	for name, test := range map[string]struct {
		files map[string]string
		spoil func(dir string) error
		want  string
	}{
		"a schema on another server": {files: map[string]string{"values.schema.json": `{"$ref": "` + otherServer.URL + `/schema.json"}`}, want: "which may refer to itself only"},
		"a schema of its own kind":   {files: map[string]string{"values.schema.json": `{"$schema": "` + otherServer.URL + `/schema.json"}`}, want: "which may refer to itself only"},
		"a schema in another file":   {files: map[string]string{"values.schema.json": `{"$ref": "file://` + outside + `/schema.json"}`}, want: "which may refer to itself only"},
		"a link to a file":           {spoil: func(dir string) error { return os.Symlink(outside+"/secret.txt", dir+"/templates/s.yaml") }, want: "is a symbolic link out of the chart"},
		"a link to a directory":      {spoil: func(dir string) error { return os.Symlink(outside, dir+"/files") }, want: "is a symbolic link out of the chart"},
		"a link to itself":           {spoil: func(dir string) error { return os.Symlink(".", dir+"/files") }, want: "is a symbolic link"},
		"a pipe":                     {spoil: func(dir string) error { return syscall.Mkfifo(dir+"/files", 0o600) }, want: "is not a regular file"},
		"a huge file":                {spoil: func(dir string) error { return os.Truncate(dir+"/Chart.yaml", 8<<20+1) }, want: "more than 8388608 bytes"},
		"many files": {spoil: func(dir string) error {
			for i := range 2000 {
				if err := os.WriteFile(dir+"/templates/"+strings.Repeat("x", i%40)+string(rune('a'+i/40%26))+string(rune('a'+i/1040)), nil, 0o600); err != nil {
					return err
				}
			}
			return nil
		}, want: "more than 2000 files"},
		"a dependency that is not there": {files: map[string]string{"Chart.yaml": looseChart + "dependencies: [{name: other, version: 1.0.0, repository: 'https://example.com'}]\n"}, want: "other"},
		"a template that does not end":   {files: map[string]string{"templates/w.yaml": `{{ define "x" }}{{ include "x" . }}{{ end }}{{ include "x" . }}`}, want: "nested reference"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := map[string]string{"Chart.yaml": looseChart, "values.yaml": "a: 1\n", "templates/empty.yaml": ""}
			for file, text := range test.files {
				content[file] = text
			}
			dir := files(t, content)
			if test.spoil != nil {
				if err := test.spoil(dir); err != nil {
					t.Fatal(err)
				}
			}
			d := deployment(t, "staging")
			d.Chart, d.ValuesFiles = dir, nil
			got := strings.Join(problems(t, d), "\n")
			if !strings.Contains(got, test.want) || strings.Contains(got, "hunter2") {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	t.Cleanup(func() { // after the parallel ones
		if len(asked) > 0 {
			t.Errorf("the other server was asked for %q", <-asked)
		}
	})
}

func TestALinkInsideTheChartIsRead(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"Chart.yaml": looseChart, "shared.yaml": workload("Pod", "{containers: [{name: a, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}]}"), "templates/empty.yaml": ""})
	if err := os.Symlink("../shared.yaml", dir+"/templates/w.yaml"); err != nil {
		t.Fatal(err)
	}
	d := deployment(t, "staging")
	d.Chart, d.ValuesFiles = dir, nil
	if got := problems(t, d); got != nil {
		t.Errorf("got %q", got)
	}
}

// packed writes a packaged chart.
func packed(t *testing.T, content map[string]string) string {
	t.Helper()
	var archive bytes.Buffer
	zipped := gzip.NewWriter(&archive)
	out := tar.NewWriter(zipped)
	for name, text := range content {
		if err := out.WriteHeader(&tar.Header{Name: "loose/" + name, Mode: 0o600, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(out, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(out.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(files(t, map[string]string{"loose.tgz": archive.String()}), "loose.tgz")
}

func TestPackagedCharts(t *testing.T) {
	t.Parallel()
	good := map[string]string{"Chart.yaml": looseChart, "templates/w.yaml": workload("Pod", "{containers: [{name: a, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}]}")}
	d := deployment(t, "staging")
	d.Chart, d.ValuesFiles = packed(t, good), nil
	if got := problems(t, d); got != nil {
		t.Errorf("got %q", got)
	}
	for _, name := range []string{"a", "b", "c"} { // each below the limit of a file
		good["files/"+name] = strings.Repeat("0", 4<<20)
	}
	d.Chart = packed(t, good)
	if got := strings.Join(problems(t, d), "\n"); !strings.Contains(got, "more than 8388608 bytes") {
		t.Errorf("a chart that unpacks to 12 MiB: got %q", got)
	}
	d.Chart = filepath.Join(files(t, map[string]string{"x.tgz": "not packed"}), "x.tgz")
	if got := strings.Join(problems(t, d), "\n"); !strings.Contains(got, "not a gzipped archive") {
		t.Errorf("got %q", got)
	}
}

func TestValuesFilesThatNeverEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mkfifo(dir+"/pipe.yaml", 0o600); err != nil {
		t.Fatal(err)
	}
	d := deployment(t, "staging")
	d.ValuesFiles = []string{dir + "/pipe.yaml", "/dev/zero", dir}
	got := problems(t, d)
	if len(got) != 3 || !strings.Contains(strings.Join(got, "\n"), `/dev/zero" is not a regular file`) {
		t.Errorf("got %q", got)
	}
}

// TestNothingIsPrinted checks that Helm does not print the values that it drops to the standard error stream.
func TestNothingIsPrinted(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	dir := files(t, map[string]string{"one.yaml": "secret: {TOKEN: hunter2}\nimage: hunter2\nservice: hunter2\n", "two.yaml": "secret: hunter2\nservice: {port: 1}\nconfig: {A: {B: hunter2}}\n"})
	d := deployment(t, "staging")
	d.ValuesFiles = []string{dir + "/one.yaml", dir + "/two.yaml"}
	problems(t, d)
	d.ValuesFiles = d.ValuesFiles[1:]
	got := problems(t, d)
	if text := logged.String() + strings.Join(got, "\n"); strings.Contains(text, "hunter2") || len(got) == 0 {
		t.Errorf("got %s", text)
	}
}

// TestAChartThatComparesItsTag: the tag is set to the commit, which is no version; the error says how the chart keeps its own.
func TestAChartThatComparesItsTag(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\nappVersion: 1.2.3\n", "values.yaml": "image: {repository: '', digest: '', tag: ''}\n",
		"templates/shop.yaml": "{{ if semverCompare \">=1.0.0\" (default .Chart.AppVersion .Values.image.tag) }}\napiVersion: v1\nkind: Pod\nmetadata: {name: shop}\nspec: {containers: [{name: a, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}]}\n{{ end }}\n"})
	d := deployment(t, "staging")
	d.Chart, d.ValuesFiles, d.Set = dir, nil, nil
	if got := strings.Join(problems(t, d, dir), "\n"); !strings.Contains(got, "the tag is set to the commit, unless") {
		t.Errorf("got %q", got)
	}
	d.Images[0].Values = []string{"image.repository", "image.digest"}
	if got := problems(t, d, dir); got != nil {
		t.Errorf("without the tag: got %q", got)
	}
}
