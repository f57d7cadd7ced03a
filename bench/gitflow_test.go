package bench

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/onedigest/onedigest/devenv/acttest"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// glued is the gitflow that people write: ko, crane, helm, kubectl and curl. Its jobs are those of pipeline.yaml, and so is what its smoke
// step proves: three rounds in a row, a second apart.
const glued = `name: delivery
on: {push: {branches: [main]}}
permissions: {contents: read, id-token: write}
env:
  REPOSITORY: REGISTRY/REPOSITORY
jobs:
  build:
    runs-on: ubuntu-latest
    outputs:
      digest: ${{ steps.build.outputs.digest }}
    steps:
      - uses: actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2
      - id: build
        env:
          KO_DOCKER_REPO: ${{ env.REPOSITORY }}
          KO_DEFAULTBASEIMAGE: STATIC
        run: |
          image=$(ko build --bare --sbom none --tags "$GITHUB_SHA" .)
          echo "digest=${image##*@}" >>"$GITHUB_OUTPUT"
  staging:
    needs: build
    runs-on: ubuntu-latest
    environment: staging
    env:
      NAMESPACE: STAGING
      DIGEST: ${{ needs.build.outputs.digest }}
    steps:
      - uses: actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2
      - run: DEPLOY --values deploy/staging.yaml
      - run: kubectl rollout status deployment/peer --namespace "$NAMESPACE" --timeout 5m
      - name: smoke
        run: |
SMOKE
  production:
    needs: [build, staging]
    runs-on: ubuntu-latest
    environment: production
    env:
      NAMESPACE: PRODUCTION
      DIGEST: ${{ needs.build.outputs.digest }}
    steps:
      - uses: actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2
      - run: crane tag "$REPOSITORY@$DIGEST" "production-$GITHUB_SHA"
      - run: DEPLOY --values deploy/production.yaml
      - run: kubectl rollout status deployment/peer --namespace "$NAMESPACE" --timeout 5m
      - name: smoke
        run: |
SMOKE
`

const gluedDeploy = `helm upgrade --install --wait --timeout 5m --create-namespace --namespace "$NAMESPACE" peer charts/service ` +
	`--set-string image.repository="$REPOSITORY" --set-string image.digest="$DIGEST"`

const gluedSmoke = `          host=$(kubectl get service peer --namespace "$NAMESPACE" --output 'jsonpath={.status.loadBalancer.ingress[0].ip}:{.spec.ports[0].port}')
          passed=0
          for attempt in $(seq 60); do
            if curl --silent --show-error --fail --max-time 5 --output /dev/null "http://$host/"; then passed=$((passed + 1)); else passed=0; fi
            if ((passed == 3)); then exit 0; fi
            sleep 1
          done
          exit 1`

const gitflowService = `package main

import (
	"log"
	"net/http"
)

func main() {
	log.Fatal(http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(greeting)) })))
}
`

// gitflow is one side of BenchmarkGitflow: a repository with a workflow.
type gitflow struct {
	dir         string
	environment []string // of the jobs
	act         string
	flags       []string
}

// commit changes the service.
func (g gitflow) commit(b *testing.B, greeting string) {
	b.Helper()
	g.write(b, "greeting.go", fmt.Sprintf("package main\n\nconst greeting = %q\n", greeting))
	for _, args := range [][]string{{"add", "--all"}, {"commit", "--quiet", "--message", greeting}} {
		command := exec.CommandContext(b.Context(), "git", append([]string{"-c", "user.name=bench", "-c", "user.email=bench@example.com", "-c", "commit.gpgsign=false"}, args...)...)
		command.Dir = g.dir
		if out, err := command.CombinedOutput(); err != nil {
			b.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
}

func (g gitflow) write(b *testing.B, name, text string) {
	b.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

// push takes the commit to production and returns how long that took, how long processors worked for it, and act's log.
func (g gitflow) push(b *testing.B) (took, worked time.Duration, log string) {
	b.Helper()
	args := slices.Clone(g.flags)
	for _, pair := range g.environment {
		args = append(args, "--env", pair)
	}
	act := acttest.Act{Program: g.act, Repository: g.dir, Home: b.TempDir(), Path: os.Getenv("PATH")}
	started, before := time.Now(), processorTime(b)
	log, err := act.Run(b.Context(), "push", "delivery.yaml", args...)
	if err != nil {
		b.Fatalf("%v\n%s", err, log)
	}
	return time.Since(started), processorTime(b) - before, log
}

// processorTime is what the processes that this one started, and theirs, have used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// counter counts the requests that pass a proxy, except those of the node.
type counter struct {
	mu     sync.Mutex
	counts map[string]int
}

// kindOf names what is counted: a request for a password is asked by one side only, because the other one is handed a password.
func kindOf(request *http.Request) string {
	switch {
	case strings.HasPrefix(request.UserAgent(), "containerd/"):
		return "node"
	case strings.HasSuffix(request.Header.Get("X-Amz-Target"), ".GetAuthorizationToken"):
		return "token"
	}
	return "requests"
}

func (c *counter) proxy(to *url.URL, transport http.RoundTripper) http.Handler {
	proxy := &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
		if transport != nil {
			r.Out.Header.Del("Authorization") // the transport has the credentials
		}
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		c.mu.Lock()
		if c.counts == nil {
			c.counts = map[string]int{}
		}
		c.counts[kindOf(request)]++
		c.mu.Unlock()
		proxy.ServeHTTP(w, request)
	})
}

// take returns the requests since the last call.
func (c *counter) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := c.counts
	c.counts = nil
	return counts
}

