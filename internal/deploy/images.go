package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// ParseValuesPath accepts the dotted path of a chart's value.
func ParseValuesPath(text string) (string, error) {
	if _, err := release.ParseAssignment(text + "="); err != nil {
		return "", fmt.Errorf("%q is not a path of the chart's values, such as web.image", text)
	}
	return text, nil
}

// declareImages declares the settings for a release's images: which they are, and how the chart names them.
func (s *Settings) declareImages(set *setting.Set) {
	var (
		images  []setting.Named[release.Image]
		aliases []setting.Named[string]
		values  []setting.Named[string]
	)
	setting.List(set, &images, setting.Setting{Name: "image", Required: true, Unless: []string{"heal", "rollback-failed-smoke", "matrix"}, Value: "[NAME=]REPO@sha256:…",
		Help: "Image to run; a tag is refused because it can move. The one without a name is the release's main image: its commit is the release's; each further one has a name"},
		setting.ParseNamed(release.ParseImage))
	setting.List(set, &aliases, setting.Setting{Name: "image-alias", Value: "[NAME=]REPO",
		Help: "Repository by which the chart names an image, such as stefanprodan/podinfo: references that are rendered with it are pinned (docs/charts.md)"}, setting.ParseNamed(release.ParseAlias))
	setting.List(set, &values, setting.Setting{Name: "image-values", Value: "[NAME=]PATH",
		Help: "Value of the chart that is set to an image, such as web.image: a map gets the image's parts, a string the whole reference; default: image, if it is a map with a repository"},
		setting.ParseNamed(ParseValuesPath))
	setting.Bool(set, &s.PinText, setting.Setting{Name: "pin-text",
		Help: "Pin references to the images in environment variables, arguments and ConfigMaps too; without it they are refused"})
	set.Check(func() error { return s.setImages(images, aliases, values) })
}

// setImages combines the settings of the images, the main one first, and reports contradictions.
func (s *Settings) setImages(images []setting.Named[release.Image], aliases, values []setting.Named[string]) error {
	if len(images) == 0 && len(s.Images) > 0 { // by the pipeline, which gives no texts
		s.Image = s.Images[0].Image
		return nil
	}
	var problems []release.Problem
	s.Images, problems = setting.Images(images)
	if s.Matrix == "" { // each deploy of a matrix has its own images
		problems = append(problems, NameInChart(s.Images, aliases, values)...)
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	if len(s.Images) > 0 {
		s.Image = s.Images[0].Image
	}
	return nil
}

// NameInChart adds to each image the repositories and values by which the chart names it. An alias or a value for an unknown image, or for two images,
// is a problem.
func NameInChart(images []release.BuiltImage, aliases, values []setting.Named[string]) (problems []release.Problem) {
	assign := func(setting string, given []setting.Named[string], add func(*release.BuiltImage, string)) {
		for _, one := range given {
			at := slices.IndexFunc(images, func(image release.BuiltImage) bool { return image.Name == one.Name })
			if at < 0 {
				problems = append(problems, release.Problem{Setting: setting, What: fmt.Sprintf("there is no image %q", one.Name), Do: "name one of the images"})
				continue
			}
			add(&images[at], one.Value)
		}
	}
	assign("image-alias", aliases, func(image *release.BuiltImage, alias string) {
		if !slices.Contains(image.Repositories(), alias) {
			image.Aliases = append(image.Aliases, alias)
		}
	})
	assign("image-values", values, func(image *release.BuiltImage, path string) { image.Values = append(image.Values, path) })
	return append(problems, checkOverlap(images)...)
}

// checkOverlap refuses two images with the same repository or the same chart value.
func checkOverlap(images []release.BuiltImage) []release.Problem {
	problems, paths := setting.CheckRepositories(images), map[string]string{}
	for _, image := range images {
		for _, path := range image.Values {
			problems = append(problems, setting.Claim(paths, "image-values", path, image)...)
		}
	}
	return problems
}

// checkImages refuses an image that is not in its registry, and a main image that is not the given commit's.
// It returns the images with the commits in their labels, "" if there is none.
func (r request) checkImages(ctx context.Context) ([]release.BuiltImage, error) {
	images := slices.Clone(r.deployment.Images)
	for i, image := range images {
		info, found, err := r.Registry.Describe(ctx, image.Image)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, &release.Refusal{Why: fmt.Sprintf("image %q is not in its registry", image.Image), Do: "build it first, or check the repository"}
		}
		if err := release.RefuseArtifact(image.Image, info.Artifact); err != nil {
			return nil, err
		}
		if i == 0 && r.settings.Commit != "" && info.Revision != "" && info.Revision != r.settings.Commit.String() {
			if err := r.checkReused(ctx, image.Image, info.Revision); err != nil {
				return nil, err
			}
		}
		if commit, err := release.ParseCommit(info.Revision); err == nil {
			images[i].Commit = commit
		}
	}
	return images, nil
}

