package bench

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// peers are what the figures are taken with: an image in reach of the cluster, the helm command, the cluster.
type peers struct {
	root, image, repository, digest, helm string
	config                                *rest.Config
	client                                *kubernetes.Clientset
}

func setUp(b *testing.B) peers {
	b.Helper()
	p := peers{image: os.Getenv("ONEDIGEST_BENCH_IMAGE"), helm: os.Getenv("ONEDIGEST_BENCH_HELM"), root: absolute(b, "..")}
	if p.image == "" || p.helm == "" {
		b.Skip("NOT MEASURED: needs a cluster, an image and helm; run scripts/bench.sh")
	}
	p.repository, p.digest, _ = strings.Cut(p.image, "@")
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		b.Fatal(err)
	}
	p.config, p.client = config, kubernetes.NewForConfigOrDie(config)
	return p
}

// deploy runs our verb in this process; it returns the exit code and the output.
func (p peers) deploy(ctx context.Context, environ []string, args ...string) (int, string) {
	var output bytes.Buffer
	code := appdeploy.Command().Run(ctx, app.Process{Dir: p.root, Environ: append(os.Environ(), environ...), Stdout: &output, Stderr: &output, Now: time.Now,
		Args: append([]string{"--image", p.image, "--create-namespace", "--release", "shop"}, args...)})
	return code, output.String()
}

// figure is one number of a benchmark.
type figure struct {
	value float64
	unit  string
}

var measured = map[string][]figure{}

// once measures what is measured one time, however often the benchmark is called to find its pace.
func once(b *testing.B, measure func() []figure) {
	b.Helper()
	if measured[b.Name()] == nil {
		measured[b.Name()] = measure()
	}
	for _, figure := range measured[b.Name()] {
		b.ReportMetric(figure.value, figure.unit)
	}
}

func (p peers) must(b *testing.B, args ...string) {
	b.Helper()
	if code, output := p.deploy(b.Context(), nil, args...); code != 0 {
		b.Fatalf("exit %d: %s", code, output)
	}
}

func (p peers) helmCommand(ctx context.Context, namespace, chart string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, p.helm, append([]string{"upgrade", "--install", "--create-namespace", "--namespace", namespace, "shop", chart,
		"--set-string", "image.repository=" + p.repository, "--set-string", "image.digest=" + p.digest}, args...)...)
	command.Dir = p.root
	return command
}

// BenchmarkFailureNamed is the time from the kubelet's first report that an image cannot be pulled to the verb's end. Helm's
// is its timeout, whatever that is: 30 s here. Goal: ours at most 3 s.
func BenchmarkFailureNamed(b *testing.B) {
	p := setUp(b)
	var mine []float64
	began := time.Now()
	for i := range b.N {
		namespace := fmt.Sprintf("bench-failing-%d-%d", began.UnixNano()%1e9, i)
		ctx, cancel := context.WithCancel(b.Context())
		reported := p.firstWaiting(ctx, namespace)
		code, output := p.deploy(ctx, nil, "--environment", namespace, "--set", "config.LOG_LEVEL=loud", "--values", "terraform/staging/values-staging.yaml")
		ended := time.Now()
		cancel()
		if code != 1 || !strings.Contains(output, "OD-103") {
			b.Fatalf("exit %d: %s", code, output)
		}
		mine = append(mine, ended.Sub(<-reported).Seconds())
	}
	began = time.Now()
	err := p.helmCommand(b.Context(), "bench-failing-helm", "charts/service", "--wait", "--timeout", "30s", "--values", "terraform/staging/values-staging.yaml", "--set-string", "config.LOG_LEVEL=loud").Run()
	if err == nil {
		b.Fatal("helm is content with a container that crashes")
	}
	b.ReportMetric(median(mine), "s-after-report(onedigest)")
	b.ReportMetric(slices.Max(mine), "s-after-report-max(onedigest)")
	b.ReportMetric(time.Since(began).Seconds(), "s-in-all(helm)")
}

