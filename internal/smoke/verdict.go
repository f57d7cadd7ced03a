package smoke

import (
	"context"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// verdict is pass after enough passing rounds in a row, inconclusive if no check reached the service in the last round,
// and fail otherwise.
func verdict(report Report, settings Settings) release.Verdict {
	if report.Consecutive >= settings.Consecutive {
		return release.Pass
	}
	_, unreachable := summarizeRound(report.Answers)
	if unreachable || report.Rounds == 0 {
		return release.Inconclusive
	}
	return release.Fail
}

// verdictError is the error that gives the verdict its exit code.
func verdictError(report Report) error {
	switch report.Verdict {
	case release.Pass:
		return nil
	case release.Fail:
		return &release.BadRelease{Err: &release.Failure{What: "smoke failed: " + report.Reason}}
	}
	return &release.Fault{Side: "service", Err: fmt.Errorf("probing %q: %s", report.URL, report.Reason),
		Do: "the application was never reached; check DNS, the load balancer and its targets, or give a longer --timeout"}
}

// interrupted is the error of a run that was stopped from outside. What it saw until then is no verdict.
func interrupted(report Report) error {
	what := "smoke was interrupted"
	if report.Reason != "" {
		what += "; the last round: " + report.Reason
	}
	return &release.Failure{What: what}
}

// recordTimeout bounds the recording of a verdict, which starts after the timeout of the rounds may have passed.
const recordTimeout = 15 * time.Second

// recordEvidence records the verdict of the image, even when the rounds took all the time there was. An inconclusive
// verdict says nothing about the image and is not recorded.
func recordEvidence(ctx context.Context, report Report, pods []string, settings Settings, deps Deps) (release.Digest, error) {
	if settings.Image.IsZero() || report.Verdict == release.Inconclusive {
		return release.Digest{}, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	digest, err := deps.Registry.Record(ctx, release.Evidence{
		Image: settings.Image, Commit: settings.ExpectCommit, Environment: settings.Environment, Verdict: report.Verdict,
		Checks: report.checkNames(), Rounds: report.Rounds, Pods: pods, URL: report.URL, Run: deps.RunURL, At: deps.Now().UTC(),
	})
	if err == nil {
		deps.Reporter.Infof("recorded verdict %q of %q for %s", report.Verdict, settings.Environment, settings.Image.Digest)
	}
	return digest, err
}
