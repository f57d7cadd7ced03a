package chart

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// pinner replaces references to a deployment's images by REPOSITORY@DIGEST, in objects and hooks as they are rendered. A reference names an image
// if its repository is the image's or one of its aliases. It replaces every field image, in containers and anywhere else. In other texts
// (environment variables, arguments, ConfigMaps) it replaces references with a tag or a digest if the deployment says so, and reports them if not.
type pinner struct {
	deployment   release.Deployment
	byRepository map[string]int     // repository in full → index of the image
	patterns     []*regexp.Regexp   // of references in texts, one for each image; nil if it can have none
	referenced   map[string]bool    // full repositories that a reference names
	ran          map[string]bool    // those that the release runs, not only a hook of a test or an uninstall
	mounted      map[string]bool    // those that a pod mounts as a volume, whose image no kubelet reports
	idle         bool               // a hook of a test or an uninstall is being pinned
	uses         []release.ImageUse // one for each image
	others       []string           // references of containers that name none of the images
	tags         [][]string         // tags and digests that references in fields had, for each image
	policies     []string           // objects with a resource policy that Helm does not know: "ConfigMap/shop (\"retain\")"
	unpinned     []string           // references that stay as they are: "ConfigMap/shop data.image: REFERENCE"
}

func newPinner(deployment release.Deployment) *pinner {
	p := &pinner{deployment: deployment, byRepository: map[string]int{}, referenced: map[string]bool{}, ran: map[string]bool{}, mounted: map[string]bool{}}
	for i, image := range deployment.Images {
		for _, repository := range image.Repositories() {
			p.byRepository[repository] = i
		}
		p.patterns = append(p.patterns, referencePattern(image.Repositories()))
		p.uses = append(p.uses, release.ImageUse{Name: image.Name})
		p.tags = append(p.tags, nil)
	}
	return p
}

// referencePattern matches, inside a text, a reference with a tag or a digest to one of the repositories. It ignores repositories
// of a single word: "shop:8080" may be a host and its port.
func referencePattern(repositories []string) *regexp.Regexp {
	var forms []string
	for _, repository := range repositories {
		forms = append(forms, regexp.QuoteMeta(repository))
		short, isHub := strings.CutPrefix(repository, "docker.io/")
		if !isHub {
			continue
		}
		forms = append(forms, regexp.QuoteMeta("index.docker.io/"+short), regexp.QuoteMeta("registry-1.docker.io/"+short))
		if word, official := strings.CutPrefix(short, "library/"); official {
			forms = append(forms, regexp.QuoteMeta("docker.io/"+word))
		} else {
			forms = append(forms, regexp.QuoteMeta(short))
		}
	}
	return regexp.MustCompile(`(^|(?:docker|oci)://|[^A-Za-z0-9._/@:-])((?:` + strings.Join(forms, "|") + `)(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127}(?:@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64}))`)
}

// imageOf returns the image that a reference in a field names; false if that is not one of the deployment's images.
func (p *pinner) imageOf(reference string, path []string) (release.BuiltImage, bool) {
	repository, _ := release.SplitReference(strings.TrimSpace(reference))
	i, found := p.byRepository[repository]
	if !found {
		return release.BuiltImage{}, false
	}
	if len(path) > 2 && path[len(path)-3] == "volumes" && path[len(path)-1] == "image" {
		p.referenced[repository], p.mounted[repository] = true, true
	} else {
		p.recordReference(repository)
	}
	return p.deployment.Images[i], true
}

// recordReference records that a reference names a repository.
func (p *pinner) recordReference(repository string) {
	p.referenced[repository], p.ran[repository] = true, p.ran[repository] || !p.idle
}

// pin pins an object, and reports whether it has changed it.
func (p *pinner) pin(object map[string]any) (changed bool) {
	name := manifest.KindAndName(object)
	kind := manifest.GroupKind(object)
	isData := kind == "/ConfigMap" || kind == "/Secret"
	var visit func(value any, path []string) any
	visit = func(value any, path []string) any {
		switch value := value.(type) {
		case map[string]any:
			for key, inner := range value {
				if isObjectMeta(key, path) || len(path) == 0 && (key == "status" || key == "data" && kind == "/Secret") ||
					kind == "apiextensions.k8s.io/CustomResourceDefinition" && (key == "description" || key == "example") {
					continue
				}
				here := append(slices.Clip(path), key)
				reference, isText := inner.(string)
				isReference := key == "image" || key == "reference" && len(path) > 0 && path[len(path)-1] == "image" // of an image volume
				if isText && isReference && !isData {
					if pinned := p.pinField(reference, path); pinned != reference {
						value[key], changed = pinned, true
					}
					continue
				}
				value[key] = visit(inner, here)
			}
		case []any:
			for i, inner := range value {
				value[i] = visit(inner, append(slices.Clip(path), itemStep(inner, i)))
			}
		case string:
			pinned := p.pinText(value, name, path)
			changed = changed || pinned != value
			return pinned
		}
		return value
	}
	visit(object, nil)
	return changed
}

