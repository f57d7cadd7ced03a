package helm

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/manifest"
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
			got, leading, err := revision.Endpoints(d)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff(test.want, leading); diff != "" { // each leads to the release's only pods
				t.Errorf("leading -want +got:\n%s", diff)
			}
		})
	}
}

// TestEndpointsInFrontOfTheMainImage: which of several load balancers and Ingresses lead to its pods.
func TestEndpointsInFrontOfTheMainImage(t *testing.T) {
	t.Parallel()
	d := deployment(t, "staging")
	d.Chart = addTemplate(t, d.Chart, "more.yaml", `apiVersion: apps/v1
kind: Deployment
metadata: {name: mail}
spec: {selector: {matchLabels: {app: mail}}, template: {metadata: {labels: {app: mail}}, spec: {containers: [{name: mail, image: "example.com/mail:1"}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: mail}
spec: {type: LoadBalancer, selector: {app: mail}, ports: [{port: 25}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside}
spec: {type: LoadBalancer, ports: [{port: 25}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: elsewhere}
spec: {type: LoadBalancer, selector: {app.kubernetes.io/instance: shop}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, selector: {app.kubernetes.io/instance: shop}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: to-mail}
spec: {rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: mail, port: {number: 25}}}}]}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: to-web}
spec: {rules: [{host: a.example.com}, {http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: default-web}
spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}
`)
	revision, err := rendering(d)
	if err != nil {
		t.Fatal(err)
	}
	endpoints, leading, err := revision.Endpoints(d)
	if err != nil {
		t.Fatal(err)
	}
	names := func(objects []release.Object) (list []string) {
		for _, object := range objects {
			if object.Name != "shop" { // the chart's own
				list = append(list, object.String())
			}
		}
		slices.Sort(list)
		return list
	}
	if diff := cmp.Diff([]string{"Ingress/default-web", "Ingress/to-mail", "Ingress/to-web", "Service/elsewhere", "Service/mail", "Service/outside", "Service/web"}, names(endpoints)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Ingress/default-web", "Ingress/to-web", "Service/web"}, names(leading)); diff != "" {
		t.Errorf("leading -want +got:\n%s", diff)
	}
}

// TestServicesWithoutPort: a Service whose port has a name that no container of its pods has leads nowhere. One that selects none of the chart's pods is not judged.
func TestServicesWithoutPort(t *testing.T) {
	t.Parallel()
	objects, err := manifest.Parse(`apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, ports: [{name: http, containerPort: 80}]}], initContainers: [{name: proxy, ports: [{name: metrics, containerPort: 1}]}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: mail, namespace: mail, labels: {app: mail}}
spec: {containers: [{name: mail}]}
---
apiVersion: v1
kind: Service
metadata: {name: right}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}, {port: 81, targetPort: metrics}, {port: 82, targetPort: 8080}, {port: 83, targetPort: "8080"}, {port: 84}]}
---
apiVersion: v1
kind: Service
metadata: {name: wrong}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: web}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere}
spec: {selector: {app: mail}, ports: [{port: 80, targetPort: smtp}]}
---
apiVersion: v1
kind: Service
metadata: {name: mail, namespace: mail}
spec: {selector: {app: mail}, ports: [{port: 80, targetPort: smtp}]}
`)
	if err != nil {
		t.Fatal(err)
	}
	const nowhere = ", which no container of the pods that it selects has: nothing answers behind it"
	want := []string{`Service/wrong sends requests to port "web"` + nowhere, `Service/mail sends requests to port "smtp"` + nowhere}
	if diff := cmp.Diff(want, chart.ServicesWithoutPort(objects, "staging")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
