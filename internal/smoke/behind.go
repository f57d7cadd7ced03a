package smoke

import (
	"cmp"
	"context"
	"fmt"
	neturl "net/url"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// checkBehind takes back what counts of the answers from outside of the cluster that do not name the expected commit, unless the ready endpoints behind the address are pods of the
// release that run the image: anything else may have given them. Such an answer is neither right nor wrong. If there are some for longer than the patience, the
// error is a *release.Refusal. Where no object says what is behind the address, the answers count, and it warns once. If the cluster does not answer, they do not count.
func (a *roundRunner) checkBehind(ctx context.Context, found roundPlan, answers []release.Answer, settings Settings) ([]release.Answer, error) {
	isUnnamed := func(answer release.Answer) bool {
		return answer.OK() && (settings.ExpectCommit == "" || !settings.ExpectCommit.IsNamedBy(answer.Commit))
	}
	if found.runs == nil || !slices.ContainsFunc(answers, isUnnamed) {
		a.isUncounted = false
		return answers, nil
	}
	routes, err := a.deps.Cluster.Behind(ctx, a.Namespace, a.Release, a.URL, a.Address)
	runs, isRefreshed, why := found.runs, false, ""
	for i, answer := range answers {
		if !isUnnamed(answer) {
			continue
		}
		var foreign string
		if err != nil {
			foreign = "what is behind the address cannot be read: " + err.Error()
		} else if foreign = a.foreignBehind(routes, answer, found.outside, runs); foreign != "" && !isRefreshed { // a pod may have become ready since
			isRefreshed = true
			if backends, _, err := a.backends(ctx); err == nil {
				runs = a.rightPods(backends)
				foreign = a.foreignBehind(routes, answer, found.outside, runs)
			}
		}
		if foreign != "" {
			why = foreign
			answers[i].Stage, answers[i].Wrong = release.StageTarget, []string{"the answer names no commit and does not count: " + foreign}
		}
	}
	switch now := a.deps.Now(); {
	case err != nil: // the time goes on, and decides nothing
	case why == "":
		a.isUncounted = false
	case !a.isUncounted:
		a.isUncounted, a.uncountedSince = true, now
	case now.Sub(a.uncountedSince) >= settings.Patience:
		return nil, &release.Refusal{Why: fmt.Sprintf("what answers at %s is not known to be release %q: its answers name no commit, and %s", a.URL, a.Release, why),
			Do: "let the address lead to the release's pods, name another one with --address, or have the answers name their commit (X-Commit, --commit-from)"}
	}
	return answers, nil
}

// pathOf returns the path of the request that was answered, after redirects, "/" if it has none.
func (a *roundRunner) pathOf(answer release.Answer, requests []request) string {
	if answer.Path != "" {
		return answer.Path
	}
	base := ""
	if url, err := neturl.Parse(a.URL); err == nil {
		base = strings.TrimSuffix(url.Path, "/")
	}
	for _, request := range requests {
		for _, check := range request.checks {
			if check.Name == answer.Check {
				return base + cmp.Or(check.Path, "/")
			}
		}
	}
	return base + "/"
}

// foreignBehind says why an answer of the address may come from elsewhere than the release's pods that run the image; "" if it comes from these, or if that cannot be
// known. A response of HTTP at a path that no route serves is that of the controller or of another Ingress. Of several routes that serve the path, such as those of two Services with one address, one that leads to these pods alone is enough.
func (a *roundRunner) foreignBehind(routes []release.Route, answer release.Answer, requests []request, runs map[podKey]bool) string {
	path := a.pathOf(answer, requests)
	chosen, isKnown := release.RoutesFor(routes, path)
	unknown, foreign := "", ""
	switch {
	case len(routes) == 0:
		unknown = "no Service and no Ingress of the release has its host"
	case len(chosen) == 0 && isKnown && answer.Path != "":
		foreign = release.NoPathServes(routes, path)
	case len(chosen) == 0:
		unknown = "it is not known to which Service " + path + " leads"
	}
	if len(chosen) > 0 {
		foreign, unknown = release.LeadsElsewhere(chosen, func(pod release.Backend) bool { return runs[keyOf(pod)] }, fmt.Sprintf("a pod of release %q that runs %s", a.Release, a.digests()))
	}
	if unknown == "" {
		return foreign
	}
	a.warnOnce("the answers of %s name no commit, and whether they come from the release's pods cannot be known: %s", a.URL, unknown)
	return ""
}

// servedCheck returns the default check for an address that is no Service's: / or, if no route serves that, the first path of the release's routes that leads to pods. It is
// read from the cluster once.
func (a *roundRunner) servedCheck(ctx context.Context) release.Check {
	if a.routed != nil {
		return *a.routed
	}
	url, err := neturl.Parse(a.URL)
	if err != nil || strings.Trim(url.Path, "/") != "" {
		return routeCheck
	}
	routes, err := a.deps.Cluster.Behind(ctx, a.Namespace, a.Release, a.URL, a.Address)
	if err != nil {
		return routeCheck
	}
	check := routeCheck
	if chosen, isKnown := release.RoutesFor(routes, check.Path); len(chosen) == 0 && isKnown {
		at := slices.IndexFunc(routes, func(route release.Route) bool { return !route.Foreign && !route.Expression && len(route.Endpoints) > 0 })
		if at >= 0 {
			check.Path, check.Name = routes[at].Path, check.Method+" "+routes[at].Path
		}
	}
	a.routed = &check
	return check
}

// rightPods returns the pods of the release, and which of them give right answers; nil if there are none.
func (a *roundRunner) rightPods(backends release.Backends) (runs map[podKey]bool) {
	for _, pod := range backends.Pods {
		if runs == nil {
			runs = map[podKey]bool{}
		}
		runs[keyOf(pod.Backend)] = a.isRight(pod)
	}
	return runs
}
