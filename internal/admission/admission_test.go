package admission_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/onedigest/onedigest/internal/admission"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/policy/policyfile"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

var update = flag.Bool("update", false, "write golden files")

// Rules of the tests: by keys, and by workflows.
const (
	byKeys = `version: 1
environments:
  - name: staging
    signers: [keys/staging.pub, keys/old.pub]
  - name: production
    signers: [keys/production.pub]
    requires:
      built: {signers: [keys/build.pub]}
      listed: {signers: [keys/build.pub]}
      deployed: {in: staging}
      smoked: {max-age: 336h, soak: 30m, checks: 2, check-names: [home], check-digest: "sha256:f24e4c0bebec9efbe9c85060cd69f5f1283ec5f86e701b76d2e5c594dc601cbe"}
      scanned: {signers: [keys/scan.pub]}
      chart-of-commit: true
    override: {actors: [octocat], signers: [keys/override.pub]}
`
	byWorkflows = `version: 1
trusted-root: trusted_root.json
environments:
  - name: staging
    signers: [keyless: {identity: "https://github.com/octo/shop/.github/workflows/staging.yml@refs/heads/main"}]
  - name: production
    signers: [keyless: {identity: "https://github.com/octo/shop/.github/workflows/production.yml@refs/heads/main"}]
    requires:
      built: {signers: [keyless: {identity-regexp: 'https://github\.com/octo/shared/.*@refs/tags/v.*', repository: "https://github.com/octo/shop", ref: refs/heads/main}]}
      smoked: {checks: 2, check-names: [home]}
`
)

// signers has a key for each name, and a trusted root.
type signers struct{ root []byte }

func (signers) PublicKeys(_ context.Context, signer policy.Signer) ([]string, error) {
	return []string{"-----BEGIN PUBLIC KEY-----\n" + signer.Key + "\n-----END PUBLIC KEY-----\n"}, nil
}
func (s signers) TrustedRoot() ([]byte, error) { return s.root, nil }

// files keeps what is written.
type files map[string][]byte

func (files) CheckWritable(string, string) error { return nil }
func (f files) Write(_, path string, content []byte) error {
	f[path] = content
	return nil
}

// trustedRoot is one of an instance with a timestamp authority and no logs.
const trustedRoot = `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","certificateAuthorities":[{"subject":{"organization":"sigstore.dev","commonName":"sigstore"},"uri":"https://fulcio.example.com","certChain":{"certificates":[{"rawBytes":"AQID"}]},"validFor":{"start":"2026-01-01T00:00:00Z"}}],"timestampAuthorities":[{"subject":{"organization":"sigstore.dev","commonName":"tsa"},"uri":"https://tsa.example.com","certChain":{"certificates":[{"rawBytes":"AQID"}]}}]}`

