package smoke

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	neturl "net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Subject is the release or URL that the rounds check.
type Subject struct {
	URL       string          // outside the cluster; "" if there is none
	Checks    []release.Check // nil: the check made from each pod's readiness probe
	Release   string          // "" if only a URL is known
	Namespace string
	Address   release.Address // as the settings have it: it may name the Service whose pods are checked
	Image     release.Image   // that the release's workloads run; zero if unknown, so that no pod can be checked
	// Others are other images that the release is pinned to. Their pods are checked too, and may name other commits.
	Others []release.Image
	// Proved is set if the pods are compared with the image by digest, so that an answer does not have to name its commit.
	Proved bool
	// HeldBack is set if some pods are held back at another revision (OnDelete, a partition): they may be endpoints of the release's Services.
	HeldBack bool
	// AnyCommit is set if an answer may name any commit, as one of a pod that is held back may in a deploy.
	AnyCommit bool
	// Ended is set if the Jobs that run the images have ended, so that no pod has to be ready.
	Ended bool

	replaced func(context.Context) string // says what replaced the release since the rounds began, "" if nothing is known to have; nil if that is not asked
}

// images returns all images of the release, the main one first.
func (s Subject) images() []release.Image { return append([]release.Image{s.Image}, s.Others...) }

// where names what the checks are sent to, for a message.
func (s Subject) where() string {
	if s.URL != "" {
		return s.URL
	}
	return fmt.Sprintf("the pods of release %q in namespace %q", s.Release, s.Namespace)
}

// homeCheck is the default check if only a URL is given: / answers 200 with a body.
var homeCheck = release.Check{Name: "home", Path: "/", Method: "GET", Status: 200, BodyRegex: `\S`}

// routeCheck is the default check for an address that may not route the readiness probe's path to the pods.
var routeCheck = release.Check{Name: "GET /", Path: "/", Method: "GET", StatusBelow: 500}

// guessedCheck is the check for a port of an unknown protocol.
var guessedCheck = release.Check{Name: routeCheck.Name, Path: routeCheck.Path, Method: routeCheck.Method, StatusBelow: routeCheck.StatusBelow, OrTCP: true}

// request is one endpoint with the checks that are sent to it.
type request struct {
	release.Endpoint
	checks    []release.Check
	anyCommit bool // its answers may name any commit
}

// roundPlan is the requests of one round, and the answers that are known without a request.
type roundPlan struct {
	outside, inside []request
	shown           []release.Answer // from the cluster's state: pods that have neither a probe nor a port
	wrong           []release.Answer // from the cluster's state: endpoints of the release's Services that are not its pods
	unknownPods     []release.Answer // failed answers for pods that the cluster does not report; dropped if the answers from outside prove the release
	terminating     []string         // pods of the release that are being deleted
	runs            map[podKey]bool  // pods of the release whose answers are right; nil if no pod has to give any
}

// endpointsCheck names the answers about endpoints of the release's Services, which are known without a request.
const endpointsCheck = "endpoints"

// podKey identifies a pod.
type podKey struct{ namespace, name string }

func keyOf(pod release.Backend) podKey { return podKey{pod.Namespace, pod.Pod} }

// roundRunner runs rounds: for each, it finds the endpoints to send the checks to, and sends them.
type roundRunner struct {
	Subject          // its Checks are only those that send requests; nil: smoke's default checks
	commands         []release.Check
	deps             Deps
	reported         map[string]bool
	others           map[podKey]bool         // pods of the other images
	servicesOfOthers map[release.Object]bool // Services whose endpoints are such pods only; false for any other Service
	seen             map[podKey]seenPod      // the pods that were ready in a round
	routed           *release.Check          // the default check for an address that is no Service's; nil until it is known
	outputs          map[string]int          // of each command that were shown
	isUnsteady       bool                    // in the last round, a pod was no longer ready or had restarted
	draining         bool                    // all wrong answers of the last round may come from pods that are being deleted
	isUncounted      bool                    // answers of the last round from outside do not count, because they may be those of something else
	uncountedSince   time.Time
}

// seenPod is a pod that was ready in a round.
type seenPod struct {
	restarts        int // at first sight; of a pod that gets requests, in the last round
	workload        release.Object
	hasNothingToAsk bool // it has neither a probe nor a port, so no request is sent to it
}