// ImageGate is what the rules of the environment say about one image.
type ImageGate struct {
	Image release.Image `json:"image"`
	policy.Decision
}

// checkRules compares what is known of every image with the rules of the environment, and joins the refusals.
func (r request) checkRules(ctx context.Context) (gates []ImageGate, refused error) {
	rung, guarded, err := r.Policy.ForDeploy(r.settings.Environment, r.settings.ProvedIn, r.settings.MaxAge)
	if err != nil || !guarded {
		return nil, err
	}
	request := policy.Request{Policy: r.Policy.Source, Rung: rung, Reason: r.settings.OverrideReason, Actor: r.Holder.Actor, Now: time.Now()}
	if rung.Requires.ChartOfCommit {
		request.Commit, request.Labelled, request.Source = r.stated, r.deployment.Main().Commit, r.stated
		if r.deployment.Commit != r.stated {
			request.Tagged = r.deployment.Commit
		}
		request.Set, request.Stored = r.settings.pathsSet(), r.settings.pathsStored()
		found, err := r.compareCheckout(ctx)
		if request.Chart = &found; err != nil {
			request.Chart, request.ChartErr = nil, err
		}
	}
	for _, image := range r.deployment.Images {
		request.Image = image.Image
		decision, facts, err := policy.Check(ctx, request, r.Gate, r.Reporter)
		if err == nil && facts.Smoked.Found && decision.Overridden == nil {
			r.Reporter.Infof("%q proved %s at %s", facts.Smoked.Fact.Environment, image.Image.Digest, facts.Smoked.Fact.At.Format(time.RFC3339))
		}
		gates, refused = append(gates, ImageGate{image.Image, decision}), errors.Join(refused, err)
		request.Chart, request.ChartErr, request.Source, request.Set = nil, nil, "", nil // said once
	}
	return gates, refused
}

// checkRulesAgain is checkRules for a request that holds the Lease: while it waited, an image may have been rejected. What preflight reported is not
// reported again.
func (r request) checkRulesAgain(ctx context.Context) ([]ImageGate, error) {
	r.Reporter = quiet{r.Reporter}
	return r.checkRules(ctx)
}

// quiet is a reporter that drops all lines and warnings.
type quiet struct{ release.Reporter }

func (quiet) Infof(string, ...any) {}
func (quiet) Warnf(string, ...any) {}

// recordOverrides attaches to the images the signed statements that the rules are overridden.
func (r request) recordOverrides(ctx context.Context) error {
	for i := range r.gates {
		if err := r.gates[i].Record(ctx, r.gates[i].Image, cmp.Or(r.deployment.Images[i].Commit, r.stated), r.Gate); err != nil {
			return err
		}
	}
	return nil
}

// checkSigning refuses images that no fact may be signed about.
func (r request) checkSigning(ctx context.Context) (refused error) {
	if r.Facts == nil {
		return nil
	}
	for _, image := range r.deployment.Images {
		refused = errors.Join(refused, r.Facts.CheckSigning(ctx, image.Image))
	}
	return refused
}

// checkReused refuses an image that is labelled with another commit than the given one, unless it has the given commit's tag too: build
// adds the tags of later commits that change nothing that enters the image. It refuses one whose label names a later commit, or one that is no ancestor,
// where the history that is at hand shows that.
func (r request) checkReused(ctx context.Context, image release.Image, revision string) error {
	tagged, found, err := r.find(ctx, release.Tag(r.settings.Commit))
	if err != nil {
		return err
	}
	if !found || tagged.Digest != image.Digest {
		return &release.Refusal{Why: fmt.Sprintf("image %q is labelled with revision %q, not with commit %s, whose tag it does not have either", image, revision, r.settings.Commit),
			Do: "give the image that build returns for the commit"}
	}
	if labelled, err := release.ParseCommit(revision); err == nil {
		relation, _ := r.Commits.KnownRelation(ctx, labelled, r.settings.Commit)
		if err := release.CheckReuse(image, labelled, r.settings.Commit, relation); err != nil {
			return err
		}
	}
	r.Reporter.Infof("the image is labelled with revision %q, and has the tag of commit %s too", revision, r.settings.Commit.Short())
	return nil
}

