package helm_test

import (
	"fmt"
	"log"
	"strings"

	"github.com/onedigest/onedigest/internal/helm"
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/client-go/rest"
)

func greeter() release.Deployment {
	image, err := release.ParseImage("registry.example.com/greeter@sha256:" + strings.Repeat("a", 64))
	if err != nil {
		log.Fatal(err)
	}
	return release.Deployment{Name: "greeter", Namespace: "staging", Environment: "staging", Image: image,
		Commit: release.Commit(strings.Repeat("b", 40)), Chart: "testdata/greeter"}
}

// A chart is rendered without a cluster. Its containers run the image by digest.
func ExampleClient_Render() {
	client, err := helm.New(&rest.Config{Host: "https://cluster.example.com"}, "staging", nil)
	if err != nil {
		log.Fatal(err)
	}
	manifest, objects, err := client.Render(greeter())
	if err != nil {
		log.Fatal(err)
	}
	for _, object := range objects {
		fmt.Println(object, "in namespace", object.Namespace)
	}
	for line := range strings.Lines(manifest) {
		if strings.Contains(line, "image:") {
			fmt.Println(strings.TrimSpace(line))
		}
	}
	// Output:
	// Service/greeter in namespace staging
	// Deployment/greeter in namespace staging
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