// isObjectMeta reports whether a key is the metadata of an object or of a template of one.
func isObjectMeta(key string, path []string) bool {
	if key != "metadata" {
		return false
	}
	return len(path) == 0 || strings.HasSuffix(strings.ToLower(path[len(path)-1]), "template") || len(path) > 1 && strings.HasSuffix(path[len(path)-2], "Templates")
}

// itemStep returns how messages refer to an item of a list: by its name, or else its index.
func itemStep(item any, index int) string {
	fields, _ := item.(map[string]any)
	if name, _ := fields["name"].(string); name != "" {
		return name
	}
	return strconv.Itoa(index)
}

// pinField returns the new value of a field image.
func (p *pinner) pinField(reference string, path []string) string {
	image, found := p.imageOf(reference, path)
	if !found {
		if isContainerList(path) && !slices.Contains(p.others, reference) {
			p.others = append(p.others, reference)
		}
		return reference
	}
	repository, tag := release.SplitReference(strings.TrimSpace(reference))
	if at := p.byRepository[repository]; !slices.Contains(p.tags[at], tag) && !strings.HasSuffix(tag, image.Image.Digest.String()) {
		p.tags[at] = append(p.tags[at], tag)
	}
	return image.Image.String()
}

// warnings lists the images whose references have several tags: the chart may mean several images of one repository.
func (p *pinner) warnings() (warnings []string) {
	for i, tags := range p.tags {
		if len(tags) > 1 {
			warnings = append(warnings, fmt.Sprintf("the chart names %s with different tags (%s), and all of these references are pinned to the one digest", p.deployment.Images[i].Image.Repository, list(tags)))
		}
	}
	if len(p.policies) > 0 {
		warnings = append(warnings, fmt.Sprintf("Helm knows no helm.sh/resource-policy but keep: an uninstall leaves %s, and a later chart without it has it deleted; write keep, or remove the annotation", strings.Join(p.policies, ", ")))
	}
	return warnings
}

// maxPolicies is how many objects with an unknown resource policy are named.
const maxPolicies = 5

// notePolicy notes a resource policy that Helm does not know.
func (p *pinner) notePolicy(object map[string]any) {
	annotations, _, _ := unstructured.NestedStringMap(object, "metadata", "annotations")
	if value, found := manifest.UnknownPolicy(annotations); found && len(p.policies) < maxPolicies {
		p.policies = append(p.policies, fmt.Sprintf("%s (%q)", text.Line(manifest.ObjectID(object, p.deployment.Namespace).String(), maxReference), text.Line(value, maxReference)))
	}
}

// isContainerList reports whether a path is that of an item in a list of containers.
func isContainerList(path []string) bool {
	return len(path) > 1 && slices.Contains(manifest.ContainerLists, path[len(path)-2])
}

// pinText returns a text with its references pinned if the deployment says so, and notes those that are not.
func (p *pinner) pinText(value, object string, path []string) string {
	for i, pattern := range p.patterns {
		image := p.deployment.Images[i].Image.String()
		value = pattern.ReplaceAllStringFunc(value, func(match string) string {
			parts := pattern.FindStringSubmatch(match)
			before, reference := parts[1], parts[2]
			repository, rest := release.SplitReference(reference)
			switch {
			case strings.Contains(rest, "@"): // a digest is a pin, also of another image
			case p.deployment.PinText:
				p.recordReference(repository)
				return before + image
			default:
				p.unpinned = append(p.unpinned, fmt.Sprintf("%s %s: %s", object, manifest.DottedPath(path), text.Line(reference, maxReference)))
			}
			return match
		})
	}
	return value
}

// noteWorkload notes which images an object runs in its pods.
func (p *pinner) noteWorkload(object map[string]any) {
	images := manifest.Images(object)
	loose := release.LooseContainers(object)
	for i, image := range p.deployment.Images {
		if slices.ContainsFunc(loose, func(container map[string]any) bool { return container["image"] == image.Image.String() }) {
			p.uses[i].Loose = append(p.uses[i].Loose, manifest.ObjectID(object, p.deployment.Namespace))
		}
		if slices.Contains(images, image.Image.String()) {
			p.uses[i].Workloads = append(p.uses[i].Workloads, manifest.ObjectID(object, p.deployment.Namespace))
		}
	}
}

// pinHooks pins the manifests of hooks. A hook without a reference to an image is not changed.
func (p *pinner) pinHooks(hooks []*helmrelease.Hook) error {
	for _, hook := range hooks {
		objects, err := manifest.Parse(hook.Manifest)
		if err != nil {
			return release.BadSetting(settingChart, fmt.Sprintf("hook %q is not an object: %s", hook.Path, text.Line(err.Error(), text.NoLimit)), "fix the chart")
		}
		changed := false
		p.idle = !isDeployed(hook)
		for _, object := range objects {
			changed = p.pin(object) || changed
		}
		p.idle = false
		if !changed {
			continue
		}
		pinned, err := manifest.Format(objects)
		if err != nil {
			return err
		}
		hook.Manifest = strings.TrimPrefix(pinned.String(), "---\n")
	}
	return nil
}

