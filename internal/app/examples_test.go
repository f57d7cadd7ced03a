package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/app/onedigest"
	"github.com/onedigest/onedigest/internal/deploy/planfile"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
)

// end says how far a test runs an example of --help.
type end struct {
	exit   []int  // allowed exit codes
	output string // regular expression that the output matches
	why    string // why the example does not run to success here; "" if it does
}

func succeeds(output string) end { return end{exit: []int{release.ExitDone}, output: output} }

// stops is the end of an example that needs what a unit test does not have. Its settings are valid, because bad input has
// another exit code and the output shows that the example got as far as the thing that it needs.
func stops(output, why string) end {
	return end{exit: []int{release.ExitFailed, release.ExitFault}, output: output, why: why}
}

const (
	needsCluster = "the cluster of this test refuses every request; e2e deploys and smoke-tests on a real node"
	needsRegions = "the local AWS has one region, and the third cluster is in another; internal/deploy and e2e deploy matrices"
	needsDocker  = "docker of this test has no daemon; internal/image tests the command line of docker"

	clusterRefuses   = `forbidden: the test's cluster refuses`
	discoveryRefused = `for its API: the cluster answers with status 403 Forbidden`
)

// examples says of every example of every verb, named by what it does, how far it runs.
var examples = map[string]end{
	"build: build the Go service in this directory":                                                succeeds(`pushed .*/shop@sha256:`),
	"build: build for two platforms":                                                               succeeds(`building linux/amd64, linux/arm64`),
	"build: build the Dockerfile of a directory with docker buildx":                                stops(`no daemon`, needsDocker),
	"build: look the image of a tag up, and build nothing":                                         stops(`no image in .* has the tag "1\.0\.0-prod"`, "nothing of this test has that tag; internal/build finds one, and e2e deploys it"),
	"build: take an image that another program built":                                              succeeds(`is the image of commit [0-9a-f]{12} in .*/live/shop`),
	"deploy: deploy the image that build printed to staging":                                       stops(discoveryRefused, needsCluster),
	"deploy: another chart, namespace and cluster":                                                 stops(discoveryRefused, needsCluster),
	"deploy: show what would change and what would fail":                                           stops(discoveryRefused, needsCluster),
	"deploy: keep a plan that somebody approves":                                                   stops(discoveryRefused, needsCluster),
	"deploy: carry out the plan that was approved":                                                 stops(discoveryRefused, needsCluster),
	"deploy: a chart that names the image otherwise (docs/charts.md)":                              stops(discoveryRefused, needsCluster),
	"deploy: on EKS, without a kubeconfig":                                                         stops(discoveryRefused, needsCluster),
	"deploy: heal a release that a killed run left pending":                                        stops(clusterRefuses, needsCluster),
	"deploy: roll back what smoke failed, after smoke":                                             stops(clusterRefuses, needsCluster),
	"deploy: several clusters, a canary first (docs/matrix.md)":                                    stops(`finding EKS cluster "shop-us" in region us-east-1`, needsRegions),
	"deploy: go back to an older commit in its checkout, and stay there":                           stops(discoveryRefused, needsCluster),
	"smoke: check that / answers":                                                                  succeeds(`passed, 3 of 3 in a row`),
	"smoke: run the checks of a file, five rounds in a row, one commit":                            succeeds(`passed, 5 of 5 in a row`),
	"smoke: pass after ten seconds with 0.1% of errors at most":                                    succeeds(`for 10 seconds with at most 0.1% of the requests wrong`),
	"smoke: prove in staging the image that build printed":                                         stops(clusterRefuses, needsCluster),
	"promote: promote the image that build printed and staging proved":                             succeeds(`production-[0-9a-f]{40}`),
	"smoke: prove a release that runs two images":                                                  stops(clusterRefuses, needsCluster),
	"promote: promote both images of a release; if one is refused, neither is tagged":              succeeds(`(?s)created: production-.* in [^ ]*/worker\n.*created: production-.* in [^ ]*/shop\n`),
	"promote: promote a commit":                                                                    succeeds(`production-[0-9a-f]{40}`),
	"promote: also move a tag to the newest promoted image":                                        succeeds(`moved production to sha256:`),
	"promote: copy the image into another account's repository":                                    succeeds(`/live/shop`),
	"scan: record what Trivy found (trivy image --format sarif --output results.sarif \"$IMAGE\")": succeeds(`recorded the scan without a signature`),
	"scan: leave out what does not affect the service":                                             succeeds(`does not count: CVE-2026-0002`),
	"scan: record what ECR's own scan found":                                                       stops(`ECR has not scanned sha256:`, "the local AWS scans nothing; internal/app/scan gives it findings"),
	"history: show the newest commits of a repository":                                             succeeds(`[0-9a-f]{12} .*proved`),
	"history: show what happened to one commit":                                                    succeeds(`[0-9a-f]{12} .*proved`),
	"history: compare what runs with the rules of promotion":                                       succeeds(`staging: no deploy is recorded`),
	"history: name the records that nothing depends on any more":                                   succeeds(`no record is superseded`),
	"history: write a board, with every signature checked":                                         succeeds(`wrote the board of 1 commits`),
	"admission: write the rules of production for Kyverno":                                         succeeds(`wrote kyverno.yaml`),
	"doctor: look at the first environment of the workflow in this repository": {exit: []int{release.ExitInput}, output: `no workflow of this repository calls pipeline.yaml`,
		why: "the repository of this test has no workflow; internal/app/doctor looks at one that init wrote"},
	"doctor: look at an environment of EKS":                               stops(`fails +cluster: .*`+discoveryRefused, needsCluster),
	"status: staging and production of a service, in the current context": stops(discoveryRefused, needsCluster),
	"status: one environment of EKS":                                      stops(discoveryRefused, needsCluster),
	"status: every cluster and service of a matrix (docs/matrix.md)":      stops(discoveryRefused, needsCluster),
	"uninstall: say what would go and what would stay":                    stops(discoveryRefused, needsCluster),
	"uninstall: remove a preview with its namespace":                      stops(clusterRefuses, needsCluster),
	"uninstall: remove a release from production":                         stops(discoveryRefused, needsCluster),
	"init: one of several services of a repository, on EKS":               succeeds(`created: \.github/workflows/delivery\.yaml`),
	"init: with the names that terraform/aws_infra makes, and the variables for it": {exit: []int{release.ExitInput}, output: `creates ECR repositories, and this is not one`,
		why: "the host of this test is none of ECR's; internal/app/initialize writes the variables"},
	"init: with a preview of each pull request, on runners of your own":             succeeds(`created: \.github/workflows/preview\.yaml`),
	"init: a runner of your own with a kubeconfig and credentials":                  succeeds(`created: \.github/workflows/delivery\.yaml`),
	"preview: open the preview of a pull request, or deploy a further commit to it": stops(clusterRefuses, needsCluster),
	"preview: remove it": stops(clusterRefuses, needsCluster),
	"preview: remove those whose time is up, by a schedule":                               stops(clusterRefuses, needsCluster),
	"pipeline: this repository's sample app on a local cluster":                           stops(discoveryRefused, needsCluster),
	"pipeline: all services of a monorepo (docs/matrix.md)":                               stops(clusterRefuses+"|"+discoveryRefused, needsCluster),
	"build: build all services of a monorepo (docs/matrix.md)":                            succeeds(`(created|reused) +shop`),
	"smoke: prove all services of a monorepo (docs/matrix.md)":                            stops(clusterRefuses, needsCluster),
	"promote: promote what staging proved of all services of a monorepo (docs/matrix.md)": succeeds(`production-[0-9a-f]{40}`),
}

