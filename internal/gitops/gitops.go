// Package gitops deploys a release by a commit in a configuration repository, which a GitOps controller applies. It stands in for Helm in a deploy: its
// revisions are the changes of one values file along a branch, a rollback is a commit that writes the earlier digest back, and what is known of a revision is a git note.
package gitops

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/git/configrepo"
	"github.com/onedigest/onedigest/internal/kube/argocd"
	"github.com/onedigest/onedigest/internal/release"
)

// Renderer renders the chart as the controller does.
type Renderer interface {
	Check(deployment release.Deployment) error
	Render(ctx context.Context, deployment release.Deployment) (release.Rendering, error)
	MissingKeys(deployment release.Deployment, otherFiles []string) ([]string, error)
}

// Application is what the controller applies.
type Application interface {
	fmt.Stringer
	// Check compares the Application with what it must apply.
	Check(ctx context.Context, expected argocd.Expected) (limits []string, err error)
	// Synced returns once a commit is applied, with the Application's objects.
	Synced(ctx context.Context, watch argocd.Watch) ([]release.Object, error)
	// Healthy returns once the controller calls the Application healthy.
	Healthy(ctx context.Context, report func(string)) error
}

// PullRequests opens pull requests in the configuration repository.
type PullRequests interface {
	// Open opens a pull request from a branch, or gives the open one a new title and text, one line each, and returns its page.
	Open(ctx context.Context, base, head, title string, lines []string) (page string, err error)
}

// Options are what a release by GitOps is made of.
type Options struct {
	Repository    *configrepo.Repository
	DefaultBranch bool              // the branch is the repository's default one
	Chart         release.ChartRef  // as the deploy names it
	File          string            // the values file that gets the digest, absolute; with Manifests, the lock file in the directory that gets the manifests
	Manifests     bool              // the run renders the chart and commits the manifests, and the controller renders nothing
	Keys          map[string]string // dotted paths in it by the names of images, "" for the main one
	Application   Application
	Renderer      Renderer
	Environment   release.Environment
	HasSecret     func(text string) bool // with Manifests, whether a text has a secret of the run; nil: none has
	PullRequests  PullRequests           // nil: only a branch is pushed
	// Applied is called with the objects that the controller has applied, before they are watched for the last time, and with the kinds of custom resources (GROUP/KIND) that the chart
	// renders with one of the images; nil if nobody asks for them.
	Applied func(objects []release.Object, kinds []string)
	Report  func(line string)
	Warn    func(line string)
}

// Release is one release by GitOps. It is one deploy's and not for several goroutines.
type Release struct {
	Options
	file     string        // relative to the top of the repository
	main     release.Image // as the deploy names it; zero before Check
	deployed *release.Deployment
	next     rendered       // with Manifests, since Render
	kinds    []string       // of custom resources that the chart renders with one of the images, as GROUP/KIND, since Render
	commit   release.Commit // of this deploy; "" before it
}

// New returns a release.
func New(options Options) (*Release, error) {
	file, err := options.Repository.Relative(options.File)
	return &Release{Options: options, file: file}, err
}

// Check checks the chart and its values. Before that, it writes the digests into the clone's values file, unless manifests are committed, so that the chart is checked and rendered as it will be applied.
func (r *Release) Check(deployment release.Deployment) error {
	r.main = deployment.Main().Image
	if r.Manifests {
		return r.Renderer.Check(deployment)
	}
	content, err := os.ReadFile(r.File)
	if err == nil {
		content, err = r.withDigests(content, deployment.Images)
	}
	if err == nil {
		err = os.WriteFile(r.File, content, 0o600)
	}
	if input := new(release.InputError); err != nil && !errors.As(err, &input) {
		err = release.BadSetting("config-file", err.Error(), "name a values file of the configuration repository")
	}
	return errors.Join(err, r.Renderer.Check(deployment))
}

// withDigests writes the digests of the images into a values file's content.
func (r *Release) withDigests(content []byte, images []release.BuiltImage) ([]byte, error) {
	var problems []release.Problem
	for _, image := range images {
		key, found := r.Keys[image.Name]
		if !found {
			problems = append(problems, release.Problem{Setting: "config-key", What: fmt.Sprintf("is missing for image %q", image.Name), Do: "name the path of its digest in the values file as NAME=PATH"})
			continue
		}
		next, err := setDigest(content, key, image.Image)
		if err != nil {
			problems = append(problems, release.Problem{Setting: "config-key", What: fmt.Sprintf("%q %v", r.file, err)})
			continue
		}
		content = next
	}
	if len(problems) > 0 {
		return nil, &release.InputError{Problems: problems}
	}
	return content, nil
}