func newRoundRunner(subject Subject, deps Deps) *roundRunner {
	a := &roundRunner{Subject: subject, deps: deps, reported: map[string]bool{}, others: map[podKey]bool{}, servicesOfOthers: map[release.Object]bool{}, seen: map[podKey]seenPod{}, outputs: map[string]int{}}
	a.Checks, a.commands = splitChecks(subject.Checks)
	return a
}

// infoOnce reports a line once in all rounds.
func (a *roundRunner) infoOnce(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if !a.reported[line] {
		a.reported[line] = true
		a.deps.Reporter.Infof("%s", line)
	}
}

// warnOnce warns once in all rounds, whatever the arguments are.
func (a *roundRunner) warnOnce(format string, args ...any) {
	if !a.reported[format] {
		a.reported[format] = true
		a.deps.Reporter.Warnf(format, args...)
	}
}

// canCheckPods reports whether the image of the release's pods is known and there is a cluster to read them from.
func (a *roundRunner) canCheckPods() bool { return a.deps.Cluster != nil && !a.Image.IsZero() }

// planRound reads the addresses and the ready endpoints as they are now. An error means that no check can be sent, now or later.
func (a *roundRunner) planRound(ctx context.Context) (roundPlan, error) {
	var found roundPlan
	checks := a.Checks
	if a.canCheckPods() {
		backends, down, err := a.backends(ctx)
		if err != nil {
			if isOutOfTime(err) {
				<-ctx.Done() // the round is cut short: its last request would not have been sent in time
			}
			return a.withoutCluster(ctx, err), nil
		}
		for _, note := range backends.Notes {
			a.infoOnce("%s", note)
		}
		found.wrong, found.terminating = a.foreignEndpoints(backends), terminatingPods(backends)
		found.runs = a.rightPods(backends)
		switch {
		case len(backends.Pods) == 0 && a.Ended && a.URL == "":
			a.infoOnce("no requests are sent: the Jobs that run the images have ended")
			found.shown = append(found.shown, release.Answer{Check: "pods", Stage: release.StageDone})
		case len(backends.Pods) == 0 && (a.URL == "" || !a.isIdle(ctx)): // a gateway may answer without them
			found.wrong = append(found.wrong, release.Answer{Check: "pods", Stage: release.StageConnect, Wrong: []string{fmt.Sprintf("no pod of release %q is ready", a.Release)}})
		case len(backends.Pods) > 0:
			found.wrong = append(found.wrong, down...)
		}
		if found.inside, err = a.insideRequests(backends, a.Checks); err != nil {
			return found, err
		}
		found.wrong = slices.Concat(found.wrong, missingEndpoints(backends), emptyServices(backends), a.servicesWithoutPods(backends))
		if checks == nil {
			found.inside = append(found.inside, a.servicePorts(found.inside, backends)...)
			found.shown = append(found.shown, a.unprobeablePods(backends)...)
		} else {
			found.shown = append(found.shown, a.addOthers(&found, backends)...)
		}
		unsteady := a.unsteadyPods(backends)
		a.isUnsteady = len(unsteady) > 0 || !allAre(found.shown, release.Answer.OK)
		found.wrong = append(found.wrong, unsteady...)
		if checks == nil {
			checks = []release.Check{a.outsideCheck(ctx, backends)}
		}
	} else if checks == nil {
		checks = []release.Check{homeCheck}
		if len(a.commands) > 0 {
			checks = []release.Check{guessedCheck}
		}
	}
	found.outside = a.outsideRequests(ctx, checks)
	if len(found.outside)+len(found.inside)+len(found.shown)+len(found.wrong) == 0 { // a round without answers passes
		found.wrong = []release.Answer{{Check: "pods", Stage: release.StageConnect, Wrong: []string{fmt.Sprintf("nothing in release %q can receive requests yet", a.Release)}}}
	}
	return found, nil
}

// isOutOfTime reports whether a request to the cluster was not sent because its turn would have come after the context's deadline. Source:
// golang.org/x/time/rate, Limiter.WaitN.
func isOutOfTime(err error) bool {
	return strings.Contains(err.Error(), "would exceed context deadline")
}

// downWorkloads returns a failed answer for each of an image's workloads that does not serve it, whatever the others do.
func downWorkloads(image release.Image, workloads []release.RunningWorkload) (answers []release.Answer) {
	for _, workload := range workloads {
		if down := workload.Down(); down != "" {
			answers = append(answers, release.Answer{Check: "pods", Address: imageAddress(image), Stage: release.StageConnect, Wrong: []string{down}})
		}
	}
	return answers
}

