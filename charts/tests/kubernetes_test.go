package charts

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

// definitions lists where the kinds that are not Kubernetes' own are defined: module, version and file.
var definitions = map[string][3]string{
	"external-secrets.io/v1/ExternalSecret":   {"github.com/external-secrets/external-secrets", "v1.3.2", "config/crds/bases/external-secrets.io_externalsecrets.yaml"},
	"monitoring.coreos.com/v1/PodMonitor":     {"github.com/prometheus-operator/prometheus-operator", "v0.85.0", "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"},
	"monitoring.coreos.com/v1/PrometheusRule": {"github.com/prometheus-operator/prometheus-operator", "v0.85.0", "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"},
}

// schemas compiles the schema of a kind once.
type schemas struct {
	mu       sync.Mutex
	compiled map[string]*jsonschema.Schema
	folders  map[string]string // of modules
}

// TestKubernetesTakesEveryObject validates every rendered object by the OpenAPI documents of the Kubernetes that the sandbox runs
// and by the CustomResourceDefinitions of other projects; unknown fields are errors. The server-side dry run on the node covers
// what an API server checks beyond its schema (rules in CEL, admission).
func TestKubernetesTakesEveryObject(t *testing.T) {
	t.Parallel()
	known := &schemas{}
	seen := map[string]int{}
	for name, values := range environments(t) {
		for _, object := range objects(t, manifest(t, "shop", name, values)) {
			kind := kindOf(object)
			seen[kind]++
			if err := known.validate(t, kind, object); err != nil {
				t.Errorf("%s: %s: %v", name, kind, err)
			}
		}
	}
	for _, kind := range []string{"v1/ConfigMap", "v1/Secret", "v1/Service", "v1/ServiceAccount", "apps/v1/Deployment", "batch/v1/Job",
		"autoscaling/v2/HorizontalPodAutoscaler", "policy/v1/PodDisruptionBudget", "networking.k8s.io/v1/Ingress", "networking.k8s.io/v1/NetworkPolicy",
		"rbac.authorization.k8s.io/v1/Role", "rbac.authorization.k8s.io/v1/RoleBinding",
		"external-secrets.io/v1/ExternalSecret", "monitoring.coreos.com/v1/PodMonitor", "monitoring.coreos.com/v1/PrometheusRule"} {
		if seen[kind] == 0 {
			t.Errorf("no %s was rendered", kind)
		}
		delete(seen, kind)
	}
	if len(seen) > 0 {
		t.Errorf("these kinds are not on the list: %v", seen)
	}
}

// TestNamesThatAreNoStringsToYAML renders everything with names that YAML would parse as a number, a boolean or null.
func TestNamesThatAreNoStringsToYAML(t *testing.T) {
	t.Parallel()
	known := &schemas{}
	for _, name := range []string{"1e3", "on", "null", "0777", "123"} {
		for _, object := range objects(t, manifest(t, name, name, values(t, everything, "serviceAccount.name="+name, "rbac.readers[0].name="+name))) {
			if err := known.validate(t, kindOf(object), object); err != nil {
				t.Errorf("%s: %s: %v", name, kindOf(object), err)
			}
		}
	}
}

