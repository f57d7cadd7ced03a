// Package e2e runs the chain on real parts: a Kubernetes node, a registry that behaves like ECR, and the verbs as their
// own programs would run.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	apppipeline "github.com/onedigest/onedigest/internal/app/pipeline"
	"github.com/onedigest/onedigest/internal/pipeline"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// site is the one cluster and the one registry that all tests here share.
var site struct {
	root       string // of the checkout
	dir        string // scratch, removed at the end
	node       string // the sandbox's directory
	registry   string // host:port
	kubeconfig string
	aws        []string // environment that leads the SDK to the local AWS
}

func TestMain(m *testing.M) {
	if os.Getenv("ONEDIGEST_E2E") == "" {
		fmt.Println("SKIPPED: the chain was not run on a real node; set ONEDIGEST_E2E=1 (Linux, root) to run it")
		os.Exit(m.Run())
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "1000"); err != nil { // the places bound it
		panic(err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if err := up(); err != nil {
		fmt.Fprintln(os.Stderr, "bringing the site up:", err)
		down()
		return 1
	}
	code := m.Run()
	if err := down(); err != nil {
		fmt.Fprintln(os.Stderr, "taking the site down:", err)
		return 1
	}
	return code
}

// onNode skips a test, loudly, where there is no node to run it on.
func onNode(t *testing.T) {
	t.Helper()
	if site.kubeconfig == "" {
		t.Skip("NOT CHECKED: needs a real node; set ONEDIGEST_E2E=1")
	}
}

// environments is held by a test that deploys to staging and production, which every repository's own files name.
var environments sync.Mutex

// places bounds how many tests run at a time: a verb waits most of its time, so that a processor serves three.
var places = make(chan struct{}, 3*runtime.GOMAXPROCS(0))

// placed has the names of the tests that have a place.
var placed sync.Map

// beside runs a test beside others, once it holds the locks and has a place. A test that has parallel subtests calls t.Parallel itself and takes no place:
// its subtests do. A test that calls neither runs before all of these, alone.
func beside(t *testing.T, locks ...sync.Locker) {
	t.Helper()
	for i, letter := range t.Name() {
		if _, waits := placed.Load(t.Name()[:i]); waits && letter == '/' {
			t.Fatalf("%s has a place and waits for this test: t.Parallel() takes none", t.Name()[:i])
		}
	}
	t.Parallel()
	for _, lock := range locks {
		lock.Lock()
		t.Cleanup(lock.Unlock)
	}
	places <- struct{}{}
	placed.Store(t.Name(), true)
	t.Cleanup(func() {
		placed.Delete(t.Name())
		<-places
	})
}

func up() (err error) {
	if site.root, err = filepath.Abs(".."); err != nil {
		return err
	}
	if site.dir, err = os.MkdirTemp("", "onedigest-e2e-"); err != nil {
		return err
	}
	// Short, for unix sockets lie below it.
	if site.node, err = os.MkdirTemp("/var/lib", "onedigest-e2e-"); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	site.registry = fmt.Sprintf("127.0.0.1:%d", port)
	if err := program("localaws", "up", "--addr", site.registry, "--dir", filepath.Join(site.dir, "aws"), "--repository", "shop=IMMUTABLE", "--repository", "worker=IMMUTABLE", "--repository", "adopted=IMMUTABLE",
		"--repository", "piece=IMMUTABLE", "--repository", "api=IMMUTABLE", "--repository", "mail=IMMUTABLE", "--repository", "jobs=IMMUTABLE", "--repository", "migrate=IMMUTABLE", "--repository", "charts/service=IMMUTABLE"); err != nil {
		return err
	}
	lines, err := output("localaws", "env", "--dir", filepath.Join(site.dir, "aws"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(lines) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		site.aws = append(site.aws, name+"="+strings.Trim(value, "'"))
	}
	if err := program("sandbox", "up", "--dir", site.node, "--registry", site.registry, "--ecr-endpoint", "http://"+site.registry); err != nil {
		return err
	}
	site.kubeconfig, err = output("sandbox", "kubeconfig", "--dir", site.node)
	return err
}

func down() error {
	sandbox := program("sandbox", "down", "--dir", site.node)
	aws := program("localaws", "down", "--dir", filepath.Join(site.dir, "aws"), "--purge")
	if sandbox != nil {
		return sandbox
	}
	if aws != nil {
		return aws
	}
	return os.RemoveAll(site.dir)
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// program runs one of the programs in bin/, its output going where the tests' goes.
func program(name string, args ...string) error {
	command := exec.Command(filepath.Join(site.root, "bin", name), args...)
	command.Dir, command.Stdout, command.Stderr = site.root, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), site.aws...)
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

func output(name string, args ...string) (string, error) {
	text, err := exec.Command(filepath.Join(site.root, "bin", name), args...).Output()
	return strings.TrimSpace(string(text)), err
}

// checkout is a clone of the app, the chart and the values with a git history of its own, so that a test can commit.
type checkout struct {
	t          *testing.T
	dir        string
	environ    []string  // besides what every verb gets
	namespaces *sync.Map // the namespaces that it deployed to
}

func newCheckout(t *testing.T) checkout {
	t.Helper()
	c := checkout{t: t, dir: t.TempDir(), namespaces: new(sync.Map)}
	t.Cleanup(func() { c.deleteNamespaces(t) })
	for _, part := range []string{"app", "charts", "terraform"} {
		if err := os.CopyFS(filepath.Join(c.dir, part), os.DirFS(filepath.Join(site.root, part))); err != nil {
			t.Fatal(err)
		}
	}
	c.shortenDrain()
	c.git("init", "--quiet", "--initial-branch=main")
	c.commit("first")
	return c
}

// shortenDrain changes the environments' values: they are for a load balancer that lags by two minutes (TestRollingUpdateOfALaggingBalancer), and that of
// the sandbox does not.
func (c checkout) shortenDrain() {
	c.t.Helper()
	for _, environment := range []string{"staging", "production"} {
		file := "terraform/" + environment + "/values-" + environment + ".yaml"
		c.edit(file, "DRAIN_DELAY: 120s", "DRAIN_DELAY: 3s")
		c.edit(file, "terminationGracePeriodSeconds: 150", "terminationGracePeriodSeconds: 30")
	}
}

// owners has the checkout that each namespace belongs to.
var owners sync.Map

// recordNamespaces records the namespaces in a verb's arguments, for cleanup.
func (c checkout) recordNamespaces(args []string) {
	c.t.Helper()
	for i, arg := range args[:max(0, len(args)-1)] {
		if arg == "--environment" || arg == "--namespace" {
			c.own(args[i+1])
		}
	}
}

// own records a namespace for cleanup, and fails the test if another one that runs has it.
func (c checkout) own(namespace string) {
	c.t.Helper()
	if owner, _ := owners.LoadOrStore(namespace, c.namespaces); owner != c.namespaces {
		c.t.Fatalf("another test uses the namespace %q at the same time: each has its own", namespace)
	}
	c.namespaces.Store(namespace, true)
}

// deleteNamespaces deletes the checkout's namespaces and waits until they are gone.
func (c checkout) deleteNamespaces(t *testing.T) {
	if site.kubeconfig == "" {
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	namespaces := client(t).CoreV1().Namespaces()
	c.namespaces.Range(func(name, _ any) bool {
		if err := namespaces.Delete(ctx, name.(string), meta.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) { // it may be going already
			t.Errorf("deleting namespace %q: %v", name, err)
		}
		return true
	})
	c.namespaces.Range(func(name, _ any) bool {
		gone := func(ctx context.Context) (bool, error) {
			_, err := namespaces.Get(ctx, name.(string), meta.GetOptions{})
			return apierrors.IsNotFound(err), nil
		}
		if err := wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, gone); err != nil {
			t.Errorf("namespace %q is still there: %v", name, err)
		}
		owners.CompareAndDelete(name, c.namespaces)
		return true
	})
}

func (c checkout) git(args ...string) string {
	c.t.Helper()
	command := exec.Command("git", append([]string{"-c", "user.name=e2e", "-c", "user.email=e2e@example.com", "-c", "commit.gpgsign=false"}, args...)...)
	command.Dir = c.dir
	text, err := command.CombinedOutput()
	if err != nil {
		c.t.Fatalf("git %v: %v\n%s", args, err, text)
	}
	return strings.TrimSpace(string(text))
}

// commit commits everything and returns the commit. The message makes commits of different tests differ, and the file the images of
// different commits: build would reuse that of an earlier one.
func (c checkout) commit(message string) string {
	c.t.Helper()
	c.write("app/commits.go", fmt.Sprintf("package main\n\nconst _ = %q\n", c.t.Name()+": "+message+" after "+c.git("rev-list", "--all", "--count")+" commits"))
	c.git("add", "--all")
	c.git("commit", "--quiet", "--allow-empty", "--message", c.t.Name()+": "+message)
	return c.git("rev-parse", "HEAD")
}

// edit replaces text in a file; the text must be there.
func (c checkout) edit(file, before, after string) {
	c.t.Helper()
	path := filepath.Join(c.dir, file)
	content, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	if !bytes.Contains(content, []byte(before)) {
		c.t.Fatalf("%s holds no %q", file, before)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(content, []byte(before), []byte(after)), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (c checkout) write(file, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, file), []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// verbResult is the exit code and output of a verb.
type verbResult struct {
	code           int
	stdout, stderr string
}

// verb runs a command as its own program would run in the checkout: flags, environment, streams, exit code.
func (c checkout) verb(ctx context.Context, command app.Command, args ...string) verbResult {
	c.t.Helper()
	c.recordNamespaces(args)
	var stdout, stderr bytes.Buffer
	environ := append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "KUBECONFIG=" + site.kubeconfig, "USER=e2e"}, goEnviron()...)
	environ = append(append(environ, site.aws...), c.environ...)
	code := command.Run(ctx, app.Process{Args: args, Environ: environ, Dir: c.dir,
		Stdout: io.MultiWriter(&stdout, testLog{c.t}), Stderr: io.MultiWriter(&stderr, testLog{c.t}), Now: time.Now})
	return verbResult{code: code, stdout: stdout.String(), stderr: stderr.String()}
}

// pipeline runs the whole chain and reads its result.
func (c checkout) pipeline(args ...string) (pipeline.Result, verbResult) {
	c.t.Helper()
	c.recordNamespaces([]string{"--environment", "staging", "--environment", "production"})
	args = append([]string{"--repository", site.registry + "/shop", "--context", "app", "--builder", "go", "--platform", "linux/" + runtime.GOARCH, "--values", "terraform/{environment}/values-{environment}.yaml", "--checks", "app/smoke.yaml", "--pod-security", "restricted", "--output", "json"}, args...)
	got := c.verb(c.t.Context(), apppipeline.Command(), args...)
	var result pipeline.Result
	if got.code == 0 {
		if err := json.Unmarshal([]byte(got.stdout), &result); err != nil {
			c.t.Fatalf("%v in %s", err, got.stdout)
		}
	} else {
		var failure struct{ Result pipeline.Result }
		if err := json.Unmarshal([]byte(got.stdout), &failure); err != nil {
			c.t.Fatalf("%v in %s", err, got.stdout)
		}
		result = failure.Result
	}
	return result, got
}

// goEnviron hands the Go toolchain's own settings through.
func goEnviron() (pairs []string) {
	for _, name := range []string{"GOPROXY", "GOFLAGS", "GOCACHE", "GOMODCACHE", "GOSUMDB", "GONOSUMDB", "GOTOOLCHAIN", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if value, set := os.LookupEnv(name); set {
			pairs = append(pairs, name+"="+value)
		}
	}
	return pairs
}

type testLog struct{ t *testing.T }

func (l testLog) Write(text []byte) (int, error) {
	l.t.Log(strings.TrimRight(string(text), "\n"))
	return len(text), nil
}
