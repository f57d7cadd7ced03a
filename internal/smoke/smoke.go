// Package smoke is the verb that checks a deployed release over HTTP and records the verdict as evidence.
package smoke

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/release"
)

// Deps are the adapters that Run works with.
type Deps struct {
	Checks   Checks
	Prober   Prober
	Commands Commands // nil if no check is a command
	Cluster  Cluster  // nil unless a release is named
	Registry Registry // nil unless an image is named
	Reporter release.Reporter
	Now      func() time.Time
	Pause    func(ctx context.Context, duration time.Duration) // waits between rounds, at most until the context ends
	RunURL   string                                            // of the CI run, recorded in the evidence; may be empty
	Target   release.Target                                    // what the verdict is about, in the evidence; zero if no release is named
	Signer   string                                            // ID of the key that signs what Registry records, which is a record's Signer; "" if none does
}

// Checks loads the checks to run.
type Checks interface {
	// Load reads a checks file inside the work tree; none for "". Every problem of a file is reported at
	// once, as a *release.InputError.
	Load(path string) ([]release.Check, error)
}

// Prober sends the requests of checks.
type Prober interface {
	// CheckURL refuses a base URL that no request would be sent to, and says what is wrong with it.
	CheckURL(url string) error
	// Addresses resolves the host of a base URL into the addresses that a round asks; none if there is nothing to choose.
	Addresses(ctx context.Context, base string) []string
	// Session begins the checks of one round at one endpoint. It is called by several goroutines.
	Session(to release.Endpoint) Session
}

// Session sends the checks of one round to one endpoint, one after another, and keeps cookies and captured values for the next.
type Session interface {
	// Probe sends one request over a connection of its own, and compares the response with the check.
	Probe(ctx context.Context, check release.Check) release.Answer
}

// Commands runs the checks that are programs.
type Commands interface {
	// Run runs a program until it exits or its time is up, and ends what it leaves running. A context that ends it leaves no verdict.
	Run(ctx context.Context, check release.Check, target release.CommandTarget) release.Answer
}

// Cluster is where the release runs.
type Cluster interface {
	// Address waits for the release's external address; "" if its Service is of a type that has none.
	Address(ctx context.Context, namespace, name string, image release.Image, address release.Address, report func(string)) (string, error)
	// Hosts lists the hosts outside the cluster that belong to the release's Services, Ingresses and routes of other kinds.
	Hosts(ctx context.Context, namespace, name string) ([]string, error)
	// Backends finds the release's ready pods that name the image and its Services, with their ready endpoints.
	Backends(ctx context.Context, namespace, name string, image release.Image) (release.Backends, error)
	// Behind finds to which ready endpoints a URL leads; none if no Service and no Ingress of the release has its host.
	Behind(ctx context.Context, namespace, name, url string, address release.Address) ([]release.Route, error)
	// LiveImage is the image that the release's live revision was deployed with; false if that is unknown.
	LiveImage(ctx context.Context, namespace, name string) (release.Image, bool, error)
	// Running lists what the release's workloads run whose pod template names the image, as the kubelets report it.
	Running(ctx context.Context, namespace, name string, image release.Image) (release.Running, error)
	// NodePlatform is the platform of a node.
	NodePlatform(ctx context.Context, node string) (release.Platform, error)
	// LiveRevision returns the number of the revision that a Helm release runs; 0 if Helm did not install it, or is changing it.
	LiveRevision(ctx context.Context, namespace, name string) (int, error)
	// Undeployed returns the state of a Helm release that has revisions, none of which is deployed; false if one is, or if Helm has no record of it.
	Undeployed(ctx context.Context, namespace, name string) (release.Undeployed, bool, error)
	// MarkRevision marks a revision with what smoke found, if it is still the live one.
	MarkRevision(ctx context.Context, namespace, name string, revision int, mark release.Mark) error
}

