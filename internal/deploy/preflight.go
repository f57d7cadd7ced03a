package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
)

// request is one deploy with its inputs checked. Its steps do not change it: they return what they found or did.
type request struct {
	Deps
	settings      Settings
	deployment    release.Deployment
	chart         release.LocatedChart
	rendering     release.Rendering
	address       release.Address
	lease         release.Lease  // nil until it is acquired
	plan          *keptPlan      // the plan to carry out; nil if none was given
	values        release.Digest // of the values files; zero if nothing is recorded
	checkedOut    release.Commit // that chart and values are of; "" if unknown
	commitUnknown error          // why it is not known which commit's chart and values are deployed, so that the order is not known either; nil if it is known
	stated        release.Commit // the given commit, or else the image's, with which the rules compare chart and values
	gates         []ImageGate    // of the images; none if the environment requires nothing
}

// result returns the result of a deploy that has done nothing yet.
func (r request) result() Result {
	result := Result{Environment: r.settings.Environment, Release: r.settings.Release, Namespace: r.settings.Namespace,
		Image: r.settings.Image, Commit: r.deployment.Commit, Gates: r.gates}
	if r.chart.Path != "" {
		result.Chart = &r.chart
	}
	if r.plan != nil {
		result.PlanDigest = r.plan.digest
	}
	return result
}

// preflight checks the paths, the chart, the smoke checks, the image and the access to the cluster, and changes nothing. If a
// check fails, the request contains the results of the earlier checks.
func preflight(ctx context.Context, settings Settings, deps Deps) (request, error) {
	ctx, cancel := context.WithTimeout(ctx, settings.Timeout)
	defer cancel()
	r, err := resolvePaths(ctx, settings, deps)
	if err != nil {
		return r, err
	}
	if r.deployment.SecretValues, err = r.readSecrets(ctx); err != nil {
		return r, err
	}
	r.plan, err = r.readPlan()
	if err := errors.Join(r.Chart.Check(r.deployment), r.checkSmokeChecks(), err); err != nil {
		return r, err
	}
	if r.Facts != nil { // after the check, in which a deploy by GitOps writes the digests
		if r.values, err = r.Facts.ValuesDigest(r.deployment.ValuesFiles); err != nil {
			return r, err
		}
	}
	r.deployment.AsPlanned = r.plan != nil
	if r.deployment.Images, err = r.checkImages(ctx); err != nil {
		return r, err
	}
	r.stated = cmp.Or(settings.Commit, r.deployment.Main().Commit)
	commit, commitUnknown := r.releaseCommit(ctx)
	if ctx.Err() != nil {
		return r, context.Cause(ctx)
	}
	r.commitUnknown = commitUnknown
	r.deployment.Commit, r.Holder.Commit = commit, commit
	if r.gates, err = r.checkRules(ctx); err != nil {
		return r, err
	}
	if err := r.checkSigning(ctx); err != nil {
		return r, err
	}
	r.checkedOut = r.warnOtherCheckout(ctx)
	if r.rendering, err = r.checkAccess(ctx); err != nil {
		return r, err
	}
	for _, service := range r.rendering.NoPorts {
		r.Reporter.Warnf("%s", service)
	}
	if r.address, err = r.resolveAddress(); err != nil {
		return r, err
	}
	return r, r.checkPlannedSubject()
}