// imageAddress is the address of an answer that is about an image and not about one of its pods.
func imageAddress(image release.Image) string { return "image " + image.String() }

// unsteadyPods returns a failed answer for each pod that was ready in an earlier round and has a container that no longer is, or that has
// restarted since. A pod that no longer exists is only logged: it may have been replaced, moved, or scaled down.
func (a *roundRunner) unsteadyPods(backends release.Backends) (answers []release.Answer) {
	present := map[podKey]bool{}
	add := func(pod, wrong string) {
		answers = append(answers, release.Answer{Check: "ready", Address: "pod " + pod, Stage: release.StageCheck, Wrong: []string{wrong}})
	}
	for _, workload := range backends.Workloads {
		for _, container := range workload.Pods {
			key := podKey{cmp.Or(workload.Object.Namespace, a.Namespace), container.Pod}
			if _, seen := a.seen[key]; seen && !present[key] && container.Unready && container.Named && !container.Outdated {
				add(container.Pod, "is no longer ready")
			}
			present[key] = true
		}
	}
	for _, pod := range backends.Pods {
		key := keyOf(pod.Backend)
		present[key] = true
		before, seen := a.seen[key]
		if before.hasNothingToAsk { // its answer says so
			continue
		}
		if seen && pod.Restarts > before.restarts {
			add(pod.Pod, restarted(pod.Restarts-before.restarts))
		}
		a.seen[key] = seenPod{restarts: pod.Restarts, workload: pod.Workload}
	}
	for _, key := range slices.SortedFunc(maps.Keys(a.seen), func(a, b podKey) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.namespace, b.namespace))
	}) {
		if !present[key] {
			a.infoOnce("pod %q of %s no longer exists and is not checked any more", key.name, a.seen[key].workload)
		}
	}
	return answers
}

func restarted(times int) string { return fmt.Sprintf("%d restarts during the smoke", times) }

// isIdle reports whether the workloads that run the images want no pod, such as those scaled to zero. It ignores Jobs, whose pods serve
// nothing. It returns false if the cluster does not answer.
func (a *roundRunner) isIdle(ctx context.Context) bool {
	known := false
	for _, image := range a.images() {
		running, err := a.deps.Cluster.Running(ctx, a.Namespace, a.Release, image)
		if err != nil {
			return false
		}
		for _, workload := range running.Workloads {
			if workload.WantsPods && workload.Object.Kind != "Job" {
				return false
			}
			known = true
		}
	}
	return known
}

// backends returns the backends of every image, those of the main image first, and a failed answer for each workload that is down. A pod that runs
// several of the images is listed once, a workload once for each. A Service has all its endpoints, also those of other images' pods.
func (a *roundRunner) backends(ctx context.Context) (all release.Backends, down []release.Answer, err error) {
	for i, image := range a.images() {
		of, err := a.deps.Cluster.Backends(ctx, a.Namespace, a.Release, image)
		if err != nil {
			return all, nil, err
		}
		down = append(down, downWorkloads(image, of.Workloads)...)
		all.Workloads = append(all.Workloads, of.Workloads...)
		all.Notes = append(all.Notes, of.Notes...)
		for _, pod := range of.Pods {
			at := slices.IndexFunc(all.Pods, func(known release.BackendPod) bool { return keyOf(known.Backend) == keyOf(pod.Backend) })
			if at >= 0 {
				all.Pods[at].Runs = all.Pods[at].Runs && pod.Runs
				continue
			}
			all.Pods = append(all.Pods, pod)
			a.others[keyOf(pod.Backend)] = i > 0
		}
		if i == 0 {
			all.Missing = of.Missing // those of the release, whatever the image
		}
		for _, service := range of.NoPods {
			if !slices.Contains(all.NoPods, service) {
				all.NoPods = append(all.NoPods, service)
			}
		}
		for _, service := range of.Services {
			if !slices.ContainsFunc(all.Services, func(known release.BackendService) bool { return known.Object == service.Object }) {
				all.Services = append(all.Services, service)
				a.servicesOfOthers[service.Object] = i > 0
			}
		}
	}
	return all, down, nil
}

