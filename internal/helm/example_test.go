package helm_test

import (
	"fmt"
	"log"
	"strings"

	"github.com/onedigest/onedigest/internal/helm"
	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/chartutil"
	"k8s.io/client-go/rest"
)

func greeter() release.Deployment {
	image, err := release.ParseImage("registry.example.com/greeter@sha256:" + strings.Repeat("a", 64))
	if err != nil {
		log.Fatal(err)
	}
	return release.Deployment{Name: "greeter", Namespace: "staging", Environment: "staging", Images: []release.BuiltImage{{Image: image}},
		Commit: release.Commit(strings.Repeat("b", 40)), Chart: "testdata/greeter"}
}

// A chart is rendered for a cluster's version. Its containers run the image by digest.
func Example() {
	loaded, err := chart.Load(greeter())
	if err != nil {
		log.Fatal(err)
	}
	rendered, err := loaded.RenderRevision(greeter(), chart.Target{Capabilities: chartutil.DefaultCapabilities, Install: true})
	if err != nil {
		log.Fatal(err)
	}
	for line := range strings.Lines(rendered.Manifest) {
		if strings.Contains(line, "image:") || strings.HasPrefix(line, "kind:") {
			fmt.Println(strings.TrimSpace(line))
		}
	}
	// Output:
	// kind: Service
	// kind: Deployment
	// - image: registry.example.com/greeter@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
}

// A value that does not fit the chart's schema is reported with the file and the line that set it.
func ExampleClient_Check() {
	client, err := helm.New(&rest.Config{Host: "https://cluster.example.com"}, "staging", nil)
	if err != nil {
		log.Fatal(err)
	}
	deployment := greeter()
	deployment.ValuesFiles = []string{"testdata/greeter-staging.yaml"}
	fmt.Println(client.Check(deployment))
	// Output:
	// testdata/greeter-staging.yaml:1: replicas: is of type string, want integer; see the chart's values.yaml
}
