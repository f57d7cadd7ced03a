package chart

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// PostRenderer pins what is rendered to the deployment's images (pinner), and then labels and annotates what runs them, and nothing else: the
// objects themselves with the release, the commit, environment and main digest, the run and the actor; their pod templates only with
// what changes no more often than the image that they run, because anything else would replace pods for nothing. The template of a Job, or
// of a custom resource whose pods run to their end, gets nothing. A Service that selects such pods is labelled with the release. Hooks are pinned and not labelled: Helm 3 does
// not pass them to a post-renderer, so that PinHooks does it.
type PostRenderer struct{ Deployment release.Deployment }

// Run implements Helm's PostRenderer. It refuses a reference to an image that stays unpinned, with an *release.InputError.
func (r PostRenderer) Run(rendered *bytes.Buffer) (*bytes.Buffer, error) {
	pinner := newPinner(r.Deployment)
	pinned, err := r.run(rendered, pinner)
	if err != nil {
		return nil, err
	}
	return pinned, pinner.checkUnpinned()
}

// PinHooks pins the manifests of hooks, in place. The errors are those of Run.
func (r PostRenderer) PinHooks(hooks []*helmrelease.Hook) error {
	pinner := newPinner(r.Deployment)
	if err := pinner.pinHooks(hooks); err != nil {
		return err
	}
	return pinner.checkUnpinned()
}

// run pins the rendered objects' references to the built images, and labels and annotates the objects that run one and their Services.
func (r PostRenderer) run(rendered *bytes.Buffer, pinner *pinner) (*bytes.Buffer, error) {
	objects, err := manifest.Parse(rendered.String())
	if err != nil {
		return nil, err
	}
	if err := r.checkNames(objects); err != nil {
		return nil, err
	}
	var pods []podLabels
	for _, object := range objects {
		pinner.pin(object)
		pinner.noteWorkload(object)
		pinner.notePolicy(object)
		r.stamp(object)
		pods = append(pods, r.podsOf(object)...)
	}
	for _, object := range objects {
		if manifest.GroupKind(object) == "/Service" && r.selects(object, pods) {
			manifest.SetStrings(object, map[string]string{release.LabelRelease: r.Deployment.Name}, "metadata", "labels")
		}
	}
	return manifest.Format(objects)
}

