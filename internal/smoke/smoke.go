// Package smoke is the verb that asks a served release whether it works, and keeps the answer as evidence.
package smoke

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Deps is what smoke needs of everything around it.
type Deps struct {
	Checks   Checks
	Prober   Prober
	Cluster  Cluster  // nil unless a release is named
	Registry Registry // nil unless an image is named
	Reporter release.Reporter
	Now      func() time.Time
	Pause    func(ctx context.Context, duration time.Duration) // between rounds
	RunURL   string
}

// Checks gives the questions.
type Checks interface {
	// Load reads a checks file inside the work tree; "" means the default checks.
	Load(path string) ([]release.Check, error)
}

// Prober puts one question.
type Prober interface {
	// Base accepts the URL of a service, or says what is wrong with it.
	Base(url string) (string, error)
	Probe(ctx context.Context, base string, check release.Check) release.Answer
}

// Cluster is where the release runs.
type Cluster interface {
	// Address waits for the release's external address; "" if its Service has none by design.
	Address(ctx context.Context, namespace, name string, report func(string)) (string, error)
	// Images is what the kubelet says the release's pods run.
	Images(ctx context.Context, namespace, name string) ([]release.PodImage, error)
}

// Registry keeps the evidence.
type Registry interface {
	Record(ctx context.Context, evidence release.Evidence) (release.Digest, error)
	// Describe reads what an image is labelled with.
	Describe(ctx context.Context, image release.Image) (release.ImageInfo, bool, error)
}

// Result is what smoke found.
type Result struct {
	Verdict  release.Verdict `json:"verdict"`
	Digest   release.Digest  `json:"digest"` // of the image that the verdict is about, if one was named
	Report   Report          `json:"report"`
	Evidence release.Digest  `json:"evidence,omitempty"` // of the record in the registry
}

// Run asks in rounds until enough of them in a row were right or time is up, holds the pods' digest to the image before
// and after, and records the verdict for the image.
func Run(ctx context.Context, settings Settings, world Deps) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, settings.Timeout)
	defer cancel()
	checks, err := questions(settings, world)
	if err != nil {
		return Result{}, err
	}
	if settings, err = expect(ctx, settings, world); err != nil {
		return Result{}, err
	}
	base, err := locate(ctx, settings, world)
	if err != nil {
		return Result{}, err
	}
	before, err := running(ctx, settings, world)
	if err != nil {
		return Result{}, err
	}
	world.Reporter.Infof("asking %s: %d checks, %d rounds in a row%s", base, len(checks), settings.Consecutive, expecting(settings))
	report := ask(ctx, base, checks, settings, world)
	world.Reporter.Infof("verdict: %s after %d rounds in %.1f s", report.Verdict, report.Rounds, report.Seconds)
	result := Result{Verdict: report.Verdict, Digest: settings.Image.Digest, Report: report}
	if report.Verdict == release.Pass { // a failure needs no second look to be believed
		if _, err := running(ctx, settings, world); err != nil {
			return result, err
		}
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return result, &release.Failure{What: "smoke was interrupted", Err: conclude(report)}
	}
	result.Evidence, err = record(ctx, report, before, settings, world)
	return result, errors.Join(conclude(report), err)
}

// questions reads the checks and holds the URL to what may be asked.
func questions(settings Settings, world Deps) ([]release.Check, error) {
	checks, err := world.Checks.Load(settings.Checks)
	if settings.URL == "" {
		return checks, err
	}
	if _, badURL := world.Prober.Base(settings.URL); badURL != nil {
		err = errors.Join(err, release.BadInput("--url (INPUT_URL)", badURL.Error(), ""))
	}
	return checks, err
}

// expect takes the expected commit from the image when nobody named one.
func expect(ctx context.Context, settings Settings, world Deps) (Settings, error) {
	if settings.Image.IsZero() {
		return settings, nil
	}
	tagged, found, err := world.Registry.Describe(ctx, settings.Image)
	if err != nil {
		return settings, err
	}
	if !found {
		return settings, &release.Refusal{Why: fmt.Sprintf("image %q is not in its registry", settings.Image), Do: "nothing can be recorded for it"}
	}
	commit, err := release.ParseCommit(tagged.Revision)
	switch {
	case err != nil:
		return settings, &release.Refusal{Why: fmt.Sprintf("image %q is labelled with revision %q, which is no commit", settings.Image, tagged.Revision),
			Do: "build the image from a clean work tree; what belongs to no commit cannot be proved"}
	case settings.ExpectCommit != "" && settings.ExpectCommit != commit:
		return settings, &release.Refusal{Why: fmt.Sprintf("image %q was built from commit %s, not from %s", settings.Image, commit, settings.ExpectCommit)}
	}
	settings.ExpectCommit = commit
	return settings, nil
}

func locate(ctx context.Context, settings Settings, world Deps) (string, error) {
	if settings.URL != "" {
		return settings.URL, nil
	}
	address, err := world.Cluster.Address(ctx, settings.Namespace, settings.Release, func(line string) { world.Reporter.Infof("%s", line) })
	if err != nil {
		return "", err
	}
	if address == "" {
		return "", &release.Failure{What: fmt.Sprintf("the Service of release %q has no external address", settings.Release), Do: "give --url"}
	}
	return address, nil
}

// running lists the release's pods and refuses unless every one of them runs the image.
func running(ctx context.Context, settings Settings, world Deps) ([]string, error) {
	if settings.Image.IsZero() {
		return nil, nil
	}
	images, err := world.Cluster.Images(ctx, settings.Namespace, settings.Release)
	if err != nil {
		return nil, err
	}
	pods, others := release.SplitByDigest(images, settings.Image.Digest)
	if len(others) > 0 {
		return nil, &release.Failure{What: fmt.Sprintf("pod %q runs %s, not %s", others[0].Pod, others[0].Digest, settings.Image.Digest),
			Do: "deploy the image first, or wait until its rollout is over"}
	}
	if len(pods) == 0 {
		return nil, &release.Failure{What: fmt.Sprintf("release %q has no running pod", settings.Release)}
	}
	return pods, nil
}

// recordTime is what keeping a verdict may take after the time for asking is spent.
const recordTime = 15 * time.Second

// record keeps a verdict, also one that took all the time there was; an inconclusive one says nothing of the image and is not kept.
func record(ctx context.Context, report Report, pods []string, settings Settings, world Deps) (release.Digest, error) {
	if settings.Image.IsZero() || report.Verdict == release.Inconclusive {
		return release.Digest{}, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	digest, err := world.Registry.Record(ctx, release.Evidence{
		Image: settings.Image, Commit: settings.ExpectCommit, Environment: settings.Environment, Verdict: report.Verdict,
		Checks: report.names(), Rounds: report.Rounds, Pods: pods, URL: report.URL, Run: world.RunURL, At: world.Now().UTC(),
	})
	if err == nil {
		world.Reporter.Infof("recorded verdict %q of %q for %s", report.Verdict, settings.Environment, settings.Image.Digest)
	}
	return digest, err
}

// conclude turns a verdict into the error that its exit code needs.
func conclude(report Report) error {
	switch report.Verdict {
	case release.Pass:
		return nil
	case release.Fail:
		return &release.Failure{What: "smoke failed: " + report.Reason}
	}
	return &release.Fault{Side: "service", Err: fmt.Errorf("asking %q: %s", report.URL, report.Reason),
		Do: "nothing was learnt about the application; check DNS, the load balancer and its targets, or give a longer --timeout"}
}

func expecting(settings Settings) string {
	if settings.ExpectCommit == "" {
		return ""
	}
	return ", every answer from commit " + settings.ExpectCommit.Short()
}