// gitflowSite is the cluster and the registry of scripts/bench.sh, each behind a proxy that counts.
type gitflowSite struct {
	registry         string // host:port
	kubeconfig       string
	aws              []string
	client           kubernetes.Interface
	images, clusters counter
}

func newGitflowSite(b *testing.B, root string) *gitflowSite {
	b.Helper()
	s := new(gitflowSite)
	endpoint, err := url.Parse(os.Getenv("AWS_ENDPOINT_URL_ECR"))
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(s.images.proxy(endpoint, nil))
	b.Cleanup(server.Close)
	s.registry = strings.TrimPrefix(server.URL, "http://")
	for _, pair := range os.Environ() {
		if strings.HasPrefix(pair, "AWS_") {
			s.aws = append(s.aws, strings.ReplaceAll(pair, endpoint.Host, s.registry))
		}
	}
	// The node pulls from the proxy's address from now on.
	up := exec.CommandContext(b.Context(), filepath.Join(root, "bin/sandbox"), "up", "--dir", os.Getenv("ONEDIGEST_BENCH_SANDBOX"), "--registry", s.registry, "--ecr-endpoint", endpoint.String())
	if out, err := up.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}

	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		b.Fatal(err)
	}
	if s.client, err = kubernetes.NewForConfig(config); err != nil {
		b.Fatal(err)
	}
	config.NextProtos = []string{"http/1.1"} // which connections to pods need
	transport, err := rest.TransportFor(config)
	if err != nil {
		b.Fatal(err)
	}
	upstream, err := url.Parse(config.Host)
	if err != nil {
		b.Fatal(err)
	}
	cluster := httptest.NewUnstartedServer(s.clusters.proxy(upstream, transport))
	cluster.EnableHTTP2 = true
	cluster.StartTLS()
	b.Cleanup(cluster.CloseClientConnections)
	counted := clientcmdapi.NewConfig()
	counted.Clusters["bench"] = &clientcmdapi.Cluster{Server: cluster.URL, CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cluster.Certificate().Raw})}
	counted.AuthInfos["bench"] = &clientcmdapi.AuthInfo{Token: "by-the-proxy"}
	counted.Contexts["bench"] = &clientcmdapi.Context{Cluster: "bench", AuthInfo: "bench"}
	counted.CurrentContext = "bench"
	s.kubeconfig = filepath.Join(b.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*counted, s.kubeconfig); err != nil {
		b.Fatal(err)
	}
	return s
}

// ours is a repository that calls pipeline.yaml of a release.
func (s *gitflowSite) ours(b *testing.B, root, act string) gitflow {
	b.Helper()
	release := acttest.NewRelease(b, root, []byte("#!/bin/bash\nexit 70\n"))
	g := gitflow{dir: b.TempDir(), act: act, flags: slices.Concat(acttest.StandIns(b, filepath.Join(root, ".github/workflows")), release.Flags),
		environment: slices.Concat(s.aws, []string{"ONEDIGEST_BIN=" + filepath.Join(root, "bin"), "KUBECONFIG=" + s.kubeconfig, "PATH=" + os.Getenv("PATH")}, goCaches(b))}
	g.write(b, ".github/workflows/delivery.yaml", strings.NewReplacer("COMMIT", release.Commit, "REPOSITORY", s.registry+"/gitflow", "REGION", os.Getenv("AWS_REGION"), "STAGING", s.namespace(b, "gitflow-staging"), "PRODUCTION", s.namespace(b, "gitflow-production")).Replace(`name: delivery
on: {push: {branches: [main]}}
permissions: {contents: read, id-token: write}
jobs:
  pipeline:
    uses: onedigest/onedigest/.github/workflows/pipeline.yaml@COMMIT
    with:
      repository: REPOSITORY
      region: REGION
      environments: |
        [{"name": "STAGING", "values": "deploy/staging.yaml"}, {"name": "PRODUCTION", "values": "deploy/production.yaml"}]
`))
	return g.init(b)
}

