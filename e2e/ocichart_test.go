package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/app/publishchart"
	"github.com/onedigest/onedigest/internal/release"
)

// TestTheCommonChartFromARegistry: the common chart is published, always with the same digest, and deployed from there by a work tree that has no
// chart.
func TestTheCommonChartFromARegistry(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	image := tree.build()
	publish := func() string {
		return field(t, tree.verb(t.Context(), publishchart.Command(), "--to", site.registry+"/charts/service", "--output", "json"), "chart")
	}
	chart := publish()
	if again := publish(); again != chart {
		t.Errorf("published as %s, then as %s", chart, again)
	}
	if err := os.RemoveAll(filepath.Join(tree.dir, "charts")); err != nil {
		t.Fatal(err)
	}
	deploy := func(chart string) verbResult {
		return tree.verb(t.Context(), appdeploy.Command(), "--environment", "oci-chart", "--image", image, "--create-namespace", "--chart", chart,
			"--values", "terraform/staging/values-staging.yaml", "--set", "config.ENVIRONMENT=oci-chart", "--output", "json")
	}
	by, digest, _ := strings.Cut(chart, "@")
	deploy(by+"@sha256:"+strings.Repeat("1", 64)).expect(t, release.ExitInput, "check the version or the digest")
	deploy(chart).expect(t, 0, "created: release", digest)
	deploy(by+":0.1.0").expect(t, 0, "unchanged: release")
}