// Registry attaches evidence to the image.
type Registry interface {
	// Record pushes the evidence and returns the digest of the record.
	Record(ctx context.Context, evidence release.Evidence) (release.Digest, error)
	// CheckSigning refuses an image that no statement may be signed about, before anything is changed.
	CheckSigning(ctx context.Context, image release.Image) error
	// NewestAt returns the record that says whether a target of an environment proved an image, and false if there is none. Records that cannot be
	// read are skipped. If one of them may be later than a pass and declares another verdict, the error is a
	// *release.UnreadableRecordError.
	NewestAt(ctx context.Context, image release.Image, environment release.Environment, target release.Target) (release.Record, bool, error)
	// IsLifted reports whether a statement lifts a failed verdict, so that it does not count any more.
	IsLifted(ctx context.Context, image release.Image, record release.Digest) (bool, error)
	// DeployedSince reports whether the newest record of a deploy of the image to the environment at the verdict's target is newer than the verdict, and of chart and
	// values of another commit than the verdict's.
	DeployedSince(ctx context.Context, verdict release.Record) (bool, error)
	// Describe reads the revision label of an image, and returns false if the registry does not hold the image.
	Describe(ctx context.Context, image release.Image) (release.ImageInfo, bool, error)
	// Find returns the image that a tag points to; false if the tag does not exist.
	Find(ctx context.Context, repository release.Repository, tag release.Tag) (release.ImageInfo, bool, error)
	// Platforms lists the images of a digest: the image itself, or the children of an index; false if the registry does not have it.
	Platforms(ctx context.Context, image release.Image) ([]release.PlatformImage, bool, error)
}

// Result is what smoke found.
type Result struct {
	Verdict     release.Verdict `json:"verdict"`
	Digest      release.Digest  `json:"digest"` // of the image that the verdict is about; zero if no image was named
	Report      Report          `json:"report"`
	Evidence    release.Digest  `json:"evidence,omitempty"` // of the record in the registry, which may be an earlier run's
	Images      []ImageResult   `json:"images,omitempty"`   // all that were named, the main one first
	matrix.Part                 // of the matrix, in Services
	Services    []Result        `json:"services,omitempty"` // results of a matrix
}

// ImageResult is what smoke found of one of the release's images.
type ImageResult struct {
	Name     string         `json:"name,omitempty"` // "" for the main image
	Image    release.Image  `json:"image"`
	Commit   release.Commit `json:"commit"`
	Pods     []string       `json:"pods"`               // that run it
	Idle     bool           `json:"idle,omitempty"`     // no pod has to run it, so that nothing is recorded for it; of a further image
	Evidence release.Digest `json:"evidence,omitempty"` // zero if nothing is recorded for it
}

// Run sends the checks in rounds until enough rounds in a row passed for long enough, or the time is up. A release that Helm has records of, but no deployed
// revision, is refused: nothing has finished that could be proved. With an image, it confirms before
// and after that the pods run its digest, and records the verdict for it. The live revision of a release that
// Helm installed is marked with the verdict, so that a later rollback knows what it may go back to. A failed verdict is a *release.BadRelease, an
// inconclusive one a *release.Fault.
func Run(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, settings.Timeout)
	defer cancel()
	checks, err := loadChecks(settings, deps)
	if err != nil {
		return Result{}, err
	}
	if settings, err = resolveCommits(ctx, settings, deps); err != nil {
		return Result{}, err
	}
	if err := awaitDeployed(ctx, settings, deps); err != nil {
		return Result{}, err
	}
	subject, err := findSubject(ctx, checks, settings, deps)
	if err != nil {
		return Result{}, err
	}
	if err := checkSigning(ctx, settings, deps); err != nil {
		return Result{}, err
	}
	found, err := awaitPods(ctx, true, settings, deps)
	if err != nil {
		return Result{}, err
	}
	subject.HeldBack, subject.Ended = found.heldBack, found.ended
	live := liveRevision(ctx, settings, deps)
	subject.replaced = func(ctx context.Context) string { return replacedBy(ctx, live, found, release.Fail, settings, deps) }
	report, err := runRounds(ctx, subject, warmUp{over: found.ready}, settings, deps)
	if err != nil {
		return Result{}, err
	}
	result := newResult(settings, found, report)
	if report.Verdict == release.Pass { // only a pass needs to know that no other digest came up meanwhile
		confirming, stop := withGrace(ctx) // the last round may have passed in the last moment
		_, err := awaitPods(confirming, false, settings, deps)
		if err == nil {
			err = stillDeployed(confirming, settings, deps)
		}
		if stop(); err != nil {
			return result, err
		}
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return result, interrupted(report)
	}
	if why := cmp.Or(report.replaced, replacedBy(ctx, live, found, report.Verdict, settings, deps)); why != "" {
		result.Verdict, result.Report.Verdict = release.Inconclusive, release.Inconclusive
		return result, &release.Fault{Side: "cluster", Err: fmt.Errorf("%s, so there is no verdict: %s", why, report.Reason), Do: "run smoke again"}
	}
	if found.heldBack && report.Verdict == release.Inconclusive && onlyOtherCommits(report.Answers) {
		return result, &release.Fault{Side: "cluster", Err: fmt.Errorf("pods of an older revision answer too, as the workload's update strategy keeps them, so there is no verdict: %s", report.Reason),
			Do: "replace these pods (partition 0, or delete them with OnDelete), then run smoke again"}
	}
	if found.heldBack && report.Verdict == release.Fail && !anyFails(slices.Concat(found.pods...), report.Answers) { // the answers may be those of another image
		return result, verdictError(report)
	}
	markRevision(ctx, live, report.Verdict, settings, deps)
	reportUnproved(subject, report, settings, deps)
	err = recordVerdict(context.WithoutCancel(ctx), checks, &result, settings, deps)
	return result, errors.Join(verdictError(report), err)
}

