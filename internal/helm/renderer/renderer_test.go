package renderer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"k8s.io/client-go/rest"
)

const (
	childArgument  = "render-as-a-child" // makes this test's binary the child
	parentArgument = "render-in-a-child" // makes it a parent, whose child renders without an end
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == childArgument {
		if environ := os.Environ(); len(environ) > 1 {
			panic(environ[0]) // the child must not have this process's environment
		}
		os.Exit(Serve(os.Stdin, os.Stdout))
	}
	if len(os.Args) == 2 && os.Args[1] == parentArgument {
		endless := chartOf("bomb", map[string]string{"a.yaml": endless})
		_, err := Renderer{Command: []string{os.Args[0], childArgument}}.Render(context.Background(), nil, endless, chartutil.Values{"Values": map[string]any{}})
		panic(err)
	}
	os.Exit(m.Run())
}

// endless is a template that takes years.
const endless = `{{ range until 100000 }}{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}{{ end }}`

// TestChildOfAKilledParent: a child that renders ends with its parent, which cannot end it when it is killed itself.
func TestChildOfAKilledParent(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: finds the child in /proc")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(program, parentArgument)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	children := func() []byte {
		found, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent.Process.Pid))
		var all []byte
		for _, file := range found {
			content, _ := os.ReadFile(file) //nolint:gosec // of /proc
			all = append(all, content...)
		}
		return bytes.TrimSpace(all)
	}
	wait := func(what string, until func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !until(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("waited a minute until %s", what)
			}
		}
	}
	wait("there is a child", func() bool { return len(children()) > 0 })
	child := string(children())
	state := func() string {
		content, _ := os.ReadFile("/proc/" + child + "/stat")
		return string(content)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	wait("the child has ended", func() bool { return state() == "" || strings.Contains(state(), ") Z ") })
}

// TestChildOfAParentThatWasKilledAtOnce: the parent may have ended before the child could look at it.
func TestChildOfAParentThatWasKilledAtOnce(t *testing.T) {
	t.Parallel()
	bomb := chartOf("bomb", map[string]string{"a.yaml": endless})
	asked, err := newRequest(bomb, valuesOf(t, bomb, nil))
	if err != nil {
		t.Fatal(err)
	}
	asked.Parent, asked.Memory = os.Getppid(), 1<<30
	text, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	program := child(t).Command
	orphan := exec.CommandContext(ctx, program[0], program[1:]...)
	orphan.Stdin, orphan.Env = bytes.NewReader(text), []string{"GOTRACEBACK=none"}
	var printed bytes.Buffer
	orphan.Stderr = &printed
	if _ = orphan.Run(); orphan.ProcessState.ExitCode() != exitBroken {
		t.Errorf("the child ended with %v, want exit status %d: %s", orphan.ProcessState, exitBroken, printed.String())
	}
}

// child renders in a child process.
func child(t *testing.T) Renderer {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Renderer{Command: []string{program, childArgument}}
}

// chartOf makes a chart of templates.
func chartOf(name string, templates map[string]string) *helmchart.Chart {
	chart := &helmchart.Chart{Metadata: &helmchart.Metadata{Name: name, Version: "1.2.3", APIVersion: "v2", KubeVersion: ">=1.20", Annotations: map[string]string{"a": "b"}}}
	for file, text := range templates {
		chart.Templates = append(chart.Templates, &helmchart.File{Name: "templates/" + file, Data: []byte(text)})
	}
	return chart
}

func valuesOf(t *testing.T, chart *helmchart.Chart, values map[string]any) chartutil.Values {
	t.Helper()
	caps := chartutil.DefaultCapabilities.Copy()
	caps.APIVersions = append(caps.APIVersions, "example.com/v1/Thing")
	top, err := chartutil.ToRenderValues(chart, values, chartutil.ReleaseOptions{Name: "shop", Namespace: "staging", Revision: 3, IsUpgrade: true}, caps)
	if err != nil {
		t.Fatal(err)
	}
	return top
}

