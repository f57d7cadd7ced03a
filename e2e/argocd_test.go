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
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
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
var plurals = map[string]string{"CustomResourceDefinition": "customresourcedefinitions", "ConfigMap": "configmaps", "Secret": "secrets", "AppProject": "appprojects", "Application": "applications",
	"Role": "roles", "RoleBinding": "rolebindings", "ServiceAccount": "serviceaccounts"}

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

// argoCDController is the account of Argo CD's application controller.
const argoCDController = "system:serviceaccount:" + argoCD + ":argocd-application-controller"

// terraformsArgoCD is what terraform/platform makes of Argo CD for one release in one environment, production. terraform test compares the file with the plan.
type terraformsArgoCD struct {
	CM          map[string]any
	Credentials map[string]struct {
		Server, Namespaces string
		Config             json.RawMessage
	}
	Inclusions []any
	Objects    []json.RawMessage
}

func readTerraforms(t *testing.T, file string, into any) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(site.root, "terraform", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// limitArgoCD gives Argo CD's controller what Terraform gives it, and nothing else: in each namespace the Role of terraform/modules/service, in its own the Role of
// its manifests, and settings and credentials by which it looks at these namespaces and at the kinds of a release alone.
func limitArgoCD(t *testing.T, source string, namespaces []string) {
	t.Helper()
	var rules []rbac.PolicyRule
	readTerraforms(t, "modules/service/tests/argo_cd_role.json", &rules)
	api := client(t)
	for _, namespace := range namespaces {
		labelled := map[string]string{"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted", "pod-security.kubernetes.io/audit": "restricted"} // by Terraform
		if _, err := api.CoreV1().Namespaces().Create(t.Context(), &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: namespace, Labels: labelled}}, meta.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		role := &rbac.Role{ObjectMeta: meta.ObjectMeta{Name: "argocd-application-controller"}, Rules: rules}
		if _, err := api.RbacV1().Roles(namespace).Create(t.Context(), role, meta.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		binding := &rbac.RoleBinding{ObjectMeta: role.ObjectMeta, RoleRef: rbac.RoleRef{APIGroup: rbac.GroupName, Kind: "Role", Name: role.Name},
			Subjects: []rbac.Subject{{Kind: rbac.ServiceAccountKind, Namespace: argoCD, Name: role.Name}}}
		if _, err := api.RbacV1().RoleBindings(namespace).Create(t.Context(), binding, meta.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	own, err := filepath.Glob(filepath.Join(source, "manifests/base/application-controller-roles/argocd-*.yaml"))
	if err != nil || len(own) != 3 {
		t.Fatalf("the account, the Role and the binding of Argo CD's controller: %q, %v", own, err)
	}
	for _, file := range own {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		create(t, argoCD, content)
	}

	var made terraformsArgoCD
	readTerraforms(t, "platform/tests/argo_cd.json", &made)
	settings, err := api.CoreV1().ConfigMaps(argoCD).Get(t.Context(), "argocd-cm", meta.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range made.CM {
		settings.Data[key] = fmt.Sprint(value)
	}
	inclusions, err := json.Marshal(made.Inclusions) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	settings.Data["resource.inclusions"] = string(inclusions)
	if _, err := api.CoreV1().ConfigMaps(argoCD).Update(t.Context(), settings, meta.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, cluster := range made.Credentials {
		secret := &core.Secret{ObjectMeta: meta.ObjectMeta{Name: "cluster-" + name, Labels: map[string]string{"argocd.argoproj.io/secret-type": "cluster"}},
			StringData: map[string]string{"name": name, "server": cluster.Server, "config": string(cluster.Config), "namespaces": strings.ReplaceAll(cluster.Namespaces, "production", strings.Join(namespaces, ","))}}
		if _, err := api.CoreV1().Secrets(argoCD).Create(t.Context(), secret, meta.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
}

// startArgoCD runs Argo CD's repository server and application controller, with Debian's redis, against the node, with the rights that Terraform gives it in the
// namespaces. It skips the test, loudly, without ONEDIGEST_ARGOCD.
func startArgoCD(t *testing.T, releases ...string) {
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
	limitArgoCD(t, source, releases)
	dir := t.TempDir()
	redis, repository, metrics := freeAddress(t), freeAddress(t), freeAddress(t)
	port := func(address string) string { return address[strings.LastIndex(address, ":")+1:] }
	environ := []string{"HOME=" + dir, "PATH=" + dir + ":" + os.Getenv("PATH"), "TMPDIR=" + dir, "ARGOCD_FAKE_IN_CLUSTER=true", "ARGOCD_GPG_ENABLED=false"}
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
	as := func(binary string) []string {
		return append(slices.Clone(environ), "ARGOCD_BINARY_NAME="+binary, "KUBECONFIG="+kubeconfigIn(t, dir, argoCD, "system:serviceaccount:"+argoCD+":"+binary))
	}
	background(t, as("argocd-repo-server"), program, "--address", "127.0.0.1", "--port", port(repository), "--metrics-port", port(freeAddress(t)), "--redis", redis, "--disable-tls", "--loglevel", "warn")
	background(t, as("argocd-application-controller"), program, "--redis", redis, "--repo-server", repository, "--repo-server-plaintext", "--namespace", argoCD,
		"--metrics-port", port(metrics), "--loglevel", "warn")
}

// kubeconfigIn writes a kubeconfig of a user of the node whose context is in a namespace.
func kubeconfigIn(t *testing.T, dir, namespace, user string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(site.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.Contexts[config.CurrentContext].Namespace = namespace
	for _, info := range config.AuthInfos {
		info.Impersonate = user
	}
	file := filepath.Join(dir, "kubeconfig-"+strings.ReplaceAll(user, ":", "-"))
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

// terraforms makes the AppProjects and the Application that terraform/platform makes, for an environment, with other texts in place of some.
func (c configuration) terraforms(environment string, others ...string) {
	c.t.Helper()
	var made terraformsArgoCD
	readTerraforms(c.t, "platform/tests/argo_cd.json", &made)
	for _, object := range made.Objects {
		create(c.t, argoCD, []byte(strings.NewReplacer(append(others, "https://git.example.com/team/config.git", c.url, "production", environment)...).Replace(string(object))))
	}
}

// conditions returns what Argo CD says of an Application: its conditions, and the message of its last operation.
func conditions(t *testing.T, name string) string {
	t.Helper()
	object, err := dynamicClient(t).Resource(applications).Namespace(argoCD).Get(t.Context(), name, meta.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	said, _, _ := unstructured.NestedFieldNoCopy(object.Object, "status", "conditions")
	operation, _, _ := unstructured.NestedFieldNoCopy(object.Object, "status", "operationState")
	text, err := json.Marshal([]any{said, operation})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
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