// write writes the rules of production for a format.
func write(t *testing.T, format, rules string, root []byte) (admission.Result, []byte, error) {
	t.Helper()
	read, err := policyfile.Parse(".onedigest.yaml", []byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	written := files{}
	result, err := admission.Run(t.Context(), admission.Settings{Format: format, Environment: "production", Repositories: []release.Repository{"registry.example.com/shop"}, Manifest: "policy.yaml"},
		admission.Deps{Policy: read, Signers: signers{root}, Files: written, Reporter: releasetest.DiscardReporter{}, TypeOf: evidence.TypeOf})
	return result, written["policy.yaml"], err
}

func TestManifestsGolden(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		format, rules string
		root          []byte
	}{
		"kyverno-keys":               {admission.FormatKyverno, byKeys, nil},
		"kyverno-workflows":          {admission.FormatKyverno, byWorkflows, []byte(trustedRoot)},
		"policy-controller":          {admission.FormatPolicyController, strings.Replace(byWorkflows, "trusted-root: trusted_root.json\n", "", 1), nil},
		"policy-controller-instance": {admission.FormatPolicyController, byWorkflows, []byte(trustedRoot)},
	} {
		_, got, err := write(t, c.format, c.rules, c.root)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		golden := filepath.Join("testdata", name+".yaml")
		if *update {
			if err := os.WriteFile(golden, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// TestKyvernoAsksForEverySpelling: a reference with tag, digest or neither is matched, and another repository's is not. In Kyverno's patterns, * is any text.
func TestKyvernoAsksForEverySpelling(t *testing.T) {
	t.Parallel()
	_, written, err := write(t, admission.FormatKyverno, byKeys, nil)
	if err != nil {
		t.Fatal(err)
	}
	globs := regexp.MustCompile(`- glob: (\S+)`).FindAllStringSubmatch(string(written), -1)
	for image, want := range map[string]bool{
		"registry.example.com/shop": true, "registry.example.com/shop:1": true, "registry.example.com/shop@sha256:a": true, "registry.example.com/shop:1@sha256:a": true,
		"registry.example.com/shop2": false, "registry.example.com/shop/worker": false,
	} {
		got := slices.ContainsFunc(globs, func(found []string) bool {
			return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(found[1]), `\*`, ".*") + "$").MatchString(image)
		})
		if got != want {
			t.Errorf("%s: matched %t", image, got)
		}
	}
}

// TestWhatCannotBeWrittenIsRefused: a policy that would admit everything is not written.
func TestWhatCannotBeWrittenIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ format, rules, want string }{
		"nothing is required":        {admission.FormatKyverno, "version: 1\nenvironments:\n- name: production\n", "requires nothing"},
		"anybody may state it":       {admission.FormatKyverno, "version: 1\nenvironments:\n- name: staging\n- name: production\n", "names nobody who signs"},
		"another environment":        {admission.FormatKyverno, "version: 1\nenvironments:\n- name: staging\n", "is not an environment of"},
		"keys for policy-controller": {admission.FormatPolicyController, byKeys, "keyless signers only"},
	} {
		_, got, err := write(t, c.format, c.rules, nil)
		var input *release.InputError
		if !errors.As(err, &input) || !strings.Contains(err.Error(), c.want) || got != nil {
			t.Errorf("%s: got %v and %q", name, err, got)
		}
	}
}

// cancelling answers, and cancels the run meanwhile.
type cancelling struct {
	signers
	cancel context.CancelFunc
}

func (c cancelling) PublicKeys(ctx context.Context, signer policy.Signer) ([]string, error) {
	c.cancel()
	return c.signers.PublicKeys(ctx, signer)
}

// TestACancelledRunWritesNothing, although its last request was answered.
func TestACancelledRunWritesNothing(t *testing.T) {
	t.Parallel()
	read, err := policyfile.Parse(".onedigest.yaml", []byte(byKeys))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	written := files{}
	_, err = admission.Run(ctx, admission.Settings{Format: admission.FormatKyverno, Environment: "production", Repositories: []release.Repository{"registry.example.com/shop"}, Manifest: "policy.yaml"},
		admission.Deps{Policy: read, Signers: cancelling{cancel: cancel}, Files: written, Reporter: releasetest.DiscardReporter{}, TypeOf: evidence.TypeOf})
	if !errors.Is(err, context.Canceled) || len(written) > 0 {
		t.Errorf("wrote %d files, error %v", len(written), err)
	}
}

// TestATrustedRootWithoutTimestamps: policy-controller would admit nothing by it.
func TestATrustedRootWithoutTimestamps(t *testing.T) {
	t.Parallel()
	root, _, _ := strings.Cut(trustedRoot, `,"timestampAuthorities"`)
	_, got, err := write(t, admission.FormatPolicyController, byWorkflows, []byte(root+"}"))
	var input *release.InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), "no timestamp authority") || got != nil {
		t.Errorf("got %v and %q", err, got)
	}
}

// module returns the directory of a module, which the module proxy or the cache has.
func module(t *testing.T, path string) string {
	t.Helper()
	command := exec.Command("go", "mod", "download", "-json", path)
	command.Dir, command.Env = t.TempDir(), append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	output, err := command.Output()
	var answer struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(output, &answer); err != nil || jsonErr != nil || answer.Dir == "" {
		t.Fatalf("downloading %s: %v, %v, %s", path, err, jsonErr, answer.Error)
	}
	return answer.Dir
}

