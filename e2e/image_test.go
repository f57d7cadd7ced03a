package e2e

import (
	"os"
	"path/filepath"
	"testing"

	appbuild "github.com/onedigest/onedigest/internal/app/build"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
)

// TestAnImageHoldsWhatServicesExpect runs a program that ends unless it finds certificate authorities, time zones, a place for
// temporary files and its user.
func TestAnImageHoldsWhatServicesExpect(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	for _, part := range []string{"system", "charts/broken"} {
		if err := os.CopyFS(filepath.Join(tree.dir, part), os.DirFS(filepath.Join(site.root, "e2e/testdata", part))); err != nil {
			t.Fatal(err)
		}
	}
	tree.write("values.yaml", "container: {readinessProbe: {periodSeconds: 1, httpGet: {path: /, port: 8080}}}\n")
	tree.commit("a program that looks around")
	image := field(t, tree.verb(t.Context(), appbuild.Command(), "--repository", site.registry+"/shop", "--context", "system", "--output", "json"), "image")
	tree.verb(t.Context(), appdeploy.Command(), "--environment", "expects", "--image", image, "--chart", "charts/broken", "--values", "values.yaml",
		"--release", "system", "--create-namespace", "--timeout", "1m").expect(t, 0)
}
