package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

// argoCD is Argo CD's namespace in its own manifests.
const argoCD = "argocd"

var applications = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}

// plurals are the resources of the kinds that these tests create.
var plurals = map[string]string{"CustomResourceDefinition": "customresourcedefinitions", "ConfigMap": "configmaps", "Secret": "secrets", "AppProject": "appprojects", "Application": "applications"}

// create creates the objects of a YAML file; those without a namespace of their own are created in namespace, and definitions in none.
func create(t *testing.T, namespace string, content []byte) {
	t.Helper()
	objects := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		object := new(unstructured.Unstructured)
		if err := objects.Decode(&object.Object); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		if len(object.Object) == 0 {
			continue
		}
		to := dynamicClient(t).Resource(object.GroupVersionKind().GroupVersion().WithResource(plurals[object.GetKind()]))
		var made dynamic.ResourceInterface = to
		if object.GetKind() != "CustomResourceDefinition" {
			made = to.Namespace(namespace)
		}
		if _, err := made.Create(t.Context(), object, meta.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatalf("creating %s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
}

// startArgoCD runs Argo CD's repository server and application controller, with Debian's redis, against the node. It skips the test, loudly, without ONEDIGEST_ARGOCD.
func startArgoCD(t *testing.T) {
	t.Helper()
	onNode(t)
	program := os.Getenv("ONEDIGEST_ARGOCD")
	if program == "" {
		t.Skip("NOT CHECKED: needs Argo CD; set ONEDIGEST_ARGOCD to what scripts/argocd.sh prints")
	}
	source, err := command(filepath.Join(site.root, "devenv", "argocd"), "go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", "github.com/argoproj/argo-cd/v3")
	if err != nil {
		t.Fatal(err)
	}
	namespace := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": argoCD}}}
	namespaces := dynamicClient(t).Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
	if _, err := namespaces.Create(t.Context(), namespace, meta.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	for _, pattern := range []string{"manifests/crds/*-crd.yaml", "manifests/base/config/argocd-*.yaml"} {
		files, err := filepath.Glob(filepath.Join(source, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			create(t, argoCD, content)
		}
	}
	dir := t.TempDir()
	kubeconfig := kubeconfigIn(t, dir, argoCD)
	redis, repository, metrics := freeAddress(t), freeAddress(t), freeAddress(t)
	port := func(address string) string { return address[strings.LastIndex(address, ":")+1:] }
	environ := []string{"HOME=" + dir, "PATH=" + dir + ":" + os.Getenv("PATH"), "KUBECONFIG=" + kubeconfig, "TMPDIR=" + dir, "ARGOCD_FAKE_IN_CLUSTER=true", "ARGOCD_GPG_ENABLED=false"}
	for _, name := range []string{"ARGOCD_TLS_DATA_PATH", "ARGOCD_SSH_DATA_PATH", "ARGOCD_GNUPGHOME", "ARGOCD_GPG_DATA_PATH", "ARGOCD_PLUGINSOCKFILEPATH"} {
		at := filepath.Join(dir, name)
		if err := os.Mkdir(at, 0o700); err != nil {
			t.Fatal(err)
		}
		environ = append(environ, name+"="+at)
	}
	helm, err := filepath.Glob(filepath.Join(site.root, "bin", "tools", "helm-v3*"))
	if err != nil || len(helm) == 0 {
		t.Fatalf("bin/tools has no helm, which Argo CD runs: %v", err)
	}
	if err := os.Symlink(helm[0], filepath.Join(dir, "helm")); err != nil {
		t.Fatal(err)
	}
	background(t, environ, "redis-server", "--bind", "127.0.0.1", "--port", port(redis), "--save", "", "--appendonly", "no", "--dir", dir)
	background(t, append(environ, "ARGOCD_BINARY_NAME=argocd-repo-server"), program, "--address", "127.0.0.1", "--port", port(repository), "--metrics-port", port(freeAddress(t)), "--redis", redis, "--disable-tls", "--loglevel", "warn")
	background(t, append(environ, "ARGOCD_BINARY_NAME=argocd-application-controller"), program, "--redis", redis, "--repo-server", repository, "--repo-server-plaintext", "--namespace", argoCD,
		"--metrics-port", port(metrics), "--loglevel", "warn")
}

// kubeconfigIn writes a copy of the node's kubeconfig whose context is in a namespace.
func kubeconfigIn(t *testing.T, dir, namespace string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(site.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.Contexts[config.CurrentContext].Namespace = namespace
	file := filepath.Join(dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}

func freeAddress(t *testing.T) string {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

func command(dir, name string, args ...string) (string, error) {
	run := exec.Command(name, args...)
	run.Dir = dir
	out, err := run.Output()
	return strings.TrimSpace(string(out)), err
}

// background runs a program until the test ends; its output is shown if the test fails.
func background(t *testing.T, environ []string, name string, args ...string) {
	t.Helper()
	var output bytes.Buffer
	run := exec.CommandContext(context.Background(), name, args...) // ended below
	run.Env, run.Stdout, run.Stderr = environ, &output, &output
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-run.Process.Pid, syscall.SIGKILL)
		_ = run.Wait()
		if text := output.Bytes(); t.Failed() {
			t.Logf("%s %v printed:\n%s", filepath.Base(name), args[:2], text[max(0, len(text)-8000):])
		}
	})
}

// configuration is a configuration repository: a bare one that Argo CD and the verbs reach by its address, and a clone in which a person works.
type configuration struct {
	checkout
	url string
}

// newConfiguration makes a repository with the common chart and the values of environments.
func newConfiguration(t *testing.T, environments map[string]string) configuration {
	t.Helper()
	bare := filepath.Join(t.TempDir(), "config.git")
	c := configuration{checkout{t: t, dir: t.TempDir()}, "file://" + bare}
	if err := os.CopyFS(filepath.Join(c.dir, "charts", "service"), os.DirFS(filepath.Join(site.root, "charts", "service"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(c.dir, "shop"), 0o755); err != nil {
		t.Fatal(err)
	}
	for environment, values := range environments {
		c.write("shop/"+environment+".yaml", values)
	}
	c.git("init", "--quiet", "--initial-branch=main")
	c.git("add", "--all")
	c.git("commit", "--quiet", "--message", "the environments")
	c.git("clone", "--quiet", "--bare", c.dir, bare)
	c.git("remote", "add", "origin", c.url)
	return c
}

// push commits everything that a person has changed and pushes it.
func (c configuration) push(message string) {
	c.t.Helper()
	c.git("add", "--all")
	c.git("commit", "--quiet", "--message", message)
	c.git("pull", "--quiet", "--rebase", "origin", "main")
	c.git("push", "--quiet", "origin", "HEAD:main")
}

// show returns a file as the branch has it.
func (c configuration) show(file string) string {
	c.t.Helper()
	c.git("fetch", "--quiet", "origin", "main")
	return c.git("show", "FETCH_HEAD:"+file)
}

// fencedYAML matches the YAML blocks of a page.
var fencedYAML = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// application makes the Application and the AppProject of docs/gitops.md for an environment.
func (c configuration) application(environment string) {
	c.t.Helper()
	page, err := os.ReadFile(filepath.Join(site.root, "docs", "gitops.md"))
	if err != nil {
		c.t.Fatal(err)
	}
	blocks := fencedYAML.FindAllSubmatch(page, -1)
	if len(blocks) < 2 {
		c.t.Fatalf("the page has %d objects", len(blocks))
	}
	for _, block := range blocks[:2] {
		create(c.t, argoCD, []byte(strings.NewReplacer("https://git.example.com/team/config.git", c.url, "production", environment).Replace(string(block[1]))))
	}
	c.t.Cleanup(func() {
		_ = dynamicClient(c.t).Resource(applications).Namespace(argoCD).Delete(context.Background(), "shop-"+environment, meta.DeleteOptions{})
	})
}

// manifests makes an environment's Application apply the directory of rendered manifests of docs/gitops.md.
func (c configuration) manifests(environment string) {
	c.t.Helper()
	page, err := os.ReadFile(filepath.Join(site.root, "docs", "gitops.md"))
	if err != nil {
		c.t.Fatal(err)
	}
	var patch struct {
		Source map[string]any `json:"source"`
	}
	for _, block := range fencedYAML.FindAllSubmatch(page, -1) {
		text := strings.NewReplacer("https://git.example.com/team/config.git", c.url, "production", environment).Replace(string(block[1]))
		if !strings.HasPrefix(text, "source:") {
			continue
		}
		if err := yaml.Unmarshal([]byte(text), &patch); err != nil {
			c.t.Fatal(err)
		}
	}
	if patch.Source == nil {
		c.t.Fatal("docs/gitops.md has no source of an Application with rendered manifests")
	}
	patch.Source["helm"] = nil
	body, err := json.Marshal(map[string]any{"spec": patch})
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := dynamicClient(c.t).Resource(applications).Namespace(argoCD).Patch(c.t.Context(), "shop-"+environment, types.MergePatchType, body, meta.PatchOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 200*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) { return holds(), nil })
	if err != nil {
		t.Errorf("%s: not within a minute", what)
	}
}