// withoutCluster returns the plan for a round in which the cluster does not answer: the requests to the release's URL, or a failed
// answer if there is no URL.
func (a *roundRunner) withoutCluster(ctx context.Context, err error) roundPlan {
	checks := a.Checks
	if checks == nil {
		checks = []release.Check{routeCheck}
	}
	unknownPods := []release.Answer{{Check: checks[0].Name, Stage: release.StageConnect, Wrong: []string{"asking the cluster for the pods: " + err.Error()}}}
	if a.URL != "" {
		a.infoOnce("the pods are not checked individually: %v", err)
		return roundPlan{outside: a.outsideRequests(ctx, checks), unknownPods: unknownPods}
	}
	return roundPlan{wrong: unknownPods}
}

// outsideRequests returns the requests to the release's URL, one for each address that its host name resolves to now.
func (a *roundRunner) outsideRequests(ctx context.Context, checks []release.Check) (requests []request) {
	if a.URL == "" {
		return nil
	}
	addresses := a.deps.Prober.Addresses(ctx, a.URL)
	if len(addresses) == 0 {
		addresses = []string{""}
	}
	namesNone := len(checks) == 1 && checks[0].Kind == release.CheckTCP // the pods name their commit
	for _, address := range addresses {
		requests = append(requests, request{Endpoint: release.Endpoint{Base: a.URL, Address: address}, checks: checks, anyCommit: a.AnyCommit || namesNone})
	}
	return requests
}

// isRight reports whether a pod may answer for the release: it runs the image, or is held back at another revision where that is accepted.
func (a *roundRunner) isRight(pod release.BackendPod) bool {
	return pod.Runs || pod.HeldBack && a.HeldBack
}

// foreignEndpoints returns a failed answer for each ready endpoint of the release's Services that is not a pod with the release's
// image: such an endpoint may answer clients from another commit.
func (a *roundRunner) foreignEndpoints(backends release.Backends) (answers []release.Answer) {
	ours := a.rightPods(backends)
	for _, service := range backends.Services {
		for _, endpoint := range service.Endpoints {
			if ours[podKey{endpoint.Namespace, endpoint.Pod}] {
				continue
			}
			answers = append(answers, release.Answer{Check: endpointsCheck, Address: release.Endpoint{Backend: endpoint}.Name(), Stage: release.StageCheck, OtherCommit: true,
				Wrong: []string{fmt.Sprintf("%s sends requests to %s, which is not a pod of release %q that runs %s", service.Object, endpoint.Name(), a.Release, a.digests())}})
		}
	}
	return answers
}

// digests names the images.
func (a *roundRunner) digests() string {
	names := a.Image.Digest.Short()
	for _, other := range a.Others {
		names += " or " + other.Digest.Short()
	}
	return names
}

// insideRequests returns the requests to every ready pod. With a checks file they go to the port of the release's Service; without
// one they repeat the pod's readiness probe.
func (a *roundRunner) insideRequests(backends release.Backends, checks []release.Check) (requests []request, err error) {
	asked := a.backendsByProbe(backends, checks)
	host := ""
	if checks != nil {
		asked = slices.DeleteFunc(asked, func(pod release.BackendPod) bool { return a.others[keyOf(pod.Backend)] }) // the file is about the main image
		service, found, err := a.selectService(backends)
		if err != nil && a.URL == "" {
			return nil, release.BadSetting("address", err.Error(), "name the Service that the checks are for, as service/NAME")
		}
		if found {
			host = service.Object.Name + "." + cmp.Or(service.Object.Namespace, a.Namespace) + ".svc"
			asked = endpointsOfPods(service, backends)
		} else if len(backends.Services) > 0 { // which one the URL leads to is not known
			a.infoOnce("the pods are not checked individually, because it is not known to which of the release's Services %s leads", a.URL)
			return nil, nil
		}
	}
	for _, pod := range asked {
		requests = append(requests, a.insideRequest(pod, host, checks))
	}
	if len(requests) == 0 && a.Checks != nil && a.URL == "" && len(backends.Services) == 0 &&
		slices.ContainsFunc(backends.Pods, func(pod release.BackendPod) bool { return !a.others[keyOf(pod.Backend)] }) {
		return nil, &release.Failure{What: fmt.Sprintf("the checks have no target: no Service of release %q selects its pods", a.Release),
			Do: "give --checks probe: each pod then gets the request of its readiness probe, or has to stay ready"}
	}
	return requests, nil
}

// selectService chooses the Service that a file of checks is for. One that leads to other images' pods only is chosen if it is named, or if there
// is no other.
func (a *roundRunner) selectService(backends release.Backends) (release.BackendService, bool, error) {
	main := backends
	main.Services = slices.DeleteFunc(slices.Clone(backends.Services), func(service release.BackendService) bool {
		isNamed := service.Object.HasAddress(a.Address) || a.URL != "" && service.URL == a.URL
		return a.servicesOfOthers[service.Object] && !isNamed
	})
	if len(main.Services) == 0 {
		main = backends
	}
	return main.SelectService(a.Address, a.URL, a.Namespace, a.Release)
}

