package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	appbuild "github.com/onedigest/onedigest/internal/app/build"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	apppipeline "github.com/onedigest/onedigest/internal/app/pipeline"
	apppromote "github.com/onedigest/onedigest/internal/app/promote"
	appsmoke "github.com/onedigest/onedigest/internal/app/smoke"
	"github.com/onedigest/onedigest/internal/pipeline"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestAMatrixOfServices takes two services from one file to production, and then a commit that changes nothing that enters their images.
func TestAMatrixOfServices(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	const staging, production = "services-staging", "services-production"
	tree.write("services.yaml", fmt.Sprintf(`
build: {context: app, builder: go}
deploy:
  create-namespace: true
  values: terraform/staging/values-staging.yaml
  set: ["config.ENVIRONMENT={environment}"]
  timeout: 3m
smoke: {checks: app/smoke.yaml, timeout: 1m}
services:
  - {name: catalog, repository: %[1]s/shop}
  - {name: orders, repository: %[1]s/worker}
environments:
  - {name: %[2]s}
  - {name: %[3]s}
`, site.registry, staging, production))
	commit := tree.commit("services")
	run := func(verb string, result any, args ...string) {
		t.Helper()
		command := map[string]func() verbResult{
			"build":  func() verbResult { return tree.verb(t.Context(), appbuild.Command(), args...) },
			"deploy": func() verbResult { return tree.verb(t.Context(), appdeploy.Command(), args...) },
			"smoke":  func() verbResult { return tree.verb(t.Context(), appsmoke.Command(), args...) },
			"promote": func() verbResult {
				return tree.verb(t.Context(), apppromote.Command(), args...)
			},
		}
		args = append([]string{"--matrix", "services.yaml", "--output", "json"}, args...)
		got := command[verb]()
		if got.code != 0 {
			t.Fatalf("%s: exit %d:\n%s%s", verb, got.code, got.stdout, got.stderr)
		}
		if err := json.Unmarshal([]byte(got.stdout), result); err != nil {
			t.Fatalf("%s: %v in %s", verb, err, got.stdout)
		}
	}
	var built struct{ Digests map[string]string }
	run("build", &built)
	if len(built.Digests) != 2 {
		t.Fatalf("built %v", built.Digests)
	}
	digests, err := json.Marshal(built.Digests)
	if err != nil {
		t.Fatal(err)
	}
	var ignored map[string]any
	run("deploy", &ignored, "--environment", staging, "--digests", string(digests))
	run("smoke", &ignored, "--environment", staging, "--digests", string(digests))
	run("promote", &ignored, "--from", staging, "--to", production, "--commit", commit)
	run("deploy", &ignored, "--environment", production, "--digests", string(digests))
	for _, namespace := range []string{staging, production} {
		for service, digest := range built.Digests {
			pods, err := client(t).CoreV1().Pods(namespace).List(t.Context(), meta.ListOptions{LabelSelector: "app.kubernetes.io/instance=" + service})
			if err != nil || len(pods.Items) == 0 {
				t.Fatalf("%s in %s: %d pods, %v", service, namespace, len(pods.Items), err)
			}
			for _, pod := range pods.Items {
				if !strings.HasSuffix(pod.Status.ContainerStatuses[0].ImageID, "@"+digest) && pod.DeletionTimestamp == nil {
					t.Errorf("%s in %s runs %s, want %s", service, namespace, pod.Status.ContainerStatuses[0].ImageID, digest)
				}
			}
		}
	}

	tree.write("terraform/notes.md", "no service has this file\n")
	tree.git("add", "--all")
	tree.git("commit", "--quiet", "--message", "notes")
	var again struct {
		Digests  map[string]string
		Services []struct{ Service, Outcome string }
	}
	run("build", &again)
	for service, digest := range built.Digests {
		if again.Digests[service] != digest {
			t.Errorf("%s has another digest after a commit that does not touch it: %s", service, again.Digests[service])
		}
	}
}

// TestAMatrixToProduction takes two services to production in one call.
func TestAMatrixToProduction(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	const staging, production = "one-call-staging", "one-call-production"
	tree.recordNamespaces([]string{"--namespace", staging, "--namespace", production})
	tree.write("services.yaml", fmt.Sprintf(`
build: {context: app, builder: go}
deploy: {values: terraform/staging/values-staging.yaml, set: ["config.ENVIRONMENT={environment}"], timeout: 3m}
smoke: {timeout: 1m}
services:
  - {name: front, repository: %[1]s/shop}
  - name: orders
    repository: %[1]s/worker
    smoke: {checks: app/smoke.yaml}
environments:
  - {name: staging, clusters: [{namespace: %[2]s}]}
  - {name: production, clusters: [{namespace: %[3]s}]}
`, site.registry, staging, production))
	commit := tree.commit("services")
	got := tree.verb(t.Context(), apppipeline.Command(), "--matrix", "services.yaml", "--output", "json")
	var result pipeline.Result
	if err := json.Unmarshal([]byte(got.stdout), &result); err != nil || got.code != 0 {
		t.Fatalf("exit %d, %v:\n%s%s", got.code, err, got.stdout, got.stderr)
	}
	if len(result.Services) != 2 || !result.Proof.Holds || result.Proof.Commit.String() != commit {
		t.Fatalf("got %+v", result)
	}
	for _, service := range result.Services {
		if len(service.Steps) != 6 {
			t.Errorf("%s: got steps %+v", service.Service, service.Steps)
		}
		for _, namespace := range []string{staging, production} {
			pods, err := client(t).CoreV1().Pods(namespace).List(t.Context(), meta.ListOptions{LabelSelector: "app.kubernetes.io/instance=" + service.Service})
			if err != nil || len(pods.Items) == 0 {
				t.Fatalf("%s in %s: %d pods, %v", service.Service, namespace, len(pods.Items), err)
			}
			for _, pod := range pods.Items {
				if !strings.HasSuffix(pod.Status.ContainerStatuses[0].ImageID, "@"+service.Proof.Built.String()) && pod.DeletionTimestamp == nil {
					t.Errorf("%s in %s runs %s, want %s", service.Service, namespace, pod.Status.ContainerStatuses[0].ImageID, service.Proof.Built)
				}
			}
		}
	}
}