// releaseCommit returns the commit of the release: the given one, or else the image's. If chart and values are those of another commit whose tag the image
// has too, it is that one: only the order of these commits tells which chart and values are newer. A given commit that is only the image's label, as build
// returns it, says no more than no commit, unless it is gone back to. The rules of the environment compare with the stated commit nevertheless: nothing proved the
// other one's chart and values. A work tree with changes is of no commit. The error says that the registry did not tell whether the image has that tag: the order is not known then.
func (r request) releaseCommit(ctx context.Context) (release.Commit, error) {
	commit := r.stated
	paths, _ := r.treePaths()
	if commit == "" || commit != r.deployment.Main().Commit || len(paths) == 0 || r.settings.AllowRollback && r.settings.Commit != "" {
		return commit, nil
	}
	found, err := r.Commits.CheckedOut(ctx, paths, commit)
	if err != nil || found.Commit == "" || found.Commit == commit || len(found.Uncommitted) > 0 {
		return commit, nil // warnOtherCheckout says why the commit is unknown
	}
	tagged, exists, err := r.find(ctx, release.Tag(found.Commit))
	if err != nil {
		r.Reporter.Warnf("cannot check whether the image is tagged with commit %s, from which chart and values come: %v", found.Commit.Short(), err)
		return commit, fmt.Errorf("the registry did not say whether the image is tagged with commit %s, from which chart and values come: %w", found.Commit.Short(), err)
	}
	if !exists || tagged.Digest != r.settings.Image.Digest {
		return commit, nil
	}
	relation, _ := r.Commits.KnownRelation(ctx, commit, found.Commit)
	if err := release.CheckReuse(r.settings.Image, commit, found.Commit, relation); err != nil {
		r.Reporter.Warnf("the image's commit %s is deployed, and not commit %s, from which chart and values come: %v", commit.Short(), found.Commit.Short(), err)
		return commit, nil
	}
	r.Reporter.Infof("the image was built from commit %s, and is also tagged with commit %s, from which chart and values come: the latter is deployed",
		commit.Short(), found.Commit.Short())
	return found.Commit, nil
}

// Attempts to find a tag, and the pause between them: what it tells is not worth a failed deploy.
const (
	findAttempts = 3
	findPause    = 2 * time.Second
)

// find finds the image of a tag of the main image's repository, in several attempts.
func (r request) find(ctx context.Context, tag release.Tag) (info release.ImageInfo, found bool, err error) {
	for attempt := range findAttempts {
		if attempt > 0 {
			pause(ctx, findPause)
		}
		if info, found, err = r.Registry.Find(ctx, r.settings.Image.Repository, tag); err == nil || ctx.Err() != nil {
			break
		}
	}
	return info, found, err
}

// readSecrets reads the values that are kept in stores of secrets.
func (r request) readSecrets(ctx context.Context) ([]release.SecretValue, error) {
	if len(r.settings.SecretValues) == 0 {
		return nil, nil
	}
	references := make([]release.SecretRef, len(r.settings.SecretValues))
	for i, secret := range r.settings.SecretValues {
		references[i] = secret.Reference
	}
	values, err := r.Secrets.Read(ctx, references)
	if err != nil {
		return nil, err
	}
	read := slices.Clone(r.settings.SecretValues)
	for i := range read {
		read[i].Value = values[i]
	}
	r.Reporter.Infof("read %d values from secret stores", len(read))
	return read, nil
}

// checkAccess refuses a cluster that does not answer or does not permit the deploy, objects whose annotations cannot be read, and an
// image that no node can run. It warns which features a missing optional permission disables, and returns what the chart renders for
// the cluster.
func (r request) checkAccess(ctx context.Context) (release.Rendering, error) {
	rendered, stop := r.renderMeanwhile(ctx)
	defer stop()
	limits, err := r.Cluster.Check(ctx, r.settings.Namespace, r.settings.CreateNamespace)
	if err != nil {
		return release.Rendering{}, err
	}
	rendering, err := rendered()
	if err != nil {
		return rendering, err
	}
	if r.settings.Rollback == rollbackOff {
		rendering.Kinds = slices.DeleteFunc(rendering.Kinds, func(kind release.AppliedKind) bool { return kind.Use == release.UseRollback })
	}
	platforms := make(chan error, 1)
	go func() { platforms <- r.checkPlatforms(ctx, rendering.Templates) }() // asks the registry and the nodes meanwhile
	more, err := r.Cluster.CheckKinds(ctx, r.settings.Namespace, rendering.Kinds)
	misfit := <-platforms
	for _, limit := range append(limits, more...) {
		r.Reporter.Warnf("%s", limit)
	}
	if err != nil {
		return rendering, err
	}
	return rendering, errors.Join(r.Cluster.CheckDeclared(ctx, rendering.Declared), misfit)
}

// renderMeanwhile begins to render the chart. rendered waits for the result; stop ends the rendering, and returns when it has ended.
func (r request) renderMeanwhile(ctx context.Context) (rendered func() (release.Rendering, error), stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var (
		rendering release.Rendering
		err       error
		ended     = make(chan struct{})
	)
	go func() {
		defer close(ended)
		rendering, err = r.Chart.Render(ctx, r.deployment)
	}()
	return func() (release.Rendering, error) { <-ended; return rendering, err }, func() { cancel(); <-ended }
}