// Render checks that the Application applies this chart with these values, and renders them. It refuses a chart that would run anything but the digests with these values: Argo CD pins nothing.
// Nothing of it is applied by this run, so that it needs no permission for its kinds.
func (r *Release) Render(ctx context.Context, deployment release.Deployment) (release.Rendering, error) {
	expected, err := r.expected(deployment)
	if err != nil {
		return release.Rendering{}, err
	}
	limits, err := r.Application.Check(ctx, expected)
	if err != nil {
		return release.Rendering{}, err
	}
	for _, limit := range limits {
		r.Warn(limit)
	}
	if r.Manifests {
		rendering, err := r.render(ctx, deployment)
		rendering.Kinds, r.kinds = watched(rendering.Kinds), customKinds(rendering.Images)
		return rendering, err
	}
	deployment.HideSecrets = true // Argo CD renders without a cluster to look anything up in
	rendering, err := r.Renderer.Render(ctx, deployment)
	if err != nil {
		return rendering, err
	}
	plain := deployment
	plain.Images, plain.PinText = nil, false
	unpinned, err := r.Renderer.Render(ctx, plain)
	if err != nil {
		return rendering, err
	}
	if object, differs := firstDifference(rendering.Templates, unpinned.Templates); differs {
		return rendering, &release.Refusal{Why: fmt.Sprintf("with the digest in %q, %s would still not run it: the chart takes its image from elsewhere", r.file, object),
			Do: "let the chart take the image from the value that config-key names; GitOps pins nothing by itself"}
	}
	rendering.Kinds, r.kinds = watched(rendering.Kinds), customKinds(rendering.Images)
	return rendering, nil
}

