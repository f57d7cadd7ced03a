package helm

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ForwardOnly is the annotation of a hook whose work cannot be undone by running an older release: with the value "true", a
// migration that the code before does not understand.
const ForwardOnly = "onedigest.dev/forward-only"

// WayBack finds the revision that a rollback would go back to, the last verified one, and what is against it once the
// deployment is there: no such revision, a field that differs and cannot be changed, a kind that the cluster serves no more, a
// hook of the deployment that goes one way only. Whether its image is still there is for the registry to say.
//
// The errors are those of Check, and a *release.Fault where the cluster does not answer.
func (c *Client) RollbackTarget(ctx context.Context, deployment release.Deployment) (release.RollbackTarget, error) {
	read, err := c.prepared.get(deployment, false)
	if err != nil {
		return release.RollbackTarget{}, err
	}
	c.runs.remember(deployment)
	s, err := c.open(ctx)
	if err != nil {
		return release.RollbackTarget{}, err
	}
	defer s.end()
	base, err := s.footing(ctx, deployment.Name)
	if err != nil {
		return release.RollbackTarget{}, err
	}
	at := slices.IndexFunc(base.heads, func(h head) bool { return h.verified() && !busy(h.status) && h.status != helmrelease.StatusUninstalled })
	if at < 0 {
		return release.RollbackTarget{Obstacles: []string{fmt.Sprintf("no revision of release %q in namespace %q has been verified yet", deployment.Name, c.namespace)}}, nil
	}
	target, err := s.revisionOf(ctx, deployment.Name, base.heads[at].revision, base.last().Version)
	if err != nil {
		return release.RollbackTarget{}, err
	}
	found := revision(target, base.heads[at])
	way := release.RollbackTarget{Revision: found.Number, Commit: found.Commit, Digest: found.Digest}
	objects, err := objectsOf(target.Manifest)
	if err != nil {
		return way, err
	}
	way.Image = imageOf(objects, way.Digest)
	next, err := s.draft(deployment, read, base)
	if err != nil {
		return way, sorted(ctx, err, "rendering release %q", deployment.Name)
	}
	way.Obstacles, err = s.obstacles(target, objects, next)
	return way, err
}

// imageOf is the image of a digest that the objects run, zero if none does.
func imageOf(objects []map[string]any, digest release.Digest) release.Image {
	for _, run := range images(objects) {
		if image, err := release.ParseImage(run); err == nil && image.Digest == digest && digest != (release.Digest{}) {
			return image
		}
	}
	return release.Image{}
}

// obstacles are what is against going back from a draft to a revision.
func (s *session) obstacles(target *helmrelease.Release, objects []map[string]any, next *draft) (list []string, err error) {
	coming, err := objectsOf(next.manifest)
	if err != nil {
		return nil, err
	}
	for _, object := range objects {
		u := unstructured.Unstructured{Object: object}
		kind := u.GroupVersionKind()
		if _, err := s.known.Load().mapper.RESTMapping(kind.GroupKind(), kind.Version); meta.IsNoMatchError(err) {
			list = append(list, fmt.Sprintf("%s: the cluster serves no %s %s any more, and revision %d has one", nameOf(&u), u.GetAPIVersion(), u.GetKind(), target.Version))
		}
	}
	for _, pair := range pairs(objects, coming, s.namespace) {
		fields := slices.Concat(unchangeable(pair[0], pair[1]), unchangeable(pair[1], pair[0]))
		slices.Sort(fields)
		for _, field := range slices.Compact(fields) {
			list = append(list, fmt.Sprintf("%s: %s cannot be changed, and revision %d has another", nameOf(&unstructured.Unstructured{Object: pair[0]}), field, target.Version))
		}
	}
	for _, hook := range slices.Concat(next.runs(true), next.runs(false)) {
		object, err := objectOf([]byte(hook.Manifest))
		if err != nil {
			continue // rendering has read it
		}
		u := unstructured.Unstructured{Object: object}
		ran := slices.ContainsFunc(target.Hooks, func(old *helmrelease.Hook) bool {
			return old.Path == hook.Path && strings.TrimSpace(old.Manifest) == strings.TrimSpace(hook.Manifest)
		})
		if u.GetAnnotations()[ForwardOnly] == "true" && !ran {
			list = append(list, fmt.Sprintf("%s: the hook goes one way only (%s)", nameOf(&u), ForwardOnly))
		}
	}
	return list, nil
}