// TestExamplesRunAsPrinted runs every example of every verb's --help in a shell, as its own program. $IMAGE is the image that
// build printed. Only the addresses of outsiders are replaced: a registry's by the local one's, a service's by a local one's.
func TestExamplesRunAsPrinted(t *testing.T) {
	t.Parallel()
	declared := map[string]bool{}
	for _, command := range onedigest.Verbs() {
		for _, example := range command.Verb.Examples {
			name := command.Verb.Name + ": " + example.Does
			declared[name] = true
			want, listed := examples[name]
			if !listed {
				t.Errorf("%s: the table of this test does not say how far the example runs", name)
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				line := "onedigest " + command.Verb.Name + " " + example.Line
				if strings.Contains(line, "…") {
					t.Fatalf("%s cannot be run as printed", line)
				}
				s := newShop(t)
				if strings.Contains(line, "$IMAGE") || strings.Contains(line, "$DIGESTS") || command.Verb.Name == "promote" || command.Verb.Name == "history" {
					s.prove("shop", "IMAGE")
				}
				if strings.Contains(line, "$WORKER") {
					s.prove("worker", "WORKER")
				}
				if command.Verb.Name == "admission" || strings.Contains(line, ".onedigest.yaml") {
					s.write(".onedigest.yaml", "version: 1\nenvironments:\n- {name: staging, signers: ['awskms:///alias/evidence-staging']}\n- {name: production}\n")
				}
				if strings.Contains(line, "alias/evidence-staging") || command.Verb.Name == "admission" || strings.Contains(line, ".onedigest.yaml") {
					if _, err := s.server.CreateKey("alias/evidence-staging"); err != nil {
						t.Fatal(err)
					}
				}
				code, output := s.shell(line)
				if !slices.Contains(want.exit, code) || !regexp.MustCompile(want.output).MatchString(output) {
					t.Errorf("%s\nexit code %d, want one of %v and output that matches %q:\n%s", line, code, want.exit, want.output, output)
				}
			})
		}
	}
	for name := range examples {
		if !declared[name] {
			t.Errorf("%s: no verb has this example", name)
		}
	}
}