// customKinds lists the kinds of custom resources that run one of the images, as GROUP/KIND, sorted.
func customKinds(images []release.ImageUse) (kinds []string) {
	for _, image := range images {
		for _, object := range slices.Concat(image.Workloads, image.Loose) {
			if strings.Contains(object.Group(), ".") {
				kinds = append(kinds, object.Group()+"/"+object.Kind)
			}
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// watched are the kinds of the objects, which this run watches and the controller applies.
func watched(kinds []release.AppliedKind) (only []release.AppliedKind) {
	for _, kind := range kinds {
		if kind.Use == release.UseObject {
			kind.Use = release.UseWatch
			only = append(only, kind)
		}
	}
	return only
}

// expected is what the Application must apply.
func (r *Release) expected(deployment release.Deployment) (argocd.Expected, error) {
	expected := argocd.Expected{Repository: r.Repository.URL, Branch: r.Repository.Branch, DefaultBranch: r.DefaultBranch, Release: deployment.Name, Namespace: deployment.Namespace,
		SameRepository: func(address string) bool { return configrepo.SameURL(address, r.Repository.URL) }}
	expected.HasFile = func(name string) bool {
		_, err := os.Lstat(filepath.Join(r.Repository.Dir(), filepath.FromSlash(cmp.Or(expected.Manifests, expected.Chart)), name))
		return cmp.Or(expected.Manifests, expected.Chart) != "" && err == nil
	}
	if r.Manifests {
		expected.Manifests = path.Dir(r.file)
		return expected, nil
	}
	for _, file := range deployment.ValuesFiles {
		relative, err := r.Repository.Relative(file)
		if err != nil {
			return expected, err
		}
		expected.Values = append(expected.Values, relative)
	}
	expected.Elsewhere = argocd.ChartAddress(r.Chart.Repository, r.Chart.Chart, r.Chart.Version)
	if r.Chart.Repository == "" && !strings.Contains(r.Chart.Chart, "://") {
		expected.Chart = path.Clean(filepath.ToSlash(r.Chart.Chart))
	}
	return expected, nil
}

// firstDifference returns the first object whose images differ.
func firstDifference(pinned, plain []release.PodTemplate) (release.Object, bool) {
	for _, template := range pinned {
		at := slices.IndexFunc(plain, func(other release.PodTemplate) bool { return other.Object == template.Object })
		if at < 0 || !slices.Equal(template.Images, plain[at].Images) {
			return template.Object, true
		}
	}
	return release.Object{}, false
}

// MissingKeys lists the keys that other values files set and the deployment's own do not set.
func (r *Release) MissingKeys(deployment release.Deployment, other []string) ([]string, error) {
	return r.Renderer.MissingKeys(deployment, other)
}

// CheckChangeable refuses nothing: the controller may replace objects.
func (*Release) CheckChangeable(context.Context, release.Deployment) error { return nil }

// Plan reports what Deploy would commit.
func (r *Release) Plan(ctx context.Context, deployment release.Deployment) (release.Plan, error) {
	head, err := r.Repository.Head(ctx)
	if err != nil {
		return release.Plan{}, err
	}
	plan := release.Plan{Outcome: release.Unchanged, Notes: []string{fmt.Sprintf("Application %q applies branch %q of %s", r.Application, r.Repository.Branch, r.Repository.URL)}}
	plan.Basis.NotKeepable = "a configuration repository keeps what was approved itself"
	if r.Manifests {
		if plan.Changes, err = r.planFiles(ctx, head); len(plan.Changes) > 0 {
			plan.Outcome = release.Changed
		}
		return plan, err
	}
	content, err := r.Repository.Read(ctx, head, r.file)
	if err != nil {
		return release.Plan{}, err
	}
	change := release.Change{Object: release.Object{Kind: "file", Name: r.file}, Action: release.ActionChange}
	for _, image := range deployment.Images {
		before, err := digestAt(content, r.Keys[image.Name])
		if err != nil {
			return release.Plan{}, err
		}
		if before != image.Image.Digest {
			change.Fields = append(change.Fields, release.FieldChange{Path: r.Keys[image.Name], Before: before.String(), After: image.Image.Digest.String()})
		}
	}
	if len(change.Fields) > 0 {
		plan.Outcome, plan.Changes = release.Changed, []release.Change{change}
	}
	return plan, nil
}

// Deploy commits the digests and pushes them, waits until the controller has applied the commit, and calls wait for the Application's objects. It commits nothing if the
// branch has the digests already; that is unchanged only if they are verified, as the run that committed them may have been killed.
func (r *Release) Deploy(ctx context.Context, deployment release.Deployment, wait release.Wait) (release.Deployed, error) {
	before, err := r.revisions(ctx)
	if err != nil {
		return release.Deployed{}, err
	}
	deployed := release.Deployed{Outcome: release.Changed}
	if len(before) == 0 {
		deployed.Outcome = release.Created
	}
	commit, pushed, err := r.commitRelease(ctx, deployment)
	if err != nil {
		return release.Deployed{}, err
	}
	if !pushed && len(before) > 0 && before[0].mark.Verified() {
		deployed.Outcome = release.Unchanged
	}
	r.deployed = &deployment
	return r.follow(ctx, deployed, commit, pushed, wait)
}

// commitRelease commits the digests, or the manifests, and pushes the commit; pushed is false if nothing has changed.
func (r *Release) commitRelease(ctx context.Context, deployment release.Deployment) (commit release.Commit, pushed bool, err error) {
	if r.Manifests {
		return r.Repository.CommitFiles(ctx, path.Dir(r.file), r.manifests(deployment))
	}
	return r.Repository.Commit(ctx, r.file, r.digests(deployment))
}

// digests changes a values file.
func (r *Release) digests(deployment release.Deployment) func([]byte) ([]byte, string, error) {
	return func(content []byte) ([]byte, string, error) {
		next, err := r.withDigests(content, deployment.Images)
		return next, r.message(deployment), err
	}
}

// manifests changes a directory of manifests.
func (r *Release) manifests(deployment release.Deployment) func(configrepo.Files) (configrepo.Files, string, error) {
	return func(files configrepo.Files) (configrepo.Files, string, error) {
		next, err := r.replaceFiles(files, r.next.files)
		return next, r.message(deployment), err
	}
}

// Propose pushes the commit that Deploy would push to a branch of its own, and opens a pull request with the lines as its text. proposed is false if the branch that the Application applies has the
// digests already.
func (r *Release) Propose(ctx context.Context, deployment release.Deployment, lines []string) (found release.Proposal, proposed bool, err error) {
	found.Branch = fmt.Sprintf("onedigest/%s-%s", deployment.Name, r.Environment)
	message := r.message(deployment)
	if r.Manifests {
		found.Commit, proposed, err = r.Repository.ProposeFiles(ctx, path.Dir(r.file), found.Branch, r.manifests(deployment))
	} else {
		found.Commit, proposed, err = r.Repository.Propose(ctx, r.file, found.Branch, r.digests(deployment))
	}
	if err != nil || !proposed {
		return release.Proposal{}, false, err
	}
	r.Report(fmt.Sprintf("pushed %s to branch %q of %s", found.Commit.Short(), found.Branch, r.Repository.URL))
	if r.PullRequests != nil {
		subject, _, _ := strings.Cut(message, "\n")
		found.URL, err = r.PullRequests.Open(ctx, r.Repository.Branch, found.Branch, subject, lines)
	}
	return found, true, err
}

// follow waits until a commit is applied and what it has changed is ready and healthy.
func (r *Release) follow(ctx context.Context, deployed release.Deployed, commit release.Commit, pushed bool, wait release.Wait) (release.Deployed, error) {
	if pushed {
		deployed.ConfigCommit = commit
	}
	changes, err := r.Repository.Changes(ctx, r.file)
	if err != nil || len(changes) == 0 {
		return deployed, err
	}
	deployed.Revision, deployed.ConfigCommit = changes[0].Number, commit
	if pushed {
		r.Report(fmt.Sprintf("committed %s to branch %q of %s", commit.Short(), r.Repository.Branch, r.Repository.URL))
	} else {
		r.Report(fmt.Sprintf("commit %s of branch %q has the digest already", changes[0].Commit.Short(), r.Repository.Branch))
		deployed.ConfigCommit = changes[0].Commit
	}
	r.commit = deployed.ConfigCommit
	want := changes[0].Content
	deployed.Objects, err = r.Application.Synced(ctx, argocd.Watch{Commit: deployed.ConfigCommit, Report: r.Report, Within: halfOf(ctx),
		Includes: r.Repository.Includes,
		Changed:  func(ctx context.Context, later release.Commit) error { return r.checkReplaced(ctx, want, later) },
		Applied: func(_ context.Context, objects []release.Object) error {
			return wait(ctx, release.PhaseRollout, objects)
		},
	})
	if err != nil && (errors.Is(err, argocd.ErrNotSynced) || ctx.Err() != nil) && !release.IsBadRelease(err) {
		return deployed, &release.Failure{What: fmt.Sprintf("commit %s stays on branch %q; Argo CD applies it", deployed.ConfigCommit.Short(), r.Repository.Branch), Err: err}
	}
	if err != nil {
		return deployed, err
	}
	if r.Applied != nil {
		r.Applied(deployed.Objects, r.kinds)
	}
	if err := wait(ctx, release.PhaseRollout, deployed.Objects); err != nil {
		return deployed, err
	}
	return deployed, r.Application.Healthy(ctx, r.Report)
}

// halfOf returns half of the time that is left, in which Argo CD has to begin the sync; 0 if the time is not limited.
func halfOf(ctx context.Context) time.Duration {
	deadline, limited := ctx.Deadline()
	if !limited {
		return 0
	}
	return max(time.Until(deadline)/2, 1)
}

// checkReplaced refuses a commit of somebody else that has replaced the digests of this deploy.
func (r *Release) checkReplaced(ctx context.Context, want []byte, later release.Commit) error {
	content, err := r.Repository.Read(ctx, later, r.file)
	if err != nil {
		return err
	}
	intact := true
	if r.Manifests {
		if _, intact, err = r.filesAt(ctx, later); err != nil {
			return err
		}
	}
	if r.Manifests && (!intact || !bytes.Equal(content, want)) {
		return &release.Failure{What: fmt.Sprintf("commit %s has replaced the manifests beside %q before this run saw them ready", later.Short(), r.file), Do: "see that commit in the configuration repository, then revert it or deploy again"}
	}
	for _, key := range r.Keys {
		ours, err := digestAt(want, key)
		if err != nil {
			return err
		}
		theirs, err := digestAt(content, key)
		if err != nil || theirs != ours {
			return &release.Failure{What: fmt.Sprintf("commit %s has replaced the digest in %q before this run saw it ready", later.Short(), r.file), Err: err, Do: "see that commit in the configuration repository, then revert it or deploy again"}
		}
	}
	return nil
}

// Heal has nothing to do: a commit is never half done.
func (*Release) Heal(context.Context, string, func(string)) (*release.Healed, error) { return nil, nil }

// Uninstall is not done by GitOps.
func (r *Release) Uninstall(context.Context, string) error {
	return &release.Failure{What: "a deploy does not uninstall a release that Argo CD applies", Do: "delete its Application"}
}