// firstWaiting gives, when ctx ends, the moment at which a container of the namespace was first reported in a crash loop.
func (p peers) firstWaiting(ctx context.Context, namespace string) <-chan time.Time {
	result := make(chan time.Time, 1)
	go func() {
		var first time.Time
		defer func() { result <- first }()
		for ctx.Err() == nil {
			watch, err := p.client.CoreV1().Pods(namespace).Watch(ctx, meta.ListOptions{})
			if err != nil {
				continue
			}
			for event := range watch.ResultChan() {
				pod, ok := event.Object.(*core.Pod)
				if !ok || !first.IsZero() {
					continue
				}
				for _, container := range pod.Status.ContainerStatuses {
					if waiting := container.State.Waiting; waiting != nil && waiting.Reason == "CrashLoopBackOff" {
						first = time.Now()
					}
				}
			}
		}
	}()
	return result
}

// BenchmarkRequestsOfAWait counts what the apiserver is asked from the last of ten Deployments' creation on, while they take a
// minute to become available, to the end: ours, the heartbeats of its Lease included, and helm --wait. Goal: ours at most a
// quarter. Both run once; the count does not vary with the machine.
func BenchmarkRequestsOfAWait(b *testing.B) {
	p := setUp(b)
	once(b, func() []figure { return p.requestsOfAWait(b) })
}

func (p peers) requestsOfAWait(b *testing.B) []figure {
	mine := p.counted(b, func(kubeconfig string) {
		code, output := p.deploy(b.Context(), []string{"KUBECONFIG=" + kubeconfig}, "--environment", "bench-wait-ours", "--chart", "bench/testdata/charts/ten")
		if code != 0 {
			b.Fatalf("exit %d: %s", code, output)
		}
	})
	helms := p.counted(b, func(kubeconfig string) {
		command := p.helmCommand(b.Context(), "bench-wait-helm", "bench/testdata/charts/ten", "--wait")
		command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
		if text, err := command.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, text)
		}
	})
	for _, namespace := range []string{"bench-wait-ours", "bench-wait-helm"} {
		if err := p.client.CoreV1().Namespaces().Delete(b.Context(), namespace, meta.DeleteOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	return []figure{{float64(mine), "requests(onedigest)"}, {float64(helms), "requests(helm)"}, {float64(mine) / float64(helms), "ratio"}}
}

// counted runs something against the cluster by way of a proxy, and counts the requests after the last Deployment's creation.
func (p peers) counted(b *testing.B, run func(kubeconfig string)) int64 {
	b.Helper()
	transport, err := rest.TransportFor(p.config)
	if err != nil {
		b.Fatal(err)
	}
	to, err := url.Parse(p.config.Host)
	if err != nil {
		b.Fatal(err)
	}
	var count atomic.Int64
	proxy := &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count.Add(1)
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/deployments") {
			count.Store(0)
		}
		proxy.ServeHTTP(w, r)
	}))
	defer server.Close()
	kubeconfig := api.NewConfig()
	kubeconfig.Clusters["bench"] = &api.Cluster{Server: server.URL}
	kubeconfig.Contexts["bench"] = &api.Context{Cluster: "bench"}
	kubeconfig.CurrentContext = "bench"
	file := filepath.Join(b.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*kubeconfig, file); err != nil {
		b.Fatal(err)
	}
	run(file)
	return count.Load()
}

// BenchmarkSixtyObjects installs sixty objects: our verb, and the Helm SDK with a client as it comes, whose 5 requests a
// second make it wait for itself. Goal: ours at most half.
func BenchmarkSixtyObjects(b *testing.B) {
	p := setUp(b)
	once(b, func() []figure { return p.sixtyObjects(b) })
}

func (p peers) sixtyObjects(b *testing.B) []figure {
	began := time.Now()
	p.must(b, "--environment", "bench-sixty-ours", "--chart", "bench/testdata/charts/sixty")
	mine := time.Since(began).Seconds()

	namespace := "bench-sixty-sdk"
	flags := genericclioptions.NewConfigFlags(false)
	flags.Namespace = &namespace
	configuration := new(action.Configuration)
	if err := configuration.Init(flags, namespace, "secrets", func(string, ...any) {}); err != nil {
		b.Fatal(err)
	}
	chart, err := loader.Load(filepath.Join(p.root, "bench/testdata/charts/sixty"))
	if err != nil {
		b.Fatal(err)
	}
	install := action.NewInstall(configuration)
	install.ReleaseName, install.Namespace, install.CreateNamespace = "shop", namespace, true
	began = time.Now()
	if _, err := install.RunWithContext(b.Context(), chart, map[string]any{"image": map[string]any{"repository": p.repository, "digest": p.digest}}); err != nil {
		b.Fatal(err)
	}
	sdk := time.Since(began).Seconds()
	return []figure{{mine, "s(onedigest)"}, {sdk, "s(helm-SDK)"}, {mine / sdk, "ratio"}}
}