// shop is the work tree that the examples run in: a service, its charts, values and checks, with all of it committed,
// a registry, a service that answers and a cluster that refuses every request.
type shop struct {
	t      *testing.T
	dir    string
	env    []string
	server *localawstest.Server
	hosts  *strings.Replacer
}

func newShop(t *testing.T) *shop {
	t.Helper()
	server := localawstest.Start(t, func(o *localaws.Options) { o.Account, o.Region = "123456789012", "eu-central-1" })
	server.Repository("shop")
	server.Repository("worker")
	server.Repository("live/shop")
	s := &shop{t: t, dir: t.TempDir(), server: server}
	s.copyTree("../../charts/service", "charts/service")
	s.copyTree("../../charts/service", "charts/other")
	for _, environment := range []string{"staging", "production"} {
		values := "terraform/" + environment + "/values-" + environment + ".yaml"
		s.write(values, s.read("../../"+values))
	}
	s.write("terraform/production/values-us.yaml", "{}\n")
	for _, block := range blocksOf(t, "docs/matrix.md") {
		if strings.HasPrefix(block.text, "waves:") {
			s.write("deploys.yaml", block.text)
		}
	}
	s.write("services.yaml", "services:\n  - name: shop\n    repository: "+server.Address()+"/shop\n")
	plan, _, err := planfile.Encode(planfile.Plan{MadeAt: time.Now().UTC()}, func(shown string) string { return shown })
	if err != nil {
		t.Fatal(err)
	}
	s.write("plan.json", string(plan))
	s.write("results.sarif", strings.ReplaceAll(s.read("../scan/report/testdata/trivy.sarif"), "@sha256:"+strings.Repeat("a", 64), "")) // names no image
	s.write("vex.json", `{"bomFormat":"CycloneDX","specVersion":"1.6","vulnerabilities":[{"id":"CVE-2026-0002","analysis":{"state":"not_affected","justification":"code_not_reachable"}}]}`)
	s.write("smoke.yaml", "checks:\n  - path: /\n")
	for _, dir := range []string{".", "app"} {
		s.write(dir+"/go.mod", "module example.com/shop\n\ngo 1.26\n")
		s.write(dir+"/main.go", "package main\n\nfunc main() {}\n")
	}
	s.write("app/Dockerfile", "FROM scratch\n")

	refuses := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"` + clusterRefuses + `","reason":"Forbidden","code":403}`))
	})
	for _, cluster := range []string{"shop", "shop-canary", "shop-eu"} {
		server.Cluster(cluster, refuses, "deployers")
	}
	cluster := httptest.NewServer(refuses)
	t.Cleanup(cluster.Close)

	tools := t.TempDir() // what is outside of the work tree
	kubeconfig, docker := filepath.Join(tools, "kubeconfig"), filepath.Join(tools, "docker")
	for path, content := range map[string]string{
		kubeconfig: strings.ReplaceAll(`apiVersion: v1
