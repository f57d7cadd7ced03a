package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	appsmoke "github.com/onedigest/onedigest/internal/app/smoke"
	"github.com/onedigest/onedigest/internal/ecr"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
)

// newAnySite is a checkout with the chart that renders what its values hold, and two commits' images.
func newAnySite(t *testing.T) (tree checkout, first, second string) {
	t.Helper()
	tree = newCheckout(t)
	if err := os.CopyFS(filepath.Join(tree.dir, "charts/any"), os.DirFS(filepath.Join(site.root, "e2e/testdata/charts/any"))); err != nil {
		t.Fatal(err)
	}
	tree.commit("a chart that renders anything")
	first = tree.build()
	tree.edit("app/config.go", `"GREETING", "Hello"`, `"GREETING", "Good day"`)
	tree.commit("greet otherwise")
	return tree, first, tree.build()
}

// deployManifest deploys the objects to a namespace.
func (c checkout) deployManifest(t *testing.T, namespace, image, manifest string, args ...string) verbResult {
	t.Helper()
	c.t = t
	indented := "    " + strings.ReplaceAll(strings.TrimSpace(manifest), "\n", "\n    ")
	c.write(namespace+".yaml", "manifest: |\n"+indented+"\n")
	if !slices.Contains(args, "--timeout") {
		args = append(args, "--timeout", "2m")
	}
	return c.verb(t.Context(), appdeploy.Command(), append([]string{"--environment", namespace, "--image", image, "--chart", "charts/any", "--values", namespace + ".yaml",
		"--release", "shop", "--create-namespace", "--lease-duration", "3s"}, args...)...)
}

const (
	web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {{- include "app" . | nindent 6 }}`
	served = `
---
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app.kubernetes.io/instance: shop}}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}`
	redis = `
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: redis, labels: {app.kubernetes.io/instance: shop}}
spec:
  replicas: 1
  serviceName: redis
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis, app.kubernetes.io/instance: shop}}
    spec: {{- include "other" . | nindent 6 }}`
	seed = `
---
apiVersion: batch/v1
kind: Job
metadata: {name: seed}
spec:
  suspend: true
  template:
    metadata: {labels: {app: seed}}
    spec: {{- include "other" . | nindent 6 }}
      restartPolicy: Never`
	ordered = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  replicas: 2
  podManagementPolicy: Parallel
  updateStrategy: STRATEGY
  serviceName: web
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {{- include "app" . | nindent 6 }}`
)