// checkNames refuses objects without a name, because Helm finds an object again by its name, and an object that is rendered twice and differently, because
// one of the two would be applied over the other.
func (r PostRenderer) checkNames(objects []map[string]any) error {
	var problems []release.Problem
	seen := map[string]map[string]any{}
	for _, object := range objects {
		kind, _ := object["kind"].(string)
		switch name := manifest.ObjectID(object, r.Deployment.Namespace); {
		case kind == "":
		case name.Name == "":
			what := fmt.Sprintf("a %s has no name", text.Line(kind, 80))
			if prefix := manifest.ValueAt(object, "metadata.generateName", ""); prefix != "" {
				what += fmt.Sprintf(", only the generateName %q", text.Line(fmt.Sprint(prefix), 80))
			}
			problems = append(problems, release.Problem{Setting: settingChart, What: what, Do: "give it a metadata.name; a Job's may end in {{ .Release.Revision }}"})
		default:
			key := manifest.GroupKind(object) + " " + name.Namespace + "/" + name.Name
			if before, found := seen[key]; found && !reflect.DeepEqual(before, object) {
				problems = append(problems, release.Problem{Setting: settingChart, What: fmt.Sprintf("%s in namespace %q is rendered twice, and differently", name, name.Namespace),
					Do: "give the two objects different names, or omit one"})
			}
			seen[key] = object
		}
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// podLabels are the labels of pods that run one of the images.
type podLabels struct {
	namespace string
	labels    map[string]string
}

// stamp labels and annotates an object that runs one of the images, and its pod templates.
func (r PostRenderer) stamp(object map[string]any) {
	if r.imageIn(manifest.Images(object)) == nil {
		return
	}
	manifest.SetStrings(object, r.labels(r.Deployment.Commit), "metadata", "labels")
	manifest.SetStrings(object, r.annotations(), "metadata", "annotations")
	for _, template := range stampedTemplates(object) {
		if image := r.imageIn(manifest.PodImages(manifest.PodSpec(template))); image != nil {
			manifest.SetStrings(template, r.labels(image.Commit), "metadata", "labels")
			manifest.SetStrings(template, map[string]string{release.AnnotationDigest: image.Image.Digest.String()}, "metadata", "annotations")
		}
	}
}

// stampedTemplates returns the pod templates of an object that are labelled: those of a CronJob, and those of long-running pods. The template of a Job or
// of what makes Jobs cannot be changed, as in a JobSet, or a change of it ends pods that run, as in a ScaledJob.
// Source: jobset.sigs.k8s.io, "JobSet API", spec.replicatedJobs; keda.sh, "Scaling Jobs", rollout.strategy.
func stampedTemplates(object map[string]any) []map[string]any {
	switch manifest.GroupKind(object) {
	case "batch/Job":
		return nil
	case "batch/CronJob":
		return release.PodTemplates(object)
	}
	return longRunningTemplates(object["spec"])
}

// longRunningTemplates returns the pod templates within a value, in order, without those within another template and those of pods that run to completion. A kind
// may give the restart policy beside the template.
func longRunningTemplates(value any) (templates []map[string]any) {
	switch value := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			kind := strings.ToLower(key)
			inner, _ := value[key].(map[string]any)
			spec, hasSpec := inner["spec"].(map[string]any)
			switch {
			case kind == "jobtemplate":
			case !hasSpec || !strings.HasSuffix(kind, "template"):
				templates = append(templates, longRunningTemplates(value[key])...)
			case !runsToEnd(spec) && !runsToEnd(value):
				if _, hasContainers := spec["containers"].([]any); hasContainers {
					templates = append(templates, inner)
				}
			}
		}
	case []any:
		for _, inner := range value {
			templates = append(templates, longRunningTemplates(inner)...)
		}
	}
	return templates
}

// runsToEnd reports whether a restart policy says that pods end.
func runsToEnd(spec map[string]any) bool {
	return spec["restartPolicy"] == "Never" || spec["restartPolicy"] == "OnFailure"
}

// imageIn returns the first of the deployment's images that is among the references, nil if none is.
func (r PostRenderer) imageIn(references []string) *release.BuiltImage {
	for i := range r.Deployment.Images {
		if slices.Contains(references, r.Deployment.Images[i].Image.String()) {
			return &r.Deployment.Images[i]
		}
	}
	return nil
}

// selects reports whether a Service selects some of the pods.
func (r PostRenderer) selects(service map[string]any, pods []podLabels) bool {
	selector := labelsAt(service, "spec", "selector")
	namespace := manifest.ObjectID(service, r.Deployment.Namespace).Namespace
	return len(selector) > 0 && slices.ContainsFunc(pods, func(pod podLabels) bool {
		for name, value := range selector {
			if own, has := pod.labels[name]; !has || own != value {
				return false
			}
		}
		return pod.namespace == namespace
	})
}

func labelsAt(object map[string]any, path ...string) map[string]string {
	labels, _, _ := unstructured.NestedStringMap(object, path...)
	return labels
}

func (r PostRenderer) labels(commit release.Commit) map[string]string {
	return map[string]string{release.LabelRelease: r.Deployment.Name, release.LabelCommit: commit.String(), release.LabelEnvironment: r.Deployment.Environment.String()}
}

func (r PostRenderer) annotations() map[string]string {
	return map[string]string{
		release.AnnotationDigest: r.Deployment.Main().Image.Digest.String(),
		release.AnnotationRun:    r.Deployment.RunURL,
		release.AnnotationActor:  r.Deployment.Actor,
	}
}