kind: Config
current-context: local
clusters: [{name: local, cluster: {server: "SERVER"}}]
users: [{name: nobody, user: {}}]
contexts:
  - {name: local, context: {cluster: local, user: nobody}}
  - {name: qa-cluster, context: {cluster: local, user: nobody}}
`, "SERVER", cluster.URL),
		docker: "#!/bin/sh\necho 'no daemon' >&2\nexit 1\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o700); err != nil { //nolint:gosec // docker is executed
			t.Fatal(err)
		}
	}
	s.env = append(os.Environ(), server.Env()...)
	s.env = append(s.env, "KUBECONFIG="+kubeconfig, "PATH="+tools+string(os.PathListSeparator)+os.Getenv("PATH"), "FULL_COMMIT_SHA="+strings.Repeat("4", 40), "CI=", "GITHUB_ACTIONS=", "GITHUB_SHA=")
	s.run("git init --quiet --initial-branch=main && git add --all && git -c user.name=test -c user.email=test@example.com commit --quiet --message all")

	head := s.commit()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Commit", head)
		_, _ = w.Write([]byte(`{}`))
	}))
	t.Cleanup(service.Close)
	s.hosts = strings.NewReplacer(
		"123456789012.dkr.ecr.eu-central-1.amazonaws.com", server.Address(),
		"210987654321.dkr.ecr.eu-central-1.amazonaws.com", server.Address(),
		"localhost:5000", server.Address(), "127.0.0.1:5510", server.Address(),
		"http://127.0.0.1:8080", service.URL, "https://shop.example.com", service.URL,
	)
	return s
}

// prove builds the commit's image into a repository, records that staging proved it, and sets the variable to it.
func (s *shop) prove(repository, variable string) {
	s.t.Helper()
	code, output := s.shell(`onedigest build --repository localhost:5000/` + repository)
	found := regexp.MustCompile(regexp.QuoteMeta(s.server.Address()) + `/` + repository + `@sha256:[0-9a-f]{64}`).FindString(output)
	if code != release.ExitDone || found == "" {
		s.t.Fatalf("build ended with %d:\n%s", code, output)
	}
	image, err := release.ParseImage(found)
	if err != nil {
		s.t.Fatal(err)
	}
	commit, err := release.ParseCommit(s.commit())
	if err != nil {
		s.t.Fatal(err)
	}
	content, err := evidence.Encode(release.Evidence{Image: image, Commit: commit, Environment: "staging", Verdict: release.Pass,
		Checks: []string{"/"}, Rounds: 3, Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: time.Now().UTC()})
	if err != nil {
		s.t.Fatal(err)
	}
	client := registry.New(registry.Options{Credentials: func(context.Context, string) (string, string, error) {
		return "AWS", s.server.IssueToken(), nil
	}})
	if _, err := client.Attach(s.t.Context(), image, evidence.ArtifactType, evidence.MediaType, content, nil); err != nil {
		s.t.Fatal(err)
	}
	s.env = append(s.env, variable+"="+found, fmt.Sprintf(`DIGESTS={%q: %q}`, repository, image.Digest))
}

// shell runs a line with bash in the work tree; exit code and all output.
func (s *shop) shell(line string) (int, string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", s.hosts.Replace(line))
	command.Dir, command.Env = s.dir, s.env
	output, err := command.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), string(output)
}

func (s *shop) run(line string) string {
	s.t.Helper()
	command := exec.CommandContext(s.t.Context(), "bash", "-c", line)
	command.Dir, command.Env = s.dir, s.env
	output, err := command.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", line, err, output)
	}
	return strings.TrimSpace(string(output))
}

func (s *shop) commit() string { s.t.Helper(); return s.run("git rev-parse HEAD") }

func (s *shop) read(path string) string {
	s.t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(content)
}

func (s *shop) write(path, content string) {
	s.t.Helper()
	path = filepath.Join(s.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) copyTree(from, to string) {
	s.t.Helper()
	if err := os.CopyFS(filepath.Join(s.dir, to), os.DirFS(from)); err != nil {
		s.t.Fatal(err)
	}
}