// crd compiles the schema of a version of a custom resource. A field that the schema does not have is an error, though a cluster would drop it.
func crd(t *testing.T, file, version string) *jsonschema.Schema {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var definition struct {
		Spec struct {
			Versions []struct {
				Name   string
				Served bool
				Schema struct {
					OpenAPIV3Schema map[string]any `yaml:"openAPIV3Schema"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(content, &definition); err != nil {
		t.Fatal(err)
	}
	for _, each := range definition.Spec.Versions {
		if each.Name != version || !each.Served {
			continue
		}
		schema := each.Schema.OpenAPIV3Schema
		closeSchema(schema)
		encoded, err := json.Marshal(schema)
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
		if err != nil {
			t.Fatal(err)
		}
		compiler := jsonschema.NewCompiler()
		compiler.DefaultDraft(jsonschema.Draft2019)
		if err := compiler.AddResource("crd.json", document); err != nil {
			t.Fatal(err)
		}
		compiled, err := compiler.Compile("crd.json")
		if err != nil {
			t.Fatal(err)
		}
		return compiled
	}
	t.Fatalf("%s does not serve %s", file, version)
	return nil
}

// closeSchema makes objects with known fields refuse others. What Kubernetes checks of every object is not in the schema.
func closeSchema(schema map[string]any) {
	if properties, has := schema["properties"].(map[string]any); has {
		if _, open := schema["x-kubernetes-preserve-unknown-fields"]; !open {
			schema["additionalProperties"] = false
		}
		for name, each := range properties {
			if nested, isSchema := each.(map[string]any); isSchema && name != "metadata" {
				closeSchema(nested)
			}
		}
		for _, name := range []string{"apiVersion", "kind", "metadata"} {
			if _, has := properties[name]; !has && schema["description"] == nil {
				properties[name] = map[string]any{}
			}
		}
	}
	if items, has := schema["items"].(map[string]any); has {
		closeSchema(items)
	}
}

// TestManifestsFitTheSchemas validates what is written against the resource definitions of the controllers' modules.
func TestManifestsFitTheSchemas(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("NOT CHECKED: it downloads the modules of Kyverno and policy-controller")
	}
	kyverno := module(t, "github.com/kyverno/kyverno@v1.19.1") + "/config/crds/policies.kyverno.io/policies.kyverno.io_imagevalidatingpolicies.yaml"
	controller := module(t, "github.com/sigstore/policy-controller@v0.13.1") + "/config/"
	schemas := map[string]*jsonschema.Schema{
		"ImageValidatingPolicy": crd(t, kyverno, "v1"),
		"ClusterImagePolicy":    crd(t, controller+"300-clusterimagepolicy.yaml", "v1beta1"),
		"TrustRoot":             crd(t, controller+"300-trustroot.yaml", "v1alpha1"),
	}
	for name, c := range map[string]struct {
		format, rules string
		root          []byte
		kinds         []string
	}{
		"kyverno-keys":               {admission.FormatKyverno, byKeys, nil, []string{"ImageValidatingPolicy"}},
		"kyverno-workflows":          {admission.FormatKyverno, byWorkflows, []byte(trustedRoot), []string{"ImageValidatingPolicy"}},
		"policy-controller":          {admission.FormatPolicyController, strings.Replace(byWorkflows, "trusted-root: trusted_root.json\n", "", 1), nil, []string{"ClusterImagePolicy", "ClusterImagePolicy"}},
		"policy-controller-instance": {admission.FormatPolicyController, byWorkflows, []byte(trustedRoot), []string{"TrustRoot", "ClusterImagePolicy", "ClusterImagePolicy"}},
	} {
		_, content, err := write(t, c.format, c.rules, c.root)
		if err != nil {
			t.Fatal(err)
		}
		decoder := yaml.NewDecoder(bytes.NewReader(content))
		for _, kind := range c.kinds {
			var document map[string]any
			if err := decoder.Decode(&document); err != nil {
				t.Fatal(err)
			}
			if document["kind"] != kind {
				t.Errorf("%s: got a %v, want %s", name, document["kind"], kind)
				continue
			}
			if err := schemas[kind].Validate(document); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			document["spec"].(map[string]any)["unknown"] = true //nolint:forcetypeassert // written above
			if schemas[kind].Validate(document) == nil {
				t.Errorf("%s: the schema accepts an unknown field", name)
			}
		}
	}
}