// TestTheChildRendersAsHelmDoes compares the child's output with that of Helm's engine.
func TestTheChildRendersAsHelmDoes(t *testing.T) {
	t.Parallel()
	umbrella := chartOf("umbrella", map[string]string{
		"all.yaml":    `{{ toYaml .Values }}{{ range $k, $v := .Values.list }}{{ kindOf $v }} {{ typeOf $v }} {{ $v }};{{ end }}{{ typeOf .Values }} {{ typeOf .Values.map }}`,
		"scope.yaml":  `{{ .Release | toJson }} {{ .Chart | toJson }} {{ .Template | toJson }} {{ .Capabilities.KubeVersion.Minor }} {{ .Capabilities.APIVersions.Has "example.com/v1/Thing" }} {{ .Capabilities.HelmVersion.Version }}`,
		"files.yaml":  `{{ .Files.Get "a.txt" }}{{ range $p, $b := .Files.Glob "*.txt" }}{{ $p }} {{ len $b }}{{ end }}{{ (.Files.Glob "*").AsSecrets }}`,
		"_help.tpl":   `{{ define "x" }}<{{ . }}&>{{ end }}`,
		"tpl.yaml":    `{{ include "x" .Values.map.a }}{{ tpl "{{ .Values.map.a }}" . }}{{ template "part" . }}{{ .Values.nothing }}{{ .Subcharts.part.Values.own }}`,
		"env.yaml":    `{{ if hasKey (dict) "env" }}{{ end }}{{ getHostByName "example.com" }}`,
		"lookup.yaml": `{{ lookup "v1" "Secret" "a" "b" }}`,
		"NOTES.txt":   "notes",
	})
	umbrella.Files = []*helmchart.File{{Name: "a.txt", Data: []byte("content\x00 é")}}
	part := chartOf("part", map[string]string{"p.yaml": `{{ define "part" }}{{ .Chart.Name }}{{ end }}{{ toYaml .Values }}{{ .Chart.IsRoot }}`})
	part.Values = map[string]any{"own": "value", "n": float64(1e6)}
	umbrella.AddDependency(part)
	library := chartOf("lib", map[string]string{"_lib.tpl": `{{ define "lib" }}lib{{ end }}`, "no.yaml": "not rendered"})
	library.Metadata.Type = "library"
	part.AddDependency(library)
	values := map[string]any{"list": []any{"a", true, float64(3), float64(1e21), int64(1 << 60), uint64(1 << 63), nil, map[string]any{}, []any{}}, "map": map[string]any{"a": "b", "none": nil}, "empty": map[string]any{}}

	service, err := loader.Load("../../../charts/service")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		chart  *helmchart.Chart
		values map[string]any
	}{
		"umbrella":         {umbrella, values},
		"the common chart": {service, map[string]any{"image": map[string]any{"repository": "localhost:5000/shop", "digest": "sha256:" + strings.Repeat("a", 64)}}},
		"a failure":        {chartOf("fails", map[string]string{"a.yaml": "\n{{ fail \"give a.b\" }}"}), nil},
		"a parse error":    {chartOf("broken", map[string]string{"a.yaml": "\n{{ if }}"}), nil},
		"a required value": {chartOf("wants", map[string]string{"a.yaml": `{{ required "give x" .Values.x }}`}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, wantErr := engine.Render(test.chart, valuesOf(t, test.chart, test.values))
			got, err := child(t).Render(t.Context(), nil, test.chart, valuesOf(t, test.chart, test.values))
			if diff := cmp.Diff(want, got); diff != "" && wantErr == nil {
				t.Errorf("-want +got:\n%s", diff)
			}
			if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
				t.Errorf("got %v, want %v", err, wantErr)
			}
		})
	}
}

// TestTextThatIsNotUTF8 is refused: a ConfigMap would have other bytes than the file.
func TestTextThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		`{{ .Files.Get "de.properties" }}`:          "latin/templates/a.yaml renders text that is not UTF-8",
		`{{ .Files.Get "de.properties" | b64enc }}`: "",
	} {
		chart := chartOf("latin", map[string]string{"a.yaml": template})
		chart.Files = []*helmchart.File{{Name: "de.properties", Data: []byte("name=M\xfcller")}}
		for where, renderer := range map[string]Renderer{"in a child": child(t), "in this process": {}} {
			if _, err := renderer.Render(t.Context(), nil, chart, valuesOf(t, chart, nil)); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %s: got %v", template, where, err)
			}
		}
	}
}

// TestAValueThatIsNotUTF8 is refused by its path, before a template has it with other bytes. The value itself may be a secret.
func TestAValueThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	chart := chartOf("latin", map[string]string{"a.yaml": `{{ toYaml .Values }}`})
	for want, values := range map[string]map[string]any{
		"value db.names[1] is text":    {"db": map[string]any{"names": []any{"a", "M\xfcller"}}},
		"value db.M\ufffdller is text": {"db": map[string]any{"M\xfcller": 1}},
	} {
		var errs []string
		for _, renderer := range []Renderer{child(t), {}} {
			_, err := renderer.Render(t.Context(), nil, chart, valuesOf(t, chart, values))
			if release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), want+" that is not UTF-8") {
				t.Errorf("got %v, want %q", err, want)
			}
			errs = append(errs, fmt.Sprint(err))
		}
		if errs[0] != errs[1] {
			t.Errorf("in a child %q, in this process %q", errs[0], errs[1])
		}
	}
}