// baseline records what the release's namespaces contain, and more namespaces.
func (r request) baseline(ctx context.Context, more ...string) release.Baseline {
	namespaces := append([]string{r.settings.Namespace}, more...)
	for _, kind := range r.rendering.Kinds {
		if kind.Namespace != "" {
			namespaces = append(namespaces, kind.Namespace)
		}
	}
	slices.Sort(namespaces)
	return r.Cluster.Baseline(ctx, slices.Compact(namespaces))
}

// resolvePaths finds the chart, makes the paths of the values files absolute, and reports all problems with them together.
func resolvePaths(ctx context.Context, settings Settings, deps Deps) (request, error) {
	var problems []release.Problem
	resolve := func(setting, path string) string {
		absolute, err := deps.Workspace.Inside(path)
		if err != nil {
			problems = append(problems, release.Problem{Setting: setting, What: err.Error(), Do: "name a path inside the work tree"})
		}
		return absolute
	}
	resolveAll := func(setting string, paths []string) (absolute []string) {
		for _, path := range paths {
			absolute = append(absolute, resolve(setting, path))
		}
		return absolute
	}
	deployment := release.Deployment{
		Name: settings.Release, Namespace: settings.Namespace, Environment: settings.Environment, Images: settings.Images, Commit: settings.Commit,
		ValuesFiles: resolveAll("values", settings.Values),
		Set:         settings.Set, SetJSON: settings.SetJSON, PinText: settings.PinText, ApplyCRDs: settings.ApplyCRDs,
		HideSecrets: settings.DryRun && !settings.LookupSecrets, RunURL: deps.Holder.URL, Actor: deps.Holder.Actor,
	}
	settings.CompareValues = resolveAll("compare-values", settings.CompareValues)
	chart, err := deps.Charts.Locate(ctx, release.ChartRef{Chart: settings.Chart, Repository: settings.ChartRepo, Version: settings.ChartVersion})
	var input *release.InputError
	switch {
	case errors.As(err, &input):
		problems = append(input.Problems, problems...)
	case err != nil:
		return request{Deps: deps, settings: settings, deployment: deployment}, err
	}
	deployment.Chart = chart.Path
	r := request{Deps: deps, settings: settings, deployment: deployment, chart: chart}
	if len(problems) > 0 {
		return r, &release.InputError{Problems: problems}
	}
	return r, nil
}

