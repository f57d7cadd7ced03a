package helm

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
)

func TestEndpointsAreTheWaysIntoTheCluster(t *testing.T) {
	t.Parallel()
	service := release.Object{APIVersion: "v1", Kind: "Service", Namespace: "staging", Name: "shop"}
	ingress := release.Object{APIVersion: "networking.k8s.io/v1", Kind: "Ingress", Namespace: "staging", Name: "shop"}
	for name, test := range map[string]struct {
		values string
		want   []release.Object
	}{
		"a load balancer": {"service: {type: LoadBalancer}", []release.Object{service}},
		"inside only":     {"service: {type: ClusterIP}", nil},
		"an Ingress":      {"service: {type: ClusterIP}\ningress: {enabled: true, hosts: [shop.example.com]}", []release.Object{ingress}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, values := deployment(t, "staging"), filepath.Join(t.TempDir(), "values.yaml")
			if err := os.WriteFile(values, []byte(test.values), 0o600); err != nil {
				t.Fatal(err)
			}
			d.ValuesFiles = append(d.ValuesFiles, values)
			revision, err := rendering(d)
			if err != nil {
				t.Fatal(err)
			}
			got, err := revision.Endpoints("staging")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
