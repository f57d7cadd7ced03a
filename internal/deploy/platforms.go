package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// checkPlatforms refuses images that fit none of the nodes to which a workload's pods may be scheduled. It refuses nothing that
// is unknown: a registry may not say what an image was built for, and nodes may be unreadable or added later by an autoscaler. A node that
// emulates another architecture (binfmt_misc) reports only its own, so --allow-emulation has to be given.
func (r request) checkPlatforms(ctx context.Context, templates []release.PodTemplate) error {
	var problems []string
	for _, image := range r.deployment.Images {
		running := slices.DeleteFunc(slices.Clone(templates), func(t release.PodTemplate) bool {
			return !slices.ContainsFunc(t.Images, func(name string) bool { return strings.HasSuffix(name, "@"+image.Image.Digest.String()) })
		})
		problem, err := r.checkPlatform(ctx, image.Image, running)
		if err != nil {
			return err
		}
		if problem != "" {
			problems = append(problems, problem)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return &release.Refusal{Why: strings.Join(problems, "; "),
		Do: "build for the nodes' platform too (build --platforms), select nodes of the image's (kubernetes.io/arch), or give --allow-emulation if the nodes emulate it"}
}

// checkPlatform says why no node can run an image; "" if one can, or if that is unknown.
func (r request) checkPlatform(ctx context.Context, image release.Image, templates []release.PodTemplate) (problem string, err error) {
	if len(templates) == 0 {
		return "", nil
	}
	children, found, err := r.Registry.Platforms(ctx, image)
	switch {
	case err != nil || !found:
		return "", err
	case len(children) == 0:
		return fmt.Sprintf("no node can run %q: its repository has no image of it", image), nil
	}
	platforms := make([]release.Platform, len(children))
	for i, child := range children {
		if platforms[i] = child.Platform; platforms[i] == (release.Platform{}) {
			return "", nil
		}
	}
	unrunnable, err := r.Cluster.UnrunnableTemplates(ctx, templates, platforms)
	if err != nil || len(unrunnable) == 0 {
		return "", err
	}
	lines := make([]string, len(unrunnable))
	for i, template := range unrunnable {
		lines[i] = fmt.Sprintf("every node that can run pods of %s is %s", template.Object, joinPlatforms(template.Nodes))
	}
	problem = fmt.Sprintf("image %q is for %s, and %s", image, joinPlatforms(platforms), strings.Join(lines, "; "))
	switch isIndex := len(children) > 1 || children[0].Manifest != image.Digest; {
	case !r.settings.AllowEmulation:
		return problem, nil
	case isIndex:
		return problem + "; it is an index, of which a node pulls only an image of its own platform", nil
	}
	r.Reporter.Warnf("%s: deployed anyway, as --allow-emulation allows", problem)
	return "", nil
}

func joinPlatforms(platforms []release.Platform) string {
	names := make([]string, len(platforms))
	for i, platform := range platforms {
		names[i] = platform.String()
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}
