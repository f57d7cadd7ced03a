package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/objects"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"k8s.io/cli-runtime/pkg/resource"
)

// Impossible returns what the cluster would refuse of an install or an upgrade because a field cannot be changed, one line for each object and field, and changes
// nothing. It sends requests only for objects that have such a field in another version than the release's, for claims of another size, for custom resources whose spec is another
// one, and for objects of such kinds that no revision has, which Helm adopts if the cluster has them as the release's: a dry run of the patch that Helm would send. What the cluster does not answer, or may not be asked, the upgrade itself finds out, and so it does with an
// object that may be gone when it is applied (replacement).
//
// Of the request it uses Deployment, Rendered, State and Release.
func Impossible(request Request) ([]string, error) {
	rendered, objectsOf, earlier := request.Rendered, request.Release, ""
	if newest := request.State.Newest(); newest != nil && newest.Info.Status != helmrelease.StatusUninstalled {
		earlier = newest.Manifest
	}
	target, err := manifest.Parse(rendered.Manifest)
	if err != nil {
		return nil, err
	}
	isSuspect := func(before, object map[string]any) bool {
		redefined := request.Deployment.ApplyCRDs // which may allow the change
		return len(immutableChanges(before, object)) > 0 || isResized(before, object) || isCustom(object) && !redefined && !manifest.Equal(before["spec"], object["spec"])
	}
	suspects, err := suspectsOf(target, append(request.State.AppliedManifests(), earlier), objectsOf.TargetNamespace, isSuspect)
	if err != nil || len(suspects) == 0 {
		return nil, err
	}
	text, err := manifest.Format(suspects)
	if err != nil {
		return nil, err
	}
	list, err := objectsOf.BuildServed(text.String())
	if err != nil {
		return nil, err
	}
	original, err := objectsOf.BuildServed(earlier)
	if err != nil {
		return nil, err
	}
	applied, err := objectsOf.AppliedRevisions()
	if err != nil {
		return nil, err
	}
	base := objects.MergeBase(original, list, applied)
	replaced := newReplacement(rendered, target, objectsOf)
	found := make([][]string, len(list))
	err = objects.Each(len(list), func(i int) (err error) {
		found[i], err = refusedChange(objectsOf, list[i], base.Get(list[i]), replaced)
		return err
	})
	return slices.Concat(found...), err
}

// suspectsOf returns the objects whose change from what any of the earlier manifests has of them is suspect, and those that none of them has and that are of a kind with fields
// which cannot be changed.
func suspectsOf(target []map[string]any, manifests []string, namespace string, isSuspect func(before, object map[string]any) bool) (suspects []map[string]any, err error) {
	earlier := map[string][]map[string]any{}
	for _, text := range manifests {
		list, err := manifest.Parse(text)
		if err != nil {
			return nil, err
		}
		for _, object := range list {
			key := manifest.Key(object, namespace)
			earlier[key] = append(earlier[key], object)
		}
	}
	for _, object := range target {
		versions := earlier[manifest.Key(object, namespace)]
		if len(versions) == 0 && mayBeImmutable(object) || slices.ContainsFunc(versions, func(before map[string]any) bool { return isSuspect(before, object) }) {
			suspects = append(suspects, object)
		}
	}
	return suspects, nil
}

// isResized reports whether the size of a claim changes, which its class may not allow.
func isResized(before, object map[string]any) bool {
	const size = "spec.resources.requests.storage"
	return manifest.GroupKind(object) == "/PersistentVolumeClaim" && !manifest.Equal(manifest.ValueAt(before, size, ""), manifest.ValueAt(object, size, ""))
}

// isCustom reports whether an object is of no group of Kubernetes itself, so that its CRD may say which fields cannot be changed.
func isCustom(object map[string]any) bool {
	group, _, _ := strings.Cut(manifest.GroupKind(object), "/")
	return strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io")
}

// refusedChange asks the cluster whether it takes the change of an object. base is what was applied last; nil if nothing was: the object is adopted then if it is the release's, and Helm
// refuses it before it changes anything if it is not.
func refusedChange(objectsOf *objects.Release, info, base *resource.Info, replaced replacement) ([]string, error) {
	if err := objectsOf.AddOwner(info); err != nil {
		return nil, err
	}
	current, err := objects.Get(info)
	if err != nil || replaced.of(current, time.Now()) != "" {
		return nil, nil //nolint:nilerr // the upgrade finds out whether it can be read
	}
	if base == nil && !objectsOf.Owns(current) {
		return nil, nil
	}
	if base == nil {
		base = info
	}
	_, err = dryRunPatch(base, info, current)
	if err == nil || failure.IsTransient(err) || !failure.IsImmutable(err) {
		return nil, nil
	}
	fields := unchangeable(info, base)
	if len(fields) == 0 && replaced.rulesChangedBy(current) != "" {
		return nil, nil
	}
	var problems []string
	for _, field := range fields {
		problems = append(problems, fmt.Sprintf("%s: %s: cannot be changed", objects.ID(info), field))
	}
	if len(problems) == 0 {
		problems = []string{fmt.Sprintf("%s: %s", objects.ID(info), failure.Sanitize(err.Error()))}
	}
	return problems, nil
}
