package smoke

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// maxParallel is how many endpoints of a round are checked at once: a service with many pods must not be flooded by its own smoke.
const maxParallel = 16

// runRound sends every check once to every endpoint, several endpoints at once and the checks of one in their order, and compares each
// answer with the expected commit: one wrong backend among several is not found by chance. The answers are in the order of the endpoints.
func (a *roundRunner) runRound(ctx context.Context, settings Settings) ([]release.Answer, error) {
	found, err := a.planRound(ctx)
	if err != nil {
		return nil, err
	}
	outside, err := a.checkBehind(ctx, found, a.send(ctx, found.outside, settings), settings)
	if err != nil {
		return nil, err
	}
	inside := a.send(ctx, found.inside, settings)
	if !a.provesRelease(outside, settings) {
		found.wrong = append(found.wrong, found.unknownPods...)
	}
	others := slices.Concat(a.dropUncomparable(outside, inside, settings), found.shown, found.wrong)
	a.draining = a.isDraining(found.terminating, outside, others)
	return slices.Concat(outside, others), nil
}

// send sends the requests.
func (a *roundRunner) send(ctx context.Context, requests []request, settings Settings) []release.Answer {
	answers := make([][]release.Answer, len(requests))
	notHTTP := make([]string, len(requests))
	slots := make(chan struct{}, maxParallel)
	var all sync.WaitGroup
	for i, request := range requests {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			session := a.deps.Prober.Session(request.Endpoint)
			for _, check := range settings.CommitFrom.addCheck(request.checks, settings.ExpectCommit != "" && !a.Proved) {
				answer := session.Probe(ctx, check)
				if check.OrTCP && answer.NotHTTP {
					notHTTP[i] = strings.Join(answer.Wrong, "; ")
					answer = session.Probe(ctx, release.Check{Name: check.Name, Kind: release.CheckTCP})
				}
				if !request.anyCommit && (answer.Stage == release.StageDone || answer.Stage == release.StageCheck) {
					answer = a.checkCommit(answer, settings)
				}
				answers[i] = append(answers[i], answer)
			}
		})
	}
	all.Wait()
	for _, answer := range slices.Concat(answers...) {
		if answer.CachedFor > 0 && answer.OK() && (settings.ExpectCommit == "" || !settings.ExpectCommit.IsNamedBy(answer.Commit)) {
			a.warnOnce("a cache answered check %q of %s, with a response that is %s old: it may be an earlier release's", answer.Check, cmp.Or(answer.URL, a.URL), text.Duration(answer.CachedFor))
		}
	}
	for i, why := range notHTTP {
		if why != "" {
			a.infoOnce("%s is checked by connecting only, because it does not speak HTTP: %s", cmp.Or(requests[i].Name(), requests[i].Base), why)
		}
	}
	return slices.Concat(answers...)
}

// checkCommit adds a problem to an answer that does not come from the expected commit. An answer without a commit is right if the
// pods are proved by digest and commit-from is not set. A wrong answer without a commit may come from a gateway, so it does not count
// as an answer of another commit.
func (a *roundRunner) checkCommit(answer release.Answer, settings Settings) release.Answer {
	switch {
	case settings.ExpectCommit == "" || settings.ExpectCommit.IsNamedBy(answer.Commit):
		return answer
	case answer.Commit == "" && !settings.CommitFrom.mustName(answer.Check, a.Proved):
		return answer
	case answer.Commit == "":
		answer.OtherCommit = answer.OK()
		answer.Wrong = append(answer.Wrong, fmt.Sprintf("commit: the response has no %s, want %s", settings.CommitFrom.where(), settings.ExpectCommit.Short()))
	default:
		answer.OtherCommit = true
		answer.Wrong = append(answer.Wrong, fmt.Sprintf("commit: answered by %.12s, want %s", answer.Commit, settings.ExpectCommit.Short()))
	}
	answer.Stage = release.StageCheck
	return answer
}

// dropUncomparable leaves out answers of pods that say nothing of one pod: those of a check that every pod answers wrongly while the
// release's address answers it rightly, because what is in front of the pods changes requests; and all of them, if no pod can be
// reached while the address answers. It keeps all, if what answers outside may be a gateway alone.
func (a *roundRunner) dropUncomparable(outside, inside []release.Answer, settings Settings) (kept []release.Answer) {
	if len(inside) == 0 || len(outside) == 0 || !a.provesRelease(outside, settings) {
		return inside
	}
	if allAre(outside, release.Answer.OK) && allAre(inside, isUnreachable) {
		a.infoOnce("the pods are not checked individually, because they cannot be reached: %s", strings.Join(inside[0].Wrong, "; "))
		return nil
	}
	byCheck := func(answers []release.Answer, check string) []release.Answer {
		return slices.DeleteFunc(slices.Clone(answers), func(answer release.Answer) bool { return answer.Check != check })
	}
	for _, answer := range inside {
		through, direct := byCheck(outside, answer.Check), byCheck(inside, answer.Check)
		if len(through) > 0 && allAre(through, release.Answer.OK) && allAre(direct, isOtherwiseWrong) {
			a.infoOnce("check %q is not compared pod by pod, because no pod answers it as its address does: %s", answer.Check, strings.Join(answer.Wrong, "; "))
			continue
		}
		kept = append(kept, answer)
	}
	return kept
}

// provesRelease reports whether answers outside can only be the release's: a file says what they are, or one names the expected commit.
func (a *roundRunner) provesRelease(outside []release.Answer, settings Settings) bool {
	return a.Checks != nil || slices.ContainsFunc(outside, func(answer release.Answer) bool { return settings.ExpectCommit.IsNamedBy(answer.Commit) })
}

func allAre(answers []release.Answer, are func(release.Answer) bool) bool {
	return !slices.ContainsFunc(answers, func(answer release.Answer) bool { return !are(answer) })
}

func isUnreachable(answer release.Answer) bool { return answer.Stage.Inconclusive() }

// isOtherwiseWrong reports whether an answer is wrong in something else than its commit.
func isOtherwiseWrong(answer release.Answer) bool {
	return answer.Stage == release.StageCheck && !answer.OtherCommit
}