// ImageResult is the result of a deploy for one of the release's images.
type ImageResult struct {
	Name   string         `json:"name,omitempty"` // "" for the main image
	Image  release.Image  `json:"image"`
	Commit release.Commit `json:"commit,omitempty"` // in the image's label
	Digest release.Digest `json:"digest"`           // of the running image as the kubelets report it; zero if a pod runs another one, or none runs it
	Pods   []string       `json:"pods"`
	Record release.Digest `json:"record,omitzero"` // of the signed record of the deployment; zero if none was written
}

// proved is the proof for the pods of all images together.
type proved struct {
	images   []ImageResult
	pods     []string          // pods that run one of the images, sorted
	placed   map[podPlace]bool // pods that are meant to run one
	heldBack bool              // some pods are held back at an older revision (OnDelete, a partition)
	idle     bool              // no workload wants a pod: scaled to zero, only scheduled, or Jobs that have ended
	unproved bool              // the pods do not prove the release: no pod runs the main image, or all pods of an image are held back at an older revision
}

// comparesPods reports whether pods are compared with an image: unless only hooks, texts, or custom resources of which the cluster shows no pods have it. A custom
// resource that is not found as the release's is logged.
func (r request) comparesPods(ctx context.Context, i int, image release.Image) (bool, error) {
	if i >= len(r.rendering.Images) || len(r.rendering.Images[i].Workloads) > 0 {
		return true, nil
	}
	loose := r.rendering.Images[i].Loose
	if len(loose) == 0 {
		return false, nil
	}
	running, err := r.Cluster.Running(ctx, r.settings.Namespace, r.settings.Release, image)
	if err == nil && len(running.Workloads) == 0 {
		r.Reporter.Warnf("%s names %s outside a pod template, so it is not known whether its pods run the image", loose[0], image)
	}
	return len(running.Workloads) > 0, err
}

// prove proves every image that a workload runs, and lists the images that only hooks run.
func (r request) prove(ctx context.Context, budget budget) (proved, error) {
	all := proved{idle: true, placed: map[podPlace]bool{}}
	for i, image := range r.deployment.Images {
		result := ImageResult{Name: image.Name, Image: image.Image, Commit: image.Commit, Pods: []string{}}
		compares, err := r.comparesPods(ctx, i, image.Image)
		if err != nil {
			return all, err
		}
		if !compares {
			r.Reporter.Infof("no workload runs %s (only hooks, ConfigMaps or arguments name it): it is not compared with pods", image.Image)
			if i == 0 {
				all.unproved = true
				r.Reporter.Warnf("no pod proves that the release runs its main image: the revision is not marked as verified and is not used as a rollback target; give the image that a workload runs as the image without a name")
			}
			all.images = append(all.images, result)
			continue
		}
		proof, err := r.proveImage(ctx, budget, image.Image, all.placed)
		all.heldBack, all.idle = all.heldBack || proof.HeldBack, all.idle && proof.Idle
		all.unproved = all.unproved || len(proof.Pods) == 0 && (i == 0 || !proof.Idle)
		all.pods = slices.Compact(slices.Sorted(slices.Values(append(all.pods, proof.Pods...))))
		if len(proof.Pods) > 0 && err == nil {
			result.Pods, result.Digest = proof.Pods, image.Image.Digest
		}
		all.images = append(all.images, result)
		if err != nil {
			return all, err
		}
		r.Reporter.Infof("%s %s", release.PodsRun(len(proof.Pods)), image.Image.Digest)
		switch {
		case len(proof.Pods) > 0:
		case proof.Idle && i == 0:
			what := "are scaled to zero or have finished"
			if len(proof.Awaited) > 0 {
				what = "have no pod yet"
			}
			r.Reporter.Warnf("the workloads of %s %s, so no pod proves it: the revision is not marked as verified and is not used as a rollback target; deploy it again, or smoke it, while pods run",
				image.Image.Digest.Short(), what)
		case !proof.Idle:
			r.Reporter.Warnf("updateStrategy, a partition or its controller keeps every pod at an older revision, so no pod runs %s yet: the revision is not marked as verified",
				image.Image.Digest.Short())
		}
	}
	return all, nil
}