// TestLimits checks that a chart that is beyond a limit is refused, and ends.
func TestLimits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		template string
		want     string
	}{
		"one large text":    {`{{ repeat 400000000 "x" | len }}`, "need more than 256 MiB of memory"},
		"a huge text":       {`{{ repeat 400000000000 "x" | len }}`, "need more than 256 MiB of memory"},
		"a large list":      {`{{ until 2000000000 | len }}`, "need more than 256 MiB of memory"},
		"a text that grows": {`{{ $x := "abcdefgh" }}{{ range until 60 }}{{ $x = printf "%s%s" $x $x }}{{ end }}`, "need more than 256 MiB of memory"},
		"large output":      {`{{ repeat 20000000 "x" }}`, "render more than 16 MiB"},
		"without an end":    {endless, "have not ended after"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			confined := child(t)
			if test.template == endless {
				confined.time = time.Second
			}
			chart := chartOf("bomb", map[string]string{"a.yaml": test.template})
			_, err := confined.Render(t.Context(), nil, chart, valuesOf(t, chart, nil))
			var input *release.InputError
			if !errors.As(err, &input) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), `chart "bomb"`) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	for name, renderer := range map[string]Renderer{"in a child": child(t), "in this process": {}} {
		t.Run("cancelled "+name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			chart := chartOf("bomb", map[string]string{"a.yaml": strings.ReplaceAll(endless, "100000", "3000")})
			if _, err := renderer.Render(ctx, nil, chart, valuesOf(t, chart, nil)); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestACrashIsAFault: a child that ends by anything but a limit says so by its last line.
func TestACrashIsAFault(t *testing.T) {
	t.Parallel()
	chart := chartOf("shop", map[string]string{"a.yaml": "x"})
	for script, want := range map[string]string{
		"echo one >&2; printf 'exec \033[2Jformat error\n\n' >&2; exit 126": "format error",
		"kill -KILL $$": "no memory left: signal: killed",
		"echo 'panic: runtime error: invalid memory address or nil pointer dereference' >&2; exit 2":         "invalid memory address",
		"printf 'panic: a bug\n\ngoroutine 1:\nmain.main()\n' >&2; exit 2":                                   "panic: a bug",
		"echo 'runtime/cgo: pthread_create failed: Resource temporarily unavailable' >&2; kill -ABRT $$":     "",
		"echo 'SIGSEGV: segmentation violation' >&2; exit 2":                                                 "",
		"echo '==7091==ERROR: ThreadSanitizer failed to allocate 0x30000000 bytes (errno: 12)' >&2; exit 66": "",
		"exit 13": "", "echo 'fatal error: runtime: out of memory' >&2; exit 2": "",
		"echo 'runtime: goroutine stack exceeds 1000000000-byte limit' >&2; exit 2": "",
	} {
		_, err := Renderer{Command: []string{"/bin/sh", "-c", "cat >/dev/null & " + script}}.Render(t.Context(), nil, chart, valuesOf(t, chart, nil))
		var fault *release.Fault
		var input *release.InputError
		if want == "" && !errors.As(err, &input) || want != "" && (!errors.As(err, &fault) || !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\x1b") || strings.Contains(err.Error(), "one")) {
			t.Errorf("%s: got %v", script, err)
		}
	}
}

// TestLookups checks that the child's lookups ask the cluster as Helm's do.
func TestLookups(t *testing.T) {
	t.Parallel()
	apiserver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/api/v1":
			io.WriteString(w, `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"configmaps","namespaced":true,"kind":"ConfigMap","verbs":["get","list"]}]}`)
		case "/api/v1/namespaces/a/configmaps/there":
			io.WriteString(w, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"there","generation":1234567890},"data":{"k":"v"}}`)
		case "/api/v1/namespaces/a/configmaps":
			io.WriteString(w, `{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"there"}},{"metadata":{"name":"other"}}]}`)
		case "/api/v1/namespaces/a/configmaps/forbidden":
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"you may not","reason":"Forbidden","code":403}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"not found","reason":"NotFound","code":404}`)
		}
	}))
	defer apiserver.Close()
	config := &rest.Config{Host: apiserver.URL}
	for name, template := range map[string]string{
		"objects": `{{ (lookup "v1" "ConfigMap" "a" "there").metadata.generation }} {{ (lookup "v1" "ConfigMap" "a" "there").data.k }} {{ lookup "v1" "ConfigMap" "a" "absent" }}` +
			`{{ range (lookup "v1" "ConfigMap" "a" "").items }}{{ .metadata.name }},{{ end }}{{ if not (lookup "v1" "ConfigMap" "b" "") }}none{{ end }}`,
		"a refusal":         `{{ lookup "v1" "ConfigMap" "a" "forbidden" }}`,
		"an unknown group":  `{{ lookup "example.com/v1" "Thing" "a" "b" }}`,
		"an unknown object": `{{ if (lookup "v1" "Thing" "a" "b") }}x{{ end }}`,
	} {
		t.Run(name, func(t *testing.T) {
			chart := chartOf("asks", map[string]string{"a.yaml": template})
			want, wantErr := engine.RenderWithClient(chart, valuesOf(t, chart, nil), config)
			got, err := child(t).Render(t.Context(), config, chart, valuesOf(t, chart, nil))
			if diff := cmp.Diff(want, got); diff != "" && wantErr == nil {
				t.Errorf("-want +got:\n%s", diff)
			}
			if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
				t.Errorf("got %v, want %v", err, wantErr)
			}
		})
	}
}
