package smoke

import (
	"context"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// failedRound is the last round that failed.
type failedRound struct {
	reason      string
	at          time.Time
	unreachable bool // no failing check reached the service
}

// withoutPass is the verdict of rounds that did not pass often or long enough, and its reason. It is inconclusive if no check
// reached the service in the last round, or if rounds passed until the time was up; and fail if the service answers wrongly, or
// did so within the time that wrong answers count.
func withoutPass(report Report, failed failedRound, now time.Time, settings Settings) (release.Verdict, string) {
	recently := failed.reason != "" && now.Sub(failed.at) <= max(settings.Soak, settings.Patience)
	switch {
	case report.Reason != "" && failed.unreachable, report.Rounds == 0:
		return release.Inconclusive, report.Reason
	case report.Reason != "":
		return release.Fail, report.Reason
	case recently && !failed.unreachable:
		return release.Fail, failed.reason
	}
	return release.Inconclusive, fmt.Sprintf("the time was up after %d of %d rounds in a row%s", report.Consecutive, settings.Consecutive, duringSoak(settings))
}

// verdictError is the error that gives the verdict its exit code.
func verdictError(report Report) error {
	switch report.Verdict {
	case release.Pass:
		return nil
	case release.Fail:
		return &release.BadRelease{Err: &release.Failure{What: "smoke failed: " + report.Reason}}
	}
	do := "the application was never reached; check DNS, the load balancer and its targets, or give a longer --timeout"
	if report.Consecutive > 0 {
		do = "give a longer --timeout"
	}
	return &release.Fault{Side: "service", Err: fmt.Errorf("probing %q: %s", report.URL, report.Reason), Do: do}
}

// interrupted is the error of a run that was stopped from outside. What it saw until then is no verdict.
func interrupted(report Report) error {
	what := "smoke was interrupted"
	if report.Reason != "" {
		what += "; the last round: " + report.Reason
	}
	return &release.Failure{What: what}
}

const (
	// recordTimeout bounds the recording of a verdict, which starts after the timeout of the rounds may have passed.
	recordTimeout = 15 * time.Second
	// recordFreshFor is how long a record stands for later runs with the same verdict. A check that runs every few minutes
	// would otherwise attach thousands of records to one image, which ECR counts as images and other verifiers of the same
	// digest have to list.
	recordFreshFor = 7 * 24 * time.Hour
)

// recordEvidence records the verdict of the image, even when the rounds took all the time there was. An inconclusive
// verdict says nothing about the image and is not recorded, and neither is one that repeats the newest record.
func recordEvidence(ctx context.Context, report Report, pods []string, settings Settings, deps Deps) (release.Digest, error) {
	if settings.Image.IsZero() || report.Verdict == release.Inconclusive {
		return release.Digest{}, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	found := release.Evidence{
		Image: settings.Image, Commit: settings.ExpectCommit, Environment: settings.Environment, Verdict: report.Verdict,
		Checks: report.checkNames(), Rounds: report.Rounds, Pods: pods, URL: report.URL, Run: deps.RunURL, At: deps.Now().UTC(),
	}
	newest, known, err := deps.Registry.Newest(ctx, settings.Image, settings.Environment)
	switch {
	case err != nil: // one record too many does less harm than a verdict that is lost
		deps.Reporter.Warnf("reading the newest record: %v", err)
	case known && found.Repeats(newest.Evidence, recordFreshFor):
		deps.Reporter.Infof("verdict %q of %q for %s is recorded since %s", report.Verdict, settings.Environment, settings.Image.Digest, newest.At.Format(time.RFC3339))
		return newest.Record, nil
	}
	digest, err := deps.Registry.Record(ctx, found)
	if err == nil {
		deps.Reporter.Infof("recorded verdict %q of %q for %s", report.Verdict, settings.Environment, settings.Image.Digest)
	}
	return digest, err
}