// servicePorts returns a connection to each ready pod at the port to which the release's only Service sends requests, if the pod's probe asks
// another port: a ready pod does not show that the Service's port leads to anything. An address outside shows it by itself.
func (a *roundRunner) servicePorts(asked []request, backends release.Backends) (requests []request) {
	if a.URL != "" || len(backends.Services) != 1 || !backends.Services[0].OnePort {
		return nil
	}
	service := backends.Services[0]
	for _, pod := range endpointsOfPods(service, backends) {
		if slices.ContainsFunc(asked, func(other request) bool {
			return keyOf(other.Backend) == keyOf(pod.Backend) && other.Backend.Port == pod.Port
		}) {
			continue
		}
		pod.Check = release.Check{Name: service.Object.String(), Kind: release.CheckTCP}
		requests = append(requests, a.insideRequest(pod, "", nil))
	}
	return requests
}

// servicesWithoutPods returns a failed answer for each Service that selects no pod, if the release has Services and none of them leads to its pods.
// If another Service does, such a one is only logged: its pods may be another release's.
func (a *roundRunner) servicesWithoutPods(backends release.Backends) (answers []release.Answer) {
	for _, service := range backends.NoPods {
		wrong := fmt.Sprintf("%s selects no pod: its selector matches neither a pod of the namespace nor a pod template of the release", service)
		if len(backends.Services) > 0 {
			a.infoOnce("%s", wrong)
			continue
		}
		answers = append(answers, release.Answer{Check: endpointsCheck, Stage: release.StageCheck, Wrong: []string{wrong}})
	}
	return answers
}

// missingEndpoints returns a failed answer for each Service and Ingress of the release that is not in the cluster: its pods may be ready, and no client reaches
// them that way.
func missingEndpoints(backends release.Backends) (answers []release.Answer) {
	for _, object := range backends.Missing {
		answers = append(answers, release.Answer{Check: endpointsCheck, Stage: release.StageCheck, Wrong: []string{object.String() + " of the release does not exist"}})
	}
	return answers
}

// emptyServices are the Services to which the cluster has not yet added the ready pods that they select, and those whose pods do not have the port.
func emptyServices(backends release.Backends) (answers []release.Answer) {
	for _, service := range backends.Services {
		if service.NoPort != "" {
			answers = append(answers, release.Answer{Check: endpointsCheck, Stage: release.StageCheck,
				Wrong: []string{fmt.Sprintf("%s sends requests to port %q, which no container of the pods that it selects has", service.Object, service.NoPort)}})
			continue
		}
		if len(service.Endpoints) == 0 {
			answers = append(answers, release.Answer{Check: endpointsCheck, Stage: release.StageConnect, Wrong: []string{service.Object.String() + " has no ready endpoint yet"}})
		}
	}
	return answers
}

// backendsByProbe are the pods that have a probe or a port, or that a Service sends requests to.
func (a *roundRunner) backendsByProbe(backends release.Backends, checks []release.Check) (asked []release.BackendPod) {
	for _, pod := range backends.Pods {
		if pod.Port == 0 {
			pod = servedPod(pod, backends)
		}
		if pod.Port == 0 {
			continue
		}
		if checks == nil {
			a.infoOnce("%s: %s", pod.Workload, pod.Source)
		}
		asked = append(asked, pod)
	}
	return asked
}

// unprobeablePods returns an answer for each pod that has neither a probe nor a port: it has to stay ready without a restart. Beside a URL only those of the
// further images count, because what answers there is the main image.
func (a *roundRunner) unprobeablePods(backends release.Backends) (answers []release.Answer) {
	for _, pod := range backends.Pods {
		if pod.Port != 0 || servedPod(pod, backends).Port != 0 {
			continue
		}
		if a.URL != "" && !a.others[keyOf(pod.Backend)] {
			a.infoOnce("the pods of %s are not checked: they have no probe that can be asked, and no port", pod.Workload)
			continue
		}
		a.infoOnce("the pods of %s have no probe that can be asked and no port: they have to stay ready", pod.Workload)
		answer := release.Answer{Check: "ready", Address: "pod " + pod.Pod, Stage: release.StageDone}
		if first, seen := a.seen[keyOf(pod.Backend)]; seen && pod.Restarts > first.restarts {
			answer.Stage, answer.Wrong = release.StageCheck, []string{restarted(pod.Restarts - first.restarts)}
		} else if !seen {
			a.seen[keyOf(pod.Backend)] = seenPod{restarts: pod.Restarts, workload: pod.Workload, hasNothingToAsk: true}
		}
		answers = append(answers, answer)
	}
	return answers
}