// TestPodsOfARelease deploys releases whose pods are easily mistaken.
func TestPodsOfARelease(t *testing.T) {
	onNode(t)
	t.Parallel()
	tree, first, second := newAnySite(t)
	for name, test := range map[string]func(t *testing.T, namespace string){
		// Another workload has the release's labels, and other images: it is neither compared nor touched by the next commit.
		"beside-others": func(t *testing.T, namespace string) {
			manifest := web + served + redis + seed
			tree.deployManifest(t, namespace, first, manifest).expect(t, 0, "1 pod runs sha256:")
			before := uidOf(t, namespace, "redis-0")
			tree.deployManifest(t, namespace, second, manifest).expect(t, 0, "1 pod runs "+second[strings.Index(second, "@")+1:])
			if after := uidOf(t, namespace, "redis-0"); after != before {
				t.Errorf("the pod redis-0 was replaced, though its image did not change")
			}
			smoked := tree
			smoked.t = t
			smoked.verb(t.Context(), appsmoke.Command(), "--environment", namespace, "--image", second, "--release", "shop", "--timeout", "1m").expect(t, 0, "verdict: pass")
			smoked.verb(t.Context(), appsmoke.Command(), "--environment", namespace, "--image", first, "--release", "shop", "--timeout", "1m").expect(t, 1, "no workload of the release names", "deploy the image first")
		},
		// No label says what belongs to the release.
		"without-labels": func(t *testing.T, namespace string) {
			tree.deployManifest(t, namespace, first, web).expect(t, 0, "1 pod runs sha256:")
		},
		"of-none": func(t *testing.T, namespace string) {
			tree.deployManifest(t, namespace, first, strings.Replace(web, "replicas: 1", "replicas: 0", 1)).expect(t, 0, "Deployment/web wants no pod: it has 0 replicas", "0 pods run", "is not used as a rollback target")
		},
		"null-replicas": func(t *testing.T, namespace string) {
			manifest := strings.Replace(web, "replicas: 1", "replicas: null", 1)
			tree.deployManifest(t, namespace, first, manifest).expect(t, 0, "created: release")
			tree.deployManifest(t, namespace, first, manifest).expect(t, 0, "unchanged: release", "1 pod runs sha256:")
		},
		"partitioned": func(t *testing.T, namespace string) {
			manifest := strings.Replace(ordered, "STRATEGY", "{type: RollingUpdate, rollingUpdate: {partition: 1}}", 1)
			tree.deployManifest(t, namespace, first, manifest).expect(t, 0, "2 pods run sha256:")
			tree.deployManifest(t, namespace, second, manifest).expect(t, 0, `pod "web-0" of StatefulSet/web stays at an older revision: the StatefulSet's partition is 1`, "1 pod runs sha256:")
		},
		"on-delete": func(t *testing.T, namespace string) {
			manifest := strings.Replace(ordered, "STRATEGY", "{type: OnDelete}", 1)
			tree.deployManifest(t, namespace, first, strings.Replace(ordered, "STRATEGY", "{type: RollingUpdate}", 1)).expect(t, 0, "2 pods run sha256:")
			tree.deployManifest(t, namespace, second, manifest).expect(t, 0, `pod "web-1" of StatefulSet/web stays at an older revision`, "is not marked as verified", "0 pods run sha256:")
		},
		// The partition counts from the first ordinal.
		"partitioned-later": func(t *testing.T, namespace string) {
			manifest := strings.NewReplacer("STRATEGY", "{type: RollingUpdate, rollingUpdate: {partition: 1}}", "serviceName: web", "serviceName: web\n  ordinals: {start: 5}").Replace(ordered)
			tree.deployManifest(t, namespace, first, manifest).expect(t, 0, "2 pods run sha256:")
			tree.deployManifest(t, namespace, second, manifest).expect(t, 0, `pod "web-5" of StatefulSet/web stays at an older revision: the StatefulSet's partition is 1`, "1 pod runs sha256:")
		},
		"replica-set": func(t *testing.T, namespace string) {
			manifest := strings.Replace(web, "kind: Deployment", "kind: ReplicaSet", 1)
			tree.deployManifest(t, namespace, first, manifest).expect(t, 0, "1 pod runs sha256:")
			tree.deployManifest(t, namespace, second, manifest).expect(t, 0, "stays at an older revision: a ReplicaSet replaces a pod only when it is deleted", "is not marked as verified", "0 pods run sha256:")
		},
		// Nothing in the status of a ReplicationController or a custom resource says whether the pods are ready.
		"replication-controller": func(t *testing.T, namespace string) {
			manifest := strings.NewReplacer("apiVersion: apps/v1", "apiVersion: v1", "kind: Deployment", "kind: ReplicationController", "{matchLabels: {app: web}}", "{app: web}").Replace(web)
			tree.deployManifest(t, namespace, first, manifest).expect(t, 0, "1 pod runs sha256:")
			tree.deployManifest(t, namespace+"-fails", first, manifest+"\n          env: [{name: LOG_LEVEL, value: loud}]", "--timeout", "40s").
				expect(t, 1, "no pod of ReplicationController/web that runs the image is ready")
		},
		"custom": func(t *testing.T, namespace string) {
			defineFlocks(t)
			go playFlocks(t, namespace)
			manifest := strings.NewReplacer("apiVersion: apps/v1", "apiVersion: e2e.onedigest.dev/v1", "kind: Deployment", "kind: Sheep").Replace(web)
			tree.deployManifest(t, namespace, first, manifest).expect(t, 0, "1 pod runs sha256:")
			go playFlocks(t, namespace+"-fails")
			tree.deployManifest(t, namespace+"-fails", first, manifest+"\n          env: [{name: LOG_LEVEL, value: loud}]", "--timeout", "40s").
				expect(t, 1, "no pod of Sheep/web that runs the image is ready")
			// No field says how many pods there should be, and no status that there will be any.
			uncounted := strings.Replace(manifest, "  replicas: 1\n", "", 1)
			go func() {
				select {
				case <-time.After(8 * time.Second):
					playFlocks(t, namespace+"-late")
				case <-t.Context().Done():
				}
			}()
			tree.deployManifest(t, namespace+"-late", first, uncounted).expect(t, 0, "waiting up to 1 minute for the controller of Sheep/web to create pods", "1 pod runs sha256:")
			tree.deployManifest(t, namespace+"-none", first, uncounted, "--timeout", "40s").expect(t, 0, "Sheep/web: its controller has created no pod in", "0 pods run sha256:", "is not marked as verified")
		},
		// The node knows the image by another index that lists the same child, and reports that one.
		"of-two-indexes": func(t *testing.T, namespace string) {
			one, two := pushIndexes(t, first)
			tree.deployManifest(t, namespace, one, web).expect(t, 0, "1 pod runs sha256:")
			tree.deployManifest(t, namespace, two, web).expect(t, 0, "1 pod runs "+two[strings.Index(two, "@")+1:])
			reported := map[string]bool{}
			for _, image := range []string{one, two, first} {
				reported[image] = true
			}
			pods, err := client(t).CoreV1().Pods(namespace).List(t.Context(), meta.ListOptions{LabelSelector: "app=web"})
			if err != nil {
				t.Fatal(err)
			}
			for _, pod := range pods.Items {
				id := pod.Status.ContainerStatuses[0].ImageID
				t.Logf("deployed %s, the kubelet reports %s", two, id)
				if !reported[id] {
					t.Errorf("the kubelet reports %s", id)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			beside(t)
			test(t, name)
		})
	}
}

var flocks = schema.GroupVersionResource{Group: "e2e.onedigest.dev", Version: "v1", Resource: "sheep"}

// defineFlocks defines a custom kind whose plural no rule makes of its name.
func defineFlocks(t *testing.T) {
	t.Helper()
	name := flocks.Resource + "." + flocks.Group
	definition := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"group": flocks.Group, "scope": "Namespaced", "names": map[string]any{"kind": "Sheep", "plural": "sheep", "singular": "sheep"},
			"versions": []any{map[string]any{"name": flocks.Version, "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}}}
	definitions := dynamicClient(t).Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	if _, err := definitions.Create(t.Context(), definition, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { deleteDefinition(t, name) })
	served := func(ctx context.Context) (bool, error) {
		_, err := dynamicClient(t).Resource(flocks).List(ctx, meta.ListOptions{})
		return err == nil, nil
	}
	if err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, served); err != nil {
		t.Fatal(err)
	}
}

// playFlocks plays the controller of the kind for the first object in a namespace: it creates a pod of the template.
func playFlocks(t *testing.T, namespace string) {
	objects, pods := dynamicClient(t), client(t).CoreV1().Pods(namespace)
	_ = wait.PollUntilContextCancel(t.Context(), 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		list, err := objects.Resource(flocks).Namespace(namespace).List(ctx, meta.ListOptions{})
		if err != nil || len(list.Items) == 0 {
			return false, nil
		}
		of := list.Items[0]
		template, _, _ := unstructured.NestedMap(of.Object, "spec", "template")
		var pod core.Pod
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(template, &pod); err != nil {
			return false, err
		}
		pod.Name, pod.OwnerReferences = "sheep", []meta.OwnerReference{*meta.NewControllerRef(&of, of.GroupVersionKind())}
		_, err = pods.Create(ctx, &pod, meta.CreateOptions{})
		return err == nil, nil
	})
}

func uidOf(t *testing.T, namespace, pod string) string {
	t.Helper()
	found, err := client(t).CoreV1().Pods(namespace).Get(t.Context(), pod, meta.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return string(found.UID)
}

// pushIndexes pushes two indexes that list the image for this node's platform; they differ in another child.
func pushIndexes(t *testing.T, image string) (one, two string) {
	t.Helper()
	cloud, err := ecr.New(t.Context(), ecr.Options{Environ: func(name string) string {
		at := slices.IndexFunc(site.aws, func(pair string) bool { return strings.HasPrefix(pair, name+"=") })
		if at < 0 {
			return ""
		}
		return strings.TrimPrefix(site.aws[at], name+"=")
	}})
	if err != nil {
		t.Fatal(err)
	}
	username, password, _, err := cloud.Credentials(t.Context(), site.registry)
	if err != nil {
		t.Fatal(err)
	}
	options := []remote.Option{remote.WithContext(t.Context()), remote.WithAuth(&authn.Basic{Username: username, Password: password})}
	reference, err := name.NewDigest(image, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	child, err := remote.Image(reference, append(options, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: goruntime.GOARCH}))...)
	if err != nil {
		t.Fatal(err)
	}
	push := func(seed int64) string {
		other, err := random.Image(256+seed, 1)
		if err != nil {
			t.Fatal(err)
		}
		index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
			mutate.IndexAddendum{Add: child, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: goruntime.GOARCH}}},
			mutate.IndexAddendum{Add: other, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}})
		digest, err := index.Digest()
		if err != nil {
			t.Fatal(err)
		}
		pushed := reference.Context().Digest(digest.String())
		if err := remote.WriteIndex(pushed, index, options...); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s/shop@%s", site.registry, digest)
	}
	return push(1), push(2)
}
