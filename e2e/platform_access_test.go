package e2e

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/helm"
	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

func golden(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// adminConfig returns the configuration of the node's administrator.
func adminConfig(t *testing.T) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", site.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = 200, 400
	return config
}

// impersonate returns a client that impersonates a user.
func impersonate(t *testing.T, user string) *kubernetes.Clientset {
	t.Helper()
	config := adminConfig(t)
	config.Impersonate.UserName = user
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// TestPlatformAccess deploys to two environments, each with a reader of its own, and checks each user's permissions.
func TestPlatformAccess(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	image := tree.build()
	const staging, production = "access-staging", "access-production"
	for _, namespace := range []string{staging, production} {
		_, got := tree.deploy(t.Context(), namespace, image, "--pod-security", "restricted", "--values", tree.copyValues(t, "access.yaml", namespace))
		got.expect(t, 0)
	}
	t.Run("a reader of staging reads staging's alone", func(t *testing.T) {
		reader := impersonate(t, staging+"-reader").CoreV1()
		secret, err := reader.Secrets(staging).Get(t.Context(), "shop", meta.GetOptions{})
		if err != nil || string(secret.Data["API_TOKEN"]) != "token-of-"+staging {
			t.Errorf("staging's Secret: %v, %v", secret.Data, err)
		}
		config, err := reader.ConfigMaps(staging).Get(t.Context(), "shop", meta.GetOptions{})
		if err != nil || config.Data["ENVIRONMENT"] != staging {
			t.Errorf("staging's ConfigMap: %v, %v", config.Data, err)
		}
		for what, ask := range map[string]func() error{
			"production's Secret": func() error {
				_, err := reader.Secrets(production).Get(t.Context(), "shop", meta.GetOptions{})
				return err
			},
			"production's ConfigMap": func() error {
				_, err := reader.ConfigMaps(production).Get(t.Context(), "shop", meta.GetOptions{})
				return err
			},
			"all of staging's": func() error { _, err := reader.Secrets(staging).List(t.Context(), meta.ListOptions{}); return err },
			"staging's, to change it": func() error {
				return reader.Secrets(staging).Delete(t.Context(), "shop", meta.DeleteOptions{})
			},
			"Helm's own in staging": func() error {
				_, err := reader.Secrets(staging).Get(t.Context(), "sh.helm.release.v1.shop.v1", meta.GetOptions{})
				return err
			},
		} {
			if err := ask(); !apierrors.IsForbidden(err) {
				t.Errorf("%s: got %v, want 403", what, err)
			}
		}
	})
	t.Run("a network policy stands", func(t *testing.T) {
		policy, err := client(t).NetworkingV1().NetworkPolicies(staging).Get(t.Context(), "shop", meta.GetOptions{})
		if err != nil || len(policy.Spec.PolicyTypes) != 2 || len(policy.Spec.Ingress) != 2 {
			t.Fatalf("got %+v, %v", policy, err)
		}
		for i, port := range []int32{8080, 9090} { // the service's, and that of its metrics, which Prometheus alone may read
			rule := policy.Spec.Ingress[i]
			if len(rule.Ports) != 1 || rule.Ports[0].Port.IntVal != port || len(rule.From) != 1 || (rule.From[0].IPBlock != nil) != (port == 8080) {
				t.Errorf("rule %d admits %+v, want port %d from one peer", i, rule, port)
			}
		}
	})
	t.Run("pod security is restricted", func(t *testing.T) {
		yes := true // the sandbox's apiserver knows no privileged containers at all, so that this one asks for less
		pod := func(security *core.SecurityContext) *core.Pod {
			return &core.Pod{ObjectMeta: meta.ObjectMeta{Name: "intruder"}, Spec: core.PodSpec{Containers: []core.Container{{
				Name: "intruder", Image: "sandbox.invalid/pause:1", SecurityContext: security}}}}
		}
		for what, security := range map[string]*core.SecurityContext{"a pod that may gain privileges": {AllowPrivilegeEscalation: &yes}, "a pod that says nothing": nil} {
			_, err := client(t).CoreV1().Pods(production).Create(t.Context(), pod(security), meta.CreateOptions{DryRun: []string{meta.DryRunAll}})
			if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `violates PodSecurity "restricted`) {
				t.Errorf("%s: got %v, want 403 by PodSecurity", what, err)
			}
		}
	})
}

// TestPlatformDryRun hands every object of both environments, and of a release with every feature on, to the apiserver in a
// server-side dry run that knows no field but those of its schemas.
func TestPlatformDryRun(t *testing.T) {
	onNode(t)
	beside(t)
	config := adminConfig(t)
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	found, err := restmapper.GetAPIGroupResources(client(t).Discovery())
	if err != nil {
		t.Fatal(err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(found)
	for namespace, values := range map[string]string{
		"dry-staging":    "terraform/staging/values-staging.yaml",
		"dry-production": "terraform/production/values-production.yaml",
		"dry-everything": "charts/service/tests/everything.yaml",
	} {
		t.Run(namespace, func(t *testing.T) {
			if _, err := client(t).CoreV1().Namespaces().Create(t.Context(), &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: namespace}}, meta.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			checked, unchecked := 0, map[string]bool{}
			for _, object := range rendered(t, namespace, "shop", values) {
				kind := object.GroupVersionKind()
				mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
				if apimeta.IsNoMatchError(err) {
					unchecked[kind.GroupKind().String()] = true
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				text, err := json.Marshal(object)
				if err != nil {
					t.Fatal(err)
				}
				_, err = objects.Resource(mapping.Resource).Namespace(namespace).Patch(t.Context(), object.GetName(), types.ApplyPatchType, text,
					meta.PatchOptions{DryRun: []string{meta.DryRunAll}, FieldManager: "dry-run", FieldValidation: meta.FieldValidationStrict})
				if err != nil {
					t.Errorf("%s %s: %v", kind.Kind, object.GetName(), err)
				}
				checked++
			}
			if checked < 5 {
				t.Errorf("only %d objects were checked", checked)
			}
			t.Logf("%d objects accepted", checked)
			for kind := range unchecked {
				if !strings.Contains(kind, ".") || strings.HasSuffix(kind, ".k8s.io") && !strings.HasSuffix(kind, "gateway.networking.k8s.io") {
					t.Errorf("the apiserver does not know %s, which is Kubernetes' own", kind)
				}
				t.Logf("NOT CHECKED: %s: its CustomResourceDefinition is not on the node", kind)
			}
		})
	}
}

// rendered are the objects of the chart with some values, which are files from the checkout's root on.
func rendered(t *testing.T, namespace, name string, values ...string) (list []*unstructured.Unstructured) {
	t.Helper()
	image, err := release.ParseImage(site.registry + "/" + name + "@sha256:" + strings.Repeat("a", 64))
	if err != nil {
		t.Fatal(err)
	}
	for i := range values {
		values[i] = filepath.Join(site.root, values[i])
	}
	client, err := helm.New(adminConfig(t), namespace, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	rendering, err := client.Render(t.Context(), release.Deployment{Name: name, Namespace: namespace, Environment: release.Environment(namespace), Images: []release.BuiltImage{{Image: image}},
		Chart: filepath.Join(site.root, "charts", "service"), ValuesFiles: values})
	if err != nil {
		t.Fatal(err)
	}
	for documents := yaml.NewYAMLOrJSONDecoder(strings.NewReader(rendering.Manifest), 4096); ; {
		object := new(unstructured.Unstructured)
		if err := documents.Decode(&object.Object); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		if len(object.Object) > 0 {
			list = append(list, object)
		}
	}
}
