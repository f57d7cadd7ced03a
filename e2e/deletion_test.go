package e2e

import (
	"strings"
	"testing"
	"time"

	appbuild "github.com/onedigest/onedigest/internal/app/build"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	kept = `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kept, finalizers: [e2e.onedigest.dev/cleanup]}
data: {word: WORD}`
	keptHook = `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kept, finalizers: [e2e.onedigest.dev/cleanup], annotations: {helm.sh/hook: "pre-install,pre-upgrade"}}
data: {word: WORD}`
)

// TestFinalizersThatDoNotEnd deploys on objects that are being deleted, and that their finalizers keep.
func TestFinalizersThatDoNotEnd(t *testing.T) {
	onNode(t)
	t.Parallel()
	tree, image, _ := newAnySite(t)
	const waits = "is being deleted, is gone: it is kept by its finalizers (e2e.onedigest.dev/cleanup)"
	configMap := func(t *testing.T, namespace, word string) {
		t.Helper()
		found, err := client(t).CoreV1().ConfigMaps(namespace).Get(t.Context(), "kept", meta.GetOptions{})
		if err != nil || found.DeletionTimestamp != nil || found.Data["word"] != word {
			t.Errorf("got %v, %v", found, err)
		}
	}
	remove := func(t *testing.T, namespace string) {
		t.Helper()
		if err := client(t).CoreV1().ConfigMaps(namespace).Delete(t.Context(), "kept", meta.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	release := func(t *testing.T, namespace string) {
		_, err := client(t).CoreV1().ConfigMaps(namespace).Patch(t.Context(), "kept", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), meta.PatchOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	}
	for name, test := range map[string]func(t *testing.T, namespace string){
		// Its controller removes the finalizer in time: the object is made again, also if the release has not changed.
		"kept-for-a-while": func(t *testing.T, namespace string) {
			manifest := web + kept
			tree.deployManifest(t, namespace, image, manifest).expect(t, 0)
			for _, word := range []string{"WORD", "other"} {
				remove(t, namespace)
				time.AfterFunc(8*time.Second, func() { release(t, namespace) })
				tree.deployManifest(t, namespace, image, strings.Replace(manifest, "WORD", word, 1)).expect(t, 0, "waiting until ConfigMap/kept, which "+waits)
				configMap(t, namespace, word)
			}
			// What the chart no longer has is deleted, but not waited for.
			tree.deployManifest(t, namespace, image, web).expect(t, 0, "ConfigMap/kept is no longer part of the release, and is still being deleted: it is kept by its finalizers (e2e.onedigest.dev/cleanup)")
			release(t, namespace)
		},
		"kept-for-ever": func(t *testing.T, namespace string) {
			tree.deployManifest(t, namespace, image, web+kept).expect(t, 0)
			remove(t, namespace)
			tree.deployManifest(t, namespace, image, strings.Replace(web+kept, "WORD", "other", 1), "--timeout", "20s").expect(t, 1, waits, "OD-218", "e2e.onedigest.dev/cleanup")
			release(t, namespace)
			tree.deployManifest(t, namespace, image, strings.Replace(web+kept, "WORD", "other", 1)).expect(t, 0)
			configMap(t, namespace, "other")
			release(t, namespace)
		},
		"kept-hook": func(t *testing.T, namespace string) {
			tree.deployManifest(t, namespace, image, web+keptHook).expect(t, 0)
			next := strings.Replace(web+keptHook, "WORD", "other", 1)
			tree.deployManifest(t, namespace, image, next, "--timeout", "20s").expect(t, 1, "waiting until ConfigMap/kept, which "+waits, "OD-218 ConfigMap/kept")
			release(t, namespace)
			tree.deployManifest(t, namespace, image, next).expect(t, 0)
			release(t, namespace)
		},
		// A person's, of which Helm says only that it exists.
		"kept-before": func(t *testing.T, namespace string) {
			tree.deployManifest(t, namespace, image, web).expect(t, 0)
			object := &core.ConfigMap{ObjectMeta: meta.ObjectMeta{Name: "kept", Finalizers: []string{"e2e.onedigest.dev/cleanup"}}}
			if _, err := client(t).CoreV1().ConfigMaps(namespace).Create(t.Context(), object, meta.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			remove(t, namespace)
			tree.deployManifest(t, namespace, image, web+kept).expect(t, 1, "OD-218 ConfigMap/kept", "e2e.onedigest.dev/cleanup")
			release(t, namespace)
			tree.deployManifest(t, namespace, image, web+kept).expect(t, 0)
			release(t, namespace)
			remove(t, namespace)
			release(t, namespace)
		},
	} {
		t.Run(name, func(t *testing.T) {
			beside(t)
			test(t, name)
		})
	}
}

// TestAnImageOfAnotherArchitecture is refused before anything changes; where the nodes emulate it, a setting says so, and where they do not
// after all, the failure names it in seconds.
func TestAnImageOfAnotherArchitecture(t *testing.T) {
	onNode(t)
	beside(t)
	tree, _, _ := newAnySite(t)
	tree.commit("for another machine")
	image := field(t, tree.verb(t.Context(), appbuild.Command(), "--repository", site.registry+"/worker", "--context", "app", "--builder", "go", "--platforms", "linux/s390x", "--output", "json"), "image")
	deploy := func(args ...string) verbResult {
		tree.write("emulated.yaml", "manifest: |\n    "+strings.ReplaceAll(strings.TrimSpace(web), "\n", "\n    ")+"\n")
		return tree.verb(t.Context(), appdeploy.Command(), append([]string{"--environment", "emulated", "--image", image, "--chart", "charts/any", "--values", "emulated.yaml",
			"--release", "shop", "--create-namespace", "--timeout", "2m", "--lease-duration", "3s"}, args...)...)
	}
	deploy().expect(t, 1, "is for linux/s390x, and every node that can run pods of Deployment/web is linux/", "--allow-emulation")
	began := time.Now()
	deploy("--allow-emulation").expect(t, 1, "deployed anyway, as --allow-emulation allows", "exec format error")
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("named after %s", took)
	}
}
