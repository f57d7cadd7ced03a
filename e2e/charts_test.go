package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestChartsThatAreRefused: nothing is applied of a chart that would run something else than the built image.
func TestChartsThatAreRefused(t *testing.T) {
	onNode(t)
	t.Parallel()
	tree := newCheckout(t)
	image := tree.build()
	for name, test := range map[string]struct {
		head, image, env string
		flags            []string
		refused          string
	}{
		"unpinned": {image: "team/shop:1.0", env: "team/shop:1.0", flags: []string{"--image-alias", "team/shop"},
			refused: "Deployment/unpinned spec.template.spec.containers.app.env.CHILD.value: team/shop:1.0"},
		"unnamed": {image: "ghcr.io/team/shop:1.0", refused: "if that is the built image, give --image-alias ghcr.io/team/shop"},
		"newer":   {head: "kubeVersion: '>= 1.99.0-0'\n", image: "shop:1.0", refused: "the chart wants Kubernetes >= 1.99.0-0, and the cluster has v1."},
	} {
		chart := filepath.Join(tree.dir, "refused", name)
		if err := os.MkdirAll(filepath.Join(chart, "templates"), 0o755); err != nil {
			t.Fatal(err)
		}
		tree.write("refused/"+name+"/Chart.yaml", fmt.Sprintf("apiVersion: v2\nname: %s\nversion: 0.1.0\n%s", name, test.head))
		tree.write("refused/"+name+"/templates/all.yaml", fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: %s}\n"+
			"spec: {selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: app, image: '%s', env: [{name: CHILD, value: '%s'}]}]}}}\n", name, test.image, test.env))
		t.Run(name, func(t *testing.T) {
			beside(t)
			own := tree
			own.t = t
			args := append([]string{"--environment", "refused", "--chart", "refused/" + name, "--release", name, "--create-namespace", "--timeout", "4m", "--image", image}, test.flags...)
			own.verb(t.Context(), appdeploy.Command(), args...).expect(t, 2, test.refused)
			records, err := client(t).CoreV1().Secrets("refused").List(t.Context(), meta.ListOptions{LabelSelector: "owner=helm,name=" + name})
			if err != nil || len(records.Items) > 0 {
				t.Errorf("%d revisions were applied, %v", len(records.Items), err)
			}
		})
	}
}