// peer is a repository with the glued workflow. It has what such a repository needs: a copy of the chart, and a base in the registry. The
// password for the registry is made for it.
func (s *gitflowSite) peer(b *testing.B, root, act, tools string) gitflow {
	b.Helper()
	password := s.password(b)
	configuration := b.TempDir()
	encoded, err := json.Marshal(map[string]any{"auths": map[string]any{s.registry: map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte("AWS:" + password))}}})
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(configuration, "config.json"), encoded, 0o600); err != nil {
		b.Fatal(err)
	}
	base := fmt.Sprintf("%s/gitflow-peer:base-%x", s.registry, time.Now().UnixNano()) // tags are immutable
	if err := crane.Push(empty.Image, base, crane.Insecure, crane.WithAuth(authn.FromConfig(authn.AuthConfig{Username: "AWS", Password: password}))); err != nil {
		b.Fatal(err)
	}
	g := gitflow{dir: b.TempDir(), act: act, flags: acttest.StandIns(b, filepath.Join(root, ".github/workflows")),
		environment: slices.Concat(goCaches(b), []string{"DOCKER_CONFIG=" + configuration, "KUBECONFIG=" + s.kubeconfig, "PATH=" + tools + ":" + os.Getenv("PATH")})}
	if err := os.CopyFS(filepath.Join(g.dir, "charts/service"), os.DirFS(filepath.Join(root, "charts/service"))); err != nil {
		b.Fatal(err)
	}
	g.write(b, ".github/workflows/delivery.yaml", strings.NewReplacer("REGISTRY/REPOSITORY", s.registry+"/gitflow-peer", "STATIC", base, "DEPLOY", gluedDeploy, "SMOKE", gluedSmoke, "STAGING", s.namespace(b, "peer-staging"), "PRODUCTION", s.namespace(b, "peer-production")).Replace(glued))
	return g.init(b)
}

// password asks ECR for a password, which both sides' first job needs and only ours asks for.
func (s *gitflowSite) password(b *testing.B) string {
	b.Helper()
	out, err := exec.CommandContext(b.Context(), "bash", "-c", `curl --silent --fail --request POST "http://$0/" --aws-sigv4 aws:amz:us-east-1:ecr --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" --header 'Content-Type: application/x-amz-json-1.1' --header 'X-Amz-Target: AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken' --data '{}'`, s.registry).Output()
	if err != nil {
		b.Fatalf("asking for a password: %v", err)
	}
	var answer struct {
		AuthorizationData []struct{ AuthorizationToken []byte }
	}
	if err := json.Unmarshal(out, &answer); err != nil || len(answer.AuthorizationData) != 1 {
		b.Fatalf("asking for a password: %v in %s", err, out)
	}
	_, password, _ := strings.Cut(string(answer.AuthorizationData[0].AuthorizationToken), ":")
	return password
}

// namespace returns the name of a namespace that was not there before, and deletes it at the end.
func (s *gitflowSite) namespace(b *testing.B, name string) string {
	b.Helper()
	name += fmt.Sprintf("-%x", time.Now().UnixNano())
	b.Cleanup(func() {
		// The benchmark's own context has ended, and a namespace that a failed run did not create is not there.
		if err := s.client.CoreV1().Namespaces().Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			b.Error(err)
		}
	})
	return name
}

// init makes the repository.
func (g gitflow) init(b *testing.B) gitflow {
	b.Helper()
	g.write(b, "main.go", gitflowService)
	g.write(b, "go.mod", "module example.com/api\n\ngo 1.25\n")
	for _, environment := range []string{"staging", "production"} {
		g.write(b, "deploy/"+environment+".yaml", "service: {type: LoadBalancer, annotations: {service.beta.kubernetes.io/aws-load-balancer-scheme: internal}}\nreplicas: 2\n")
	}
	command := exec.CommandContext(b.Context(), "git", "init", "--quiet", "--initial-branch=main")
	command.Dir = g.dir
	if out, err := command.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return g
}