// addOthers adds the requests to those pods of the further images that get none of the file's checks: each gets the request of its own probe. It returns an answer for each that has
// neither a probe nor a port.
func (a *roundRunner) addOthers(found *roundPlan, backends release.Backends) []release.Answer {
	rest := backends
	rest.Pods = slices.DeleteFunc(slices.Clone(backends.Pods), func(pod release.BackendPod) bool {
		return !a.others[keyOf(pod.Backend)] || slices.ContainsFunc(found.inside, func(asked request) bool { return keyOf(asked.Backend) == keyOf(pod.Backend) })
	})
	for _, pod := range a.backendsByProbe(rest, nil) {
		found.inside = append(found.inside, a.insideRequest(pod, "", nil))
	}
	return a.unprobeablePods(rest)
}

// servedPod returns a pod that declares no port, with the port to which a Service sends requests; unchanged if no Service selects it.
func servedPod(pod release.BackendPod, backends release.Backends) release.BackendPod {
	for _, service := range backends.Services {
		for _, endpoint := range service.Endpoints {
			if keyOf(endpoint) == keyOf(pod.Backend) {
				pod.Backend, pod.Check = endpoint, guessedCheck
				pod.Source = fmt.Sprintf("no readinessProbe that can be asked: / has to answer below %d at the port of %s", routeCheck.StatusBelow, service.Object)
				return pod
			}
		}
	}
	return pod
}

// endpointsOfPods returns the release's pods among the Service's ready endpoints, with the endpoint's port.
func endpointsOfPods(service release.BackendService, backends release.Backends) (asked []release.BackendPod) {
	for _, endpoint := range service.Endpoints {
		for _, pod := range backends.Pods {
			if keyOf(pod.Backend) != keyOf(endpoint) {
				continue
			}
			endpoint.HTTPS = endpoint.HTTPS || pod.HTTPS && pod.Port == endpoint.Port
			pod.Backend = endpoint
			asked = append(asked, pod)
		}
	}
	return asked
}

// insideRequest asks a pod as the kubelet does, by its address, or as a client of its Service or of the gateway in front of it does.
func (a *roundRunner) insideRequest(pod release.BackendPod, host string, checks []release.Check) request {
	scheme := "http"
	if pod.HTTPS {
		scheme = "https"
	}
	to := request{Endpoint: release.Endpoint{Backend: pod.Backend, Base: scheme + "://" + net.JoinHostPort(pod.IP, strconv.Itoa(pod.Port))}, checks: checks,
		anyCommit: a.AnyCommit || a.others[keyOf(pod.Backend)]}
	switch {
	case checks == nil:
		to.checks = []release.Check{pod.Check}
	case a.URL != "":
		if outside, err := neturl.Parse(a.URL); err == nil {
			to.Proto, to.Base = outside.Scheme, scheme+"://"+outside.Host
		}
	case host != "":
		to.Base = scheme + "://" + host
	}
	return to
}

// outsideCheck returns the default check for the release's URL: the pods' own check if the URL is a Service's that leads to
// the port of the probe, and else that something answers. It does not repeat a check by HTTPS, because the pods' certificate need not
// match the address, and connects only.
func (a *roundRunner) outsideCheck(ctx context.Context, backends release.Backends) release.Check {
	if a.URL == "" {
		return routeCheck
	}
	for _, service := range backends.Services {
		if service.URL != a.URL {
			continue
		}
		for _, endpoint := range service.Endpoints {
			for _, pod := range backends.Pods {
				if keyOf(pod.Backend) == keyOf(endpoint) && pod.Port == endpoint.Port && pod.Check.Kind == release.CheckHTTP && !pod.HTTPS {
					return pod.Check
				}
				if keyOf(pod.Backend) == keyOf(endpoint) && pod.Port == endpoint.Port {
					return release.Check{Name: "tcp", Kind: release.CheckTCP}
				}
			}
		}
		return guessedCheck // which connects to a port of the pods
	}
	return a.servedCheck(ctx)
}
