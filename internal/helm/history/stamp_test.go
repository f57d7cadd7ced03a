package history

import (
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
)

// TestStampOfAnotherDeployer: Terraform installs the same chart, and labels only the pods.
func TestStampOfAnotherDeployer(t *testing.T) {
	t.Parallel()
	const pods = `
apiVersion: v1
kind: Service
metadata: {name: shop, labels: {app.kubernetes.io/name: shop}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, labels: {app.kubernetes.io/name: shop}}
spec:
  template:
    metadata:
      labels: {onedigest.dev/commit: COMMIT}
      annotations: {onedigest.dev/digest: "sha256:1"}
    spec: {containers: []}
`
	own := strings.Replace(pods, "kind: Service\nmetadata: {name: shop, labels: {", "kind: Service\nmetadata: {name: shop, labels: {onedigest.dev/commit: OWN, ", 1)
	for name, test := range map[string]struct{ manifest, commit, digest string }{
		"on the pods alone": {pods, "COMMIT", "sha256:1"},
		"on the objects":    {own, "OWN", ""},
		"on a later object": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n" + own, "OWN", ""},
		"a digest alone":    {strings.Replace(pods, "onedigest.dev/commit", "commit", 1), "", "sha256:1"},
		"nowhere":           {strings.ReplaceAll(pods, "onedigest.dev/", "other/"), "", ""},
		"no objects":        {"", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			labels, annotations := stampOf(&helmrelease.Release{Manifest: test.manifest})
			if labels[release.LabelCommit] != test.commit || annotations[release.AnnotationDigest] != test.digest {
				t.Errorf("got %v and %v", labels, annotations)
			}
		})
	}
}

// TestReferencesOfAnotherTool: a revision without a stamp is described by what its containers name.
func TestReferencesOfAnotherTool(t *testing.T) {
	t.Parallel()
	const foreign = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec: {template: {spec: {containers: [{name: app, image: 'shop:v1'}]}}}"
	revision := &helmrelease.Release{Version: 2, Info: &helmrelease.Info{}, Manifest: foreign}
	if got := Describe(revision, Entry{}).References; len(got) != 1 || got[0] != "shop:v1" {
		t.Errorf("got %q", got)
	}
	revision.Manifest = strings.Replace(foreign, "name: shop}", "name: shop, labels: {onedigest.dev/commit: "+strings.Repeat("a", 40)+"}}", 1)
	if got := Describe(revision, Entry{}); len(got.References) != 0 || got.Commit == "" {
		t.Errorf("got %+v", got)
	}
}