// isDeployed reports whether an install, an upgrade or a rollback runs a hook.
func isDeployed(hook *helmrelease.Hook) bool {
	return slices.ContainsFunc(hook.Events, func(event helmrelease.HookEvent) bool {
		return event != helmrelease.HookTest && event != helmrelease.HookPreDelete && event != helmrelease.HookPostDelete
	})
}

// Limits of what a message lists.
const (
	maxReference = 300 // bytes of a reference
	maxListed    = 10  // references
)

// checkUnpinned refuses references to the images that were not pinned.
func (p *pinner) checkUnpinned() error {
	if len(p.unpinned) == 0 {
		return nil
	}
	return release.BadSetting(settingChart, "references to a built image that are not pinned: "+list(p.unpinned), "give --pin-text to pin them too, or set them in the values")
}

// checkUsed refuses an image that nothing would run, and an alias by which the chart names nothing; replaced are the repositories that the values
// had where they got an image.
func (p *pinner) checkUsed(replaced map[string]bool) error {
	var problems []release.Problem
	for _, image := range p.deployment.Images {
		has := func(repositories map[string]bool) bool {
			return slices.ContainsFunc(image.Repositories(), func(repository string) bool { return repositories[repository] })
		}
		switch {
		case has(p.ran):
		case has(p.mounted):
			problems = append(problems, release.Problem{Setting: settingChart, What: fmt.Sprintf("pods only mount %q, as a volume: no kubelet reports which image that is, so that nothing would prove it", image.Image),
				Do: "run it in a container, or omit the image and write its digest in the values"})
			continue
		default:
			problems = append(problems, p.notRun(image))
			continue
		}
		for _, alias := range image.Aliases {
			if !p.referenced[alias] && !replaced[alias] {
				problems = append(problems, release.Problem{Setting: settingImageAlias, What: fmt.Sprintf("%s: the chart names no image of this repository; its containers run %s", alias, list(p.found())),
					Do: "omit it, or correct it"})
			}
		}
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// notRun returns the problem of an image that nothing would run, and how to fix it.
func (p *pinner) notRun(image release.BuiltImage) release.Problem {
	prefix := ""
	if image.Name != "" {
		prefix = image.Name + "="
	}
	problem := release.Problem{Setting: settingChart, What: fmt.Sprintf("no container would run %q; the containers run %s", image.Image, list(p.found()))}
	candidates := p.candidates(image)
	switch {
	case len(p.found()) == 0:
		problem.What, problem.Do = fmt.Sprintf("no container would run %q, nor any other image", image.Image), "name a chart that runs the image, or set what switches its workload on"
	case len(candidates) == 0:
		problem.Do = "name the value from which the chart builds the image: --image-values " + prefix + "PATH"
	default:
		var flags []string
		for _, repository := range candidates[:min(len(candidates), maxListed)] {
			flags = append(flags, fmt.Sprintf("--image-alias %s%s", prefix, repository))
		}
		problem.Do = "say which of these is the built image: " + strings.Join(flags, " or ")
		if len(flags) == 1 {
			problem.Do = "if that is the built image, give " + flags[0]
		}
	}
	return problem
}

// found lists the references of containers, those of the images included.
func (p *pinner) found() []string {
	found := slices.Clone(p.others)
	for i, use := range p.uses {
		if len(use.Workloads) > 0 {
			found = append(found, p.deployment.Images[i].Image.String())
		}
	}
	return found
}

// candidates lists the repositories that containers run and that none of the images has, those first that end in the image's name.
func (p *pinner) candidates(image release.BuiltImage) []string {
	var same, others []string
	for _, reference := range p.others {
		repository, _ := release.SplitReference(reference)
		if _, err := release.ParseAlias(repository); err != nil || slices.Contains(same, repository) || slices.Contains(others, repository) {
			continue
		}
		if lastStep(repository) == lastStep(image.Image.Repository.String()) {
			same = append(same, repository)
		} else {
			others = append(others, repository)
		}
	}
	if len(same) > 0 {
		return same
	}
	return others
}

func lastStep(repository string) string { return repository[strings.LastIndexByte(repository, '/')+1:] }

// list quotes references for a message, the first maxListed of them.
func list(references []string) string {
	quoted := make([]string, 0, maxListed)
	for _, reference := range references[:min(len(references), maxListed)] {
		quoted = append(quoted, strconv.Quote(text.Line(reference, maxReference)))
	}
	listed := strings.Join(quoted, ", ")
	if more := len(references) - maxListed; more > 0 {
		listed += fmt.Sprintf(" and %d more", more)
	}
	return listed
}