// checkSigning refuses images that no verdict may be signed about, before the first request.
func checkSigning(ctx context.Context, settings Settings, deps Deps) (refused error) {
	if deps.Signer == "" || deps.Registry == nil {
		return nil
	}
	for _, image := range settings.images() {
		refused = errors.Join(refused, deps.Registry.CheckSigning(ctx, image.Image))
	}
	return refused
}

func newResult(settings Settings, found confirmed, report Report) Result {
	result := Result{Verdict: report.Verdict, Digest: settings.Image.Digest, Report: report}
	for i, image := range settings.images() {
		result.Images = append(result.Images, ImageResult{Name: image.Name, Image: image.Image, Commit: image.Commit, Pods: append([]string{}, found.pods[i]...), Idle: found.idle[i]})
	}
	return result
}

// CheckSubject sends the checks of a subject in rounds, for a deploy that has compared the pods itself: it marks and records nothing. A
// failed verdict is a *release.BadRelease, an inconclusive one a *release.Fault.
func CheckSubject(ctx context.Context, subject Subject, settings Settings, deps Deps) (Report, error) {
	report, err := runRounds(ctx, subject, warmUp{over: true}, settings, deps)
	if err != nil {
		return report, err
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return report, interrupted(report)
	}
	return report, verdictError(report)
}

// anyFails reports whether one of the pods answers wrongly.
func anyFails(pods []string, answers []release.Answer) bool {
	return slices.ContainsFunc(answers, func(answer release.Answer) bool {
		return !answer.OK() && slices.ContainsFunc(pods, func(pod string) bool {
			return answer.Address == "pod "+pod || strings.HasPrefix(answer.Address, "pod "+pod+":")
		})
	})
}

// onlyOtherCommits reports whether some answers are wrong, and all of these because they are of another commit. An endpoint that is not the release's is no answer.
func onlyOtherCommits(answers []release.Answer) bool {
	return !allAre(answers, release.Answer.OK) &&
		allAre(answers, func(answer release.Answer) bool {
			return answer.OK() || answer.OtherCommit && answer.Check != endpointsCheck
		})
}

// reportUnproved says what a pass does not prove.
func reportUnproved(subject Subject, report Report, settings Settings, deps Deps) {
	if subject.HeldBack && report.Verdict == release.Pass {
		deps.Reporter.Warnf("pods of an older revision may answer too, as the workload's update strategy keeps them: the verdict is about the pods of the image")
	}
	switch {
	case report.Verdict != release.Pass:
	case settings.ExpectCommit == "":
		deps.Reporter.Infof("not checked: which commit answers; give --image or --expect-commit")
	case subject.URL == "":
		deps.Reporter.Infof("not checked: whether the release can be reached from outside its cluster, because it has no external address")
	}
}
