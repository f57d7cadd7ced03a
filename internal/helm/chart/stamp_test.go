package chart

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// workloads are objects of a release of which some run the image.
const workloads = `
apiVersion: v1
kind: ConfigMap
metadata: {name: config}
data: {image: IMAGE}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: app, image: IMAGE}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: first-init}
spec: {template: {spec: {initContainers: [{name: migrate, image: IMAGE}], containers: [{name: proxy, image: "proxy:1"}]}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec: {template: {spec: {containers: [{name: postgres, image: "postgres:16"}]}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: seed}
spec: {template: {spec: {containers: [{name: seed, image: "postgres:16"}]}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec: {template: {spec: {containers: [{name: app, image: IMAGE}]}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: backup}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: backup, image: "postgres:16"}]}}}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec: {jobTemplate: {spec: {template: {spec: {restartPolicy: OnFailure, containers: [{name: app, image: IMAGE}]}}}}}
---
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: canary}
spec: {template: {spec: {containers: [{name: app, image: IMAGE}]}}}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledJob
metadata: {name: queue}
spec: {jobTargetRef: {template: {spec: {restartPolicy: Never, containers: [{name: app, image: IMAGE}]}}}}
---
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata: {name: train}
spec: {replicatedJobs: [{name: a, template: {spec: {template: {spec: {containers: [{name: app, image: IMAGE}]}}}}}]}
---
apiVersion: example.com/v1
kind: Schedule
metadata: {name: hourly}
spec: {jobTemplate: {template: {spec: {containers: [{name: app, image: IMAGE}]}}}}
---
apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata: {name: torch}
spec: {pytorchReplicaSpecs: {Worker: {restartPolicy: OnFailure, template: {spec: {containers: [{name: pytorch, image: IMAGE}]}}}}}
---
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: serve}
spec: {leaderWorkerTemplate: {workerTemplate: {spec: {restartPolicy: Always, containers: [{name: app, image: IMAGE}]}}}}
---
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: rays}
spec: {workerGroupSpecs: [{groupName: a, template: {spec: {containers: [{name: ray-worker, image: IMAGE}]}}}]}
---
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata: {name: sealed}
spec: {template: {metadata: {name: sealed}, type: Opaque}}
`

// TestStampTouchesOnlyWhatRunsTheImage: what runs something else is the same at every commit, and so is a Job's template.
func TestStampTouchesOnlyWhatRunsTheImage(t *testing.T) {
	t.Parallel()
	image, err := release.ParseImage("registry.example.com/shop@sha256:" + strings.Repeat("a", 64))
	if err != nil {
		t.Fatal(err)
	}
	commit := release.Commit(strings.Repeat("1", 40))
	deployment := release.Deployment{Name: "shop", Environment: "staging", Images: []release.BuiltImage{{Image: image, Commit: commit}}, Commit: commit, RunURL: "https://example.com/1", Actor: "octocat"}
	rendered := strings.ReplaceAll(workloads, "IMAGE", image.String())
	stamped := func(d release.Deployment) map[string]map[string]any {
		text, err := PostRenderer{d}.Run(bytes.NewBufferString(rendered))
		if err != nil {
			t.Fatal(err)
		}
		objects, err := manifest.Parse(text.String())
		if err != nil {
			t.Fatal(err)
		}
		byName := map[string]map[string]any{}
		for _, object := range objects {
			byName[manifest.KindAndName(object)] = object
		}
		return byName
	}
	type marks struct{ Own, Pods bool }
	got := map[string]marks{}
	first := stamped(deployment)
	for name, object := range first {
		var m marks
		_, m.Own, _ = unstructured.NestedString(object, "metadata", "labels", release.LabelCommit)
		for _, template := range release.PodTemplates(object) {
			_, labelled, _ := unstructured.NestedString(template, "metadata", "labels", release.LabelCommit)
			_, annotated, _ := unstructured.NestedString(template, "metadata", "annotations", release.AnnotationDigest)
			m.Pods = m.Pods || labelled && annotated
		}
		got[name] = m
	}
	want := map[string]marks{
		"ConfigMap/config": {}, "StatefulSet/db": {}, "Job/seed": {}, "CronJob/backup": {}, "Job/migrate": {Own: true},
		"Deployment/web": {true, true}, "Deployment/first-init": {true, true}, "CronJob/nightly": {true, true}, "Rollout/canary": {true, true}, "ScaledJob/queue": {Own: true},
		"JobSet/train": {Own: true}, "Schedule/hourly": {Own: true}, "PyTorchJob/torch": {Own: true}, "LeaderWorkerSet/serve": {true, true}, "RayCluster/rays": {true, true}, "SealedSecret/sealed": {},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	// An image that names no commit: the commit that somebody says it has is not on its pods, which another commit would replace.
	unlabelled := deployment
	unlabelled.Images = []release.BuiltImage{{Image: image}}
	before := stamped(unlabelled)
	unlabelled.Commit = release.Commit(strings.Repeat("2", 40))
	for name, object := range stamped(unlabelled) {
		if diff := cmp.Diff(before[name]["spec"], object["spec"]); diff != "" {
			t.Errorf("another commit of the same image changes the spec of %s:\n%s", name, diff)
		}
		if want[name].Own && cmp.Equal(before[name], object) {
			t.Errorf("another commit of the same image is not told on %s", name)
		}
	}
}

// TestObjectsWithoutANameOfTheirOwnAreRefused: Helm could not find them again, or would apply one over the other.
func TestObjectsWithoutANameOfTheirOwnAreRefused(t *testing.T) {
	t.Parallel()
	for rendered, want := range map[string]string{
		"apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: seed-}": `a Job has no name, only the generateName "seed-"`,
		"apiVersion: v1\nkind: ConfigMap":                                  "a ConfigMap has no name",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: seed}":          "",
	} {
		_, err := PostRenderer{release.Deployment{}}.Run(bytes.NewBufferString(rendered))
		if want == "" && err != nil || want != "" && (release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", rendered, err, want)
		}
	}
}
