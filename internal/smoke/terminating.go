package smoke

import (
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// terminatingPods returns the pods of the release that were being deleted when the round began.
func terminatingPods(backends release.Backends) (terminating []string) {
	for _, workload := range backends.Workloads {
		terminating = append(terminating, workload.Terminating...)
	}
	slices.Sort(terminating)
	return slices.Compact(terminating)
}

// isDraining reports whether all that is wrong with a round's answers are answers of another commit from outside the cluster, while pods of the
// release are being deleted: they serve until they end, and a Network Load Balancer with IP targets sends new connections to them for about two
// minutes more. Source: aws-load-balancer-controller, issue 2366.
func (a *roundRunner) isDraining(terminating []string, outside, others []release.Answer) bool {
	foreign := func(answer release.Answer) bool { return !answer.OK() && answer.OtherCommit }
	excused := func(answer release.Answer) bool { return answer.OK() || answer.Stage.Inconclusive() }
	if len(terminating) == 0 || !slices.ContainsFunc(outside, foreign) || !allAre(others, excused) ||
		!allAre(outside, func(answer release.Answer) bool { return foreign(answer) || excused(answer) }) {
		return false
	}
	a.infoOnce("answers of another commit do not count against the patience while these pods are being deleted: %s", strings.Join(terminating, ", "))
	return true
}