// CheckFiles checks what is wrong with the charts, the values and the files of smoke checks of deploys and can be found without the cluster, and changes nothing. All
// problems are reported together as a *release.InputError, and so is an environment that the rules do not list; a chart that cannot be fetched, and a store of secrets that
// cannot be read, is a *release.Fault. Of deps it uses Workspace, Charts, Chart, Secrets, SmokeRunner and Policy.
func CheckFiles(ctx context.Context, deploys []Settings, deps Deps) error {
	var problems []release.Problem
	for _, settings := range deploys {
		r, err := resolvePaths(ctx, settings, deps)
		if err == nil {
			err = r.checkValues(ctx)
		}
		rung, _, unlisted := deps.Policy.ForDeploy(settings.Environment, settings.ProvedIn, settings.MaxAge)
		for _, err := range []error{err, r.checkSmokeChecks(), unlisted, r.checkOfCommit(rung)} {
			var input *release.InputError
			switch {
			case errors.As(err, &input):
				for _, problem := range input.Problems {
					if !slices.Contains(problems, problem) { // several environments have one chart
						problems = append(problems, problem)
					}
				}
			case err != nil:
				return err
			}
		}
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// checkOfCommit refuses a chart and values in the settings which the rules of the environment do not let in, unless the rules are to be overridden. The error is a
// *release.InputError.
func (r request) checkOfCommit(rung policy.Rung) error {
	if !rung.Requires.ChartOfCommit || r.settings.OverrideReason != "" {
		return nil
	}
	rule := fmt.Sprintf("%q requires the chart and the values of the image's commit (chart-of-commit)", r.settings.Environment)
	var problems []release.Problem
	if _, hasChart := r.treePaths(); !hasChart && r.chart.Source != "" {
		elsewhere := &policy.ChartElsewhereError{Source: r.chart.Source}
		problems = append(problems, release.Problem{Setting: "chart", What: rule + ", and " + elsewhere.Error(), Do: elsewhere.Do()})
	}
	if set := r.settings.pathsSet(); len(set) > 0 {
		problems = append(problems, release.Problem{Setting: "set", What: rule + ", and no commit has the values of " + strings.Join(set, ", "),
			Do: "commit these values in a values file, and leave out set and set-json"})
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// AppliedKinds returns the kinds of the objects that a deploy would apply, as its chart renders for the cluster, and changes nothing. The images need not exist. Of
// deps it uses Workspace, Charts, Chart, Secrets and Reporter. The errors are those of a deploy before it changes anything.
func AppliedKinds(ctx context.Context, settings Settings, deps Deps) ([]release.AppliedKind, error) {
	r, err := resolvePaths(ctx, settings, deps)
	if err != nil {
		return nil, err
	}
	if r.deployment.SecretValues, err = r.readSecrets(ctx); err != nil {
		return nil, err
	}
	rendering, err := r.Chart.Render(ctx, r.deployment)
	return rendering.Kinds, err
}

// checkValues checks the chart with its values, those of stores of secrets included.
func (r request) checkValues(ctx context.Context) (err error) {
	if r.deployment.SecretValues, err = r.readSecrets(ctx); err != nil {
		return err
	}
	return r.Chart.Check(r.deployment)
}

// checkSmokeChecks parses the file of smoke checks, if one is given.
func (r request) checkSmokeChecks() error {
	if r.settings.SmokeChecks == "" {
		return nil
	}
	return r.SmokeRunner.Check(r.settings.checksFile())
}

// treePaths returns the chart, if it is in the work tree, the values files, and the files of secrets. Their links are not resolved, because a commit has
// links, too.
func (r request) treePaths() (paths []string, hasChart bool) {
	_, err := r.Workspace.Inside(r.chart.Source)
	if err == nil { // not of a registry, nor the action's own
		paths = append(paths, r.Workspace.Absolute(r.chart.Source))
	}
	for _, file := range r.settings.Values {
		paths = append(paths, r.Workspace.Absolute(file))
	}
	for _, secret := range r.settings.SecretValues {
		if file := r.Workspace.Absolute(secret.Reference.Name); secret.Reference.Store == release.SOPSFile && !slices.Contains(paths, file) {
			paths = append(paths, file)
		}
	}
	return paths, err == nil
}

// compareCheckout compares chart and values in the work tree with those of the stated commit. A chart that is not in the work tree is an error.
func (r request) compareCheckout(ctx context.Context) (release.CheckedOut, error) {
	paths, hasChart := r.treePaths()
	switch {
	case !hasChart:
		return release.CheckedOut{}, &policy.ChartElsewhereError{Source: r.chart.Source}
	case r.stated == "":
		return release.CheckedOut{}, errors.New("the image is labelled with no commit")
	}
	return r.Commits.CheckedOut(ctx, paths, r.stated)
}

// warnOtherCheckout warns if chart and values are of another commit than the image's: that combination was never tested. It
// happens when a workflow promotes an older image with its own checkout. Another commit with the same chart and values gives no
// warning. It returns the commit that they are of; "" if that is unknown, and if a file is otherwise than that commit has it.
func (r request) warnOtherCheckout(ctx context.Context) release.Commit {
	commit := r.deployment.Commit
	if commit == "" {
		return ""
	}
	paths, _ := r.treePaths()
	if len(paths) == 0 {
		return ""
	}
	found, err := r.Commits.CheckedOut(ctx, paths, commit)
	if ctx.Err() != nil {
		return ""
	}
	advice := fmt.Sprintf("check out %s to deploy what was built and tested together", commit.Short())
	switch {
	case err != nil:
		r.Reporter.Infof("cannot check whether chart and values come from commit %s: %v", commit.Short(), err)
		return ""
	case found.Unknown:
		r.Reporter.Warnf("chart and values come from commit %s, the image from commit %s; they cannot be compared, because the work tree's history lacks that commit; %s",
			found.Commit.Short(), commit.Short(), advice)
	case len(found.Differing) > 0:
		names := make([]string, len(found.Differing))
		for i, path := range found.Differing {
			names[i] = filepath.Base(path)
		}
		r.Reporter.Warnf("chart and values come from commit %s, the image from commit %s; they differ in %s; %s",
			found.Commit.Short(), commit.Short(), strings.Join(names, ", "), advice)
	}
	if len(found.Uncommitted) > 0 {
		return ""
	}
	return found.Commit
}