// BenchmarkPeakMemory is the most memory that the program held while it upgraded a release, as the kernel counted it: ours,
// and helm's. Goal: at most helm's.
func BenchmarkPeakMemory(b *testing.B) {
	p := setUp(b)
	once(b, func() []figure { return p.peakMemory(b) })
}

func (p peers) peakMemory(b *testing.B) []figure {
	values := "terraform/staging/values-staging.yaml"
	ours := func(greeting string) *exec.Cmd {
		command := exec.CommandContext(b.Context(), filepath.Join(p.root, "bin", "deploy"), "--environment", "bench-memory-ours", "--release", "shop", "--image", p.image,
			"--create-namespace", "--values", values, "--set", "config.GREETING="+greeting)
		command.Dir = p.root
		return command
	}
	helms := func(greeting string) *exec.Cmd {
		return p.helmCommand(b.Context(), "bench-memory-helm", "charts/service", "--wait", "--values", values, "--set-string", "config.GREETING="+greeting)
	}
	peak(b, ours("one"))
	peak(b, helms("one"))
	mine, theirs := peak(b, ours("two")), peak(b, helms("two"))
	return []figure{{mine, "MiB(onedigest)"}, {theirs, "MiB(helm)"}, {mine / theirs, "ratio"}}
}

// peak runs a command and reads its high-water mark (proc(5), VmHWM) until it ends. The mark that the kernel gives a parent
// (getrusage, ru_maxrss) would be at least the parent's own.
func peak(b *testing.B, command *exec.Cmd) float64 {
	b.Helper()
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	status, mark := fmt.Sprintf("/proc/%d/status", command.Process.Pid), 0.0
	done := make(chan error, 1)
	go func() { done <- command.Wait() }()
	for {
		select {
		case err := <-done:
			if err != nil || mark == 0 {
				b.Fatalf("%v, peak %v: %s", err, mark, output.String())
			}
			return mark
		case <-time.After(2 * time.Millisecond):
			mark = max(mark, highWater(status))
		}
	}
}

// highWater is in MiB, 0 if the process has gone.
func highWater(status string) float64 {
	text, err := os.ReadFile(status)
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return 0
	}
	return kib / 1024
}

// BenchmarkTenReleases deploys ten releases with one matrix, all at once, and ten in turn. Goal: at most 0.3.
func BenchmarkTenReleases(b *testing.B) {
	p := setUp(b)
	once(b, func() []figure { return p.tenReleases(b) })
}

func (p peers) tenReleases(b *testing.B) []figure {
	var matrix strings.Builder
	matrix.WriteString("waves:\n  - name: all\n    deploys:\n")
	for i := range 10 {
		fmt.Fprintf(&matrix, "      - {environment: bench-ten-%d}\n", i)
	}
	tree := b.TempDir() // the matrix must lie in a work tree, and so must the chart
	if err := os.CopyFS(filepath.Join(tree, "chart"), os.DirFS(filepath.Join(p.root, "bench/testdata/charts/ten"))); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "deploys.yaml"), []byte(matrix.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	p.root = tree
	turn := func(n int) []string {
		return []string{"--chart", "chart", "--set", fmt.Sprintf("turn=%d", n), "--values", "values.yaml"}
	}
	if err := os.WriteFile(filepath.Join(tree, "values.yaml"), []byte("deployments: 1\nseconds: 3\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	p.must(b, append(turn(0), "--matrix", "deploys.yaml", "--concurrency", "10")...) // the installations, with pulls
	began := time.Now()
	p.must(b, append(turn(1), "--matrix", "deploys.yaml", "--concurrency", "10")...)
	atOnce := time.Since(began).Seconds()
	began = time.Now()
	for i := range 10 {
		p.must(b, append(turn(2), "--environment", fmt.Sprintf("bench-ten-%d", i))...)
	}
	inTurn := time.Since(began).Seconds()
	return []figure{{atOnce, "s(at-once)"}, {inTurn, "s(in-turn)"}, {atOnce / inTurn, "ratio"}}
}