// goCaches hands the Go toolchain's settings to jobs, which have a home directory of their own: the caches of both sides are warm.
func goCaches(b *testing.B) (pairs []string) {
	b.Helper()
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS", "GOSUMDB", "GONOSUMDB", "GOTOOLCHAIN"} {
		value, err := exec.CommandContext(b.Context(), "go", "env", name).Output()
		if err != nil {
			b.Fatal(err)
		}
		pairs = append(pairs, name+"="+strings.TrimSpace(string(value)))
	}
	return pairs
}

// BenchmarkGitflow takes commits of a service to production by pipeline.yaml and by the same jobs glued of ko, crane, helm, kubectl and curl, in
// turn, under act on the same node and registry. Every commit changes the service; the first one, which installs, is not counted, and
// neither is what a job pays to get its tools (BenchmarkGitflowDownload, BenchmarkStart). Goal: at most half the time. It needs a cluster, a
// registry and the tools: scripts/bench.sh gives them.
func BenchmarkGitflow(b *testing.B) {
	tools := os.Getenv("ONEDIGEST_BENCH_TOOLS")
	if tools == "" || os.Getenv("ONEDIGEST_BENCH_SANDBOX") == "" {
		b.Skip("NOT MEASURED: needs a cluster, a registry, ko, crane, helm and kubectl; run scripts/bench.sh")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		b.Fatal(err)
	}
	act, s := acttest.Program(b, root, true), newGitflowSite(b, root)
	sides := []struct {
		name string
		gitflow
	}{
		{"onedigest", s.ours(b, root, act)},
		{"glued", s.peer(b, root, act, tools)},
	}
	times, processor := make([][]float64, len(sides)), make([][]float64, len(sides))
	requests := make([][2]int, len(sides))
	round := func(i int) {
		for which, side := range sides {
			side.commit(b, fmt.Sprintf("%s %d", side.name, i))
			s.images.take()
			s.clusters.take()
			took, worked, log := side.push(b)
			if i > 0 {
				times[which] = append(times[which], took.Seconds())
				processor[which] = append(processor[which], worked.Seconds())
			}
			requests[which] = [2]int{s.images.take()["requests"], s.clusters.take()["requests"]}
			b.Logf("%s: %.1f s, of processors %.1f s\n%s", side.name, took.Seconds(), worked.Seconds(), steps(log))
		}
	}
	round(0)
	for i := 1; b.Loop(); i++ {
		round(i)
	}
	for which, side := range sides {
		b.ReportMetric(median(times[which]), "s("+side.name+")")
		b.ReportMetric(median(processor[which]), "processor-s("+side.name+")")
		b.ReportMetric(float64(requests[which][0]), "registry-requests("+side.name+")")
		b.ReportMetric(float64(requests[which][1]), "apiserver-requests("+side.name+")")
	}
	b.ReportMetric(median(times[0])/median(times[1]), "ratio")
}

// BenchmarkGitflowDownload is about what the jobs of both sides download, on runners that have none of it: each program in gzip.
func BenchmarkGitflowDownload(b *testing.B) {
	tools := os.Getenv("ONEDIGEST_BENCH_TOOLS")
	if tools == "" {
		b.Skip("NOT MEASURED: needs ko, crane, helm and kubectl; run scripts/bench.sh")
	}
	ours, glued := packedSize(b, "../bin/onedigest"), 0.0
	for _, program := range []string{"ko", "crane", "helm", "kubectl"} {
		glued += packedSize(b, filepath.Join(tools, program))
	}
	for b.Loop() { // nothing: the sizes do not vary, and a benchmark that loops is called once
	}
	b.ReportMetric(ours/1e6, "MB(onedigest)")
	b.ReportMetric(glued/1e6, "MB(glued)")
	b.ReportMetric(ours/glued, "ratio")
}

var stepEnd = regexp.MustCompile(`(?m)^\[(.+?)\]\s+✅  Success - (Main .+) \[([^\]]+)\]$`)

// steps lists the steps of a run with the time that each took, as act says it.
func steps(log string) string {
	var lines []string
	for _, match := range stepEnd.FindAllStringSubmatch(log, -1) {
		lines = append(lines, fmt.Sprintf("%10s  %s: %s", match[3], strings.TrimSpace(match[1]), match[2]))
	}
	return strings.Join(lines, "\n")
}

// packedSize is about what a program's download has.
func packedSize(b *testing.B, program string) float64 {
	b.Helper()
	file, err := os.Open(program)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	var packed written
	writer := gzip.NewWriter(&packed)
	if _, err := io.Copy(writer, file); err != nil {
		b.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		b.Fatal(err)
	}
	return float64(packed)
}

type written int64

func (w *written) Write(text []byte) (int, error) {
	*w += written(len(text))
	return len(text), nil
}