// TestTheSchemasBite runs the check on known mistakes.
func TestTheSchemasBite(t *testing.T) {
	t.Parallel()
	known := &schemas{}
	for name, document := range map[string]string{
		"an unknown field":             "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {selector: {}, template: {spec: {containers: [{name: a, imge: b}]}}}}",
		"a wrong type":                 "{apiVersion: v1, kind: Service, spec: {ports: [{port: eighty}]}}",
		"a missing field":              "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, spec: {maxReplicas: 3}}",
		"an unknown field of a secret": "{apiVersion: external-secrets.io/v1, kind: ExternalSecret, spec: {target: {nam: a}}}",
		"an unknown value":             "{apiVersion: external-secrets.io/v1, kind: ExternalSecret, spec: {target: {creationPolicy: Perhaps}}}",
		"an unknown field of a pod's":  "{apiVersion: monitoring.coreos.com/v1, kind: PodMonitor, spec: {selector: {}, podMetricsEndpoints: [{prt: a}]}}",
		"an unknown field of a rule":   "{apiVersion: monitoring.coreos.com/v1, kind: PrometheusRule, spec: {groups: [{name: a, rules: [{expr: up, fro: 1m}]}]}}",
	} {
		object := objects(t, document)[0]
		if err := known.validate(t, kindOf(object), object); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

func kindOf(object map[string]any) string {
	return fmt.Sprintf("%s/%s", object["apiVersion"], object["kind"])
}

func (s *schemas) validate(t *testing.T, kind string, object map[string]any) error {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		return err
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return s.of(t, kind).Validate(instance)
}

func (s *schemas) of(t *testing.T, kind string) *jsonschema.Schema {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.compiled == nil {
		s.compiled, s.folders = map[string]*jsonschema.Schema{}, map[string]string{}
	}
	if s.compiled[kind] != nil {
		return s.compiled[kind]
	}
	document, at := s.document(t, kind)
	closeObjects(document)
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(jsonschema.SchemeURLLoader{}) // of no scheme: nothing is loaded
	if err := compiler.AddResource("mem:///kind.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("mem:///kind.json#" + at)
	if err != nil {
		t.Fatalf("compiling the schema of %s: %v", kind, err)
	}
	s.compiled[kind] = schema
	return schema
}

// document returns the document that defines a kind, and the place in it.
func (s *schemas) document(t *testing.T, kind string) (document any, at string) {
	t.Helper()
	read := func(file string) any {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if text, err = yaml.YAMLToJSON(text); err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return document
	}
	version, name := kind[:strings.LastIndex(kind, "/")], kind[strings.LastIndex(kind, "/")+1:]
	if source, own := definitions[kind]; own {
		document := read(filepath.Join(s.folder(t, source[0], source[1]), source[2]))
		for i, served := range field(document, "spec", "versions").([]any) {
			if field(served, "name") == version[strings.LastIndex(version, "/")+1:] {
				return document, fmt.Sprintf("/spec/versions/%d/schema/openAPIV3Schema", i)
			}
		}
		t.Fatalf("%s is not served", kind)
	}
	file := "api__v1_openapi.json"
	group, below, grouped := strings.Cut(version, "/")
	if grouped {
		file = fmt.Sprintf("apis__%s__%s_openapi.json", group, below)
	} else {
		group, below = "", version
	}
	document = read(filepath.Join(s.folder(t, "k8s.io/kubernetes", sandboxVersion(t)), "api/openapi-spec/v3", file))
	for schema, content := range field(document, "components", "schemas").(map[string]any) {
		kinds, _ := field(content, "x-kubernetes-group-version-kind").([]any)
		for _, k := range kinds {
			if field(k, "group") == group && field(k, "version") == below && field(k, "kind") == name && !strings.Contains(schema, "meta.v1") {
				return document, "/components/schemas/" + schema
			}
		}
	}
	t.Fatalf("%s is in no schema of %s", kind, file)
	return nil, ""
}

// folder returns the directory of a module's files, and downloads the module if necessary.
func (s *schemas) folder(t *testing.T, module, version string) string {
	t.Helper()
	named := module + "@" + version
	if s.folders[named] == "" {
		var module struct{ Dir, Error string }
		output, err := goCommand(t, ".", "mod", "download", "-json", named)
		if wrong := json.Unmarshal(output, &module); wrong != nil || module.Dir == "" {
			t.Fatalf("downloading %s: %v", named, cmp.Or(module.Error, fmt.Sprint(cmp.Or(err, wrong))))
		}
		s.folders[named] = module.Dir
	}
	return s.folders[named]
}

// sandboxVersion returns the version of Kubernetes in the tests on a node.
func sandboxVersion(t *testing.T) string {
	t.Helper()
	output, err := goCommand(t, "../../devenv/sandbox", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
	if err != nil {
		t.Fatalf("asking the sandbox for its Kubernetes: %v", err)
	}
	return strings.TrimSpace(string(output))
}

func goCommand(t *testing.T, folder string, arguments ...string) ([]byte, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", arguments...)
	command.Dir = folder
	return command.Output()
}

// closeObjects makes unknown fields errors, as in strict validation by an API server.
func closeObjects(node any) {
	switch node := node.(type) {
	case map[string]any:
		_, named := node["properties"].(map[string]any)
		_, said := node["additionalProperties"]
		if open, _ := node["x-kubernetes-preserve-unknown-fields"].(bool); named && !said && !open && node["type"] == "object" {
			node["additionalProperties"] = false
		}
		for _, below := range node {
			closeObjects(below)
		}
	case []any:
		for _, below := range node {
			closeObjects(below)
		}
	}
}

// field returns a value in nested maps, or nil.
func field(node any, path ...string) any {
	for _, step := range path {
		object, _ := node.(map[string]any)
		node = object[step]
	}
	return node
}
