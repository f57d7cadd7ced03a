package smoke_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/smoke"
)

// backendPod is a ready pod of the image, whose readiness is asked at /ready on 8081 and which a Service reaches on 8080.
func backendPod(name string) release.BackendPod {
	return release.BackendPod{Backend: release.Backend{Namespace: "staging", Pod: name, IP: "10.0.0.7", Port: 8081}, Runs: true,
		Workload: release.Object{Kind: "Deployment", Name: "shop"}, Check: release.Check{Name: "readiness /ready", Path: "/ready", StatusBelow: 400}, Source: "readinessProbe of container app"}
}

func backendService(name, url string, pods ...string) release.BackendService {
	service := release.BackendService{Object: release.Object{Kind: "Service", Name: name}, URL: url}
	for _, pod := range pods {
		service.Endpoints = append(service.Endpoints, release.Backend{Namespace: "staging", Pod: pod, IP: "10.0.0.7", Port: 8080})
	}
	return service
}

// TestPodsAreAskedOneByOne, beside the release's address if it has one.
func TestPodsAreAskedOneByOne(t *testing.T) {
	t.Parallel()
	right := release.Answer{Stage: release.StageDone, Status: 200} // names no commit
	wrong := release.Answer{Stage: release.StageCheck, Status: 500, Wrong: []string{"status: expected 200, got 500"}}
	redirect := release.Answer{Stage: release.StageDone, Status: 308} // a gateway's own
	notHTTP := release.Answer{Stage: release.StageHTTP, NotHTTP: true, Wrong: []string{"malformed HTTP response"}}
	refused := release.Answer{Stage: release.StageConnect, Wrong: []string{"refused"}}
	two := func(services ...release.BackendService) func() release.Backends {
		return func() release.Backends {
			return release.Backends{Pods: []release.BackendPod{backendPod("a"), backendPod("b")}, Services: services}
		}
	}
	shop := backendService("shop", "", "a", "b")
	only, onlyOutside := shop, backendService("shop", "http://lb", "a", "b")
	only.OnePort, onlyOutside.OnePort = true, true
	lost := func(services ...release.BackendService) func() release.Backends {
		return func() release.Backends {
			return release.Backends{Pods: []release.BackendPod{backendPod("a")}, Services: services, NoPods: []release.Object{{Kind: "Service", Name: "wbe"}}}
		}
	}
	file := []release.Check{{Name: "/", Path: "/", Status: 200}}
	held := backendPod("b")
	held.Runs, held.HeldBack = false, true
	foreign, portless := backendPod("b"), backendPod("a")
	foreign.Runs = false
	portless.Port, portless.Check = 0, release.Check{}
	restarting := func(pod release.BackendPod) func() release.Backends {
		return func() release.Backends { // one more in each round
			pod.Restarts++
			return release.Backends{Pods: []release.BackendPod{pod}}
		}
	}
	unnamed := backendService("shop", "")
	unnamed.NoPort = "web"
	elsewhere := backendPod("a") // the release has a pod "a" in another namespace, too
	elsewhere.Namespace, elsewhere.Restarts, elsewhere.Port = "other", 3, 8082
	elsewhere.Workload.Namespace = "other"
	for name, test := range map[string]struct {
		url      string
		checks   []release.Check // nil: default
		backends func() release.Backends
		answer   map[string]release.Answer // by the name of the endpoint; else right
		flags    []string
		want     release.Verdict
		exit     int
		text     string   // in the error or the log
		asked    []string // in the last round
	}{
		"inside only": {url: "none", backends: two(shop), want: release.Pass, text: "not checked: whether the release can be reached from outside", asked: []string{"pod a:8081", "pod b:8081"}},
		"inside only, one wrong": {url: "none", backends: two(shop), answer: map[string]release.Answer{"pod b:8081": wrong}, want: release.Fail, exit: 1,
			text: "at pod b:8081 status"},
		"a file is for the Service's port": {url: "none", checks: file, backends: two(shop), want: release.Pass, asked: []string{"pod a:8080", "pod b:8080"}},
		"a file, and two Services": {url: "none", checks: file, backends: two(backendService("web", "", "a"), backendService("admin", "", "a")), exit: 2,
			text: "service/web, service/admin"},
		"a file, and one of two Services": {url: "none", checks: file, backends: two(backendService("web", "", "a"), backendService("admin", "", "b")), flags: []string{"--address", "service/admin"},
			want: release.Pass, asked: []string{"pod b:8080"}},
		"beside an address":                  {checks: file, backends: two(shop), want: release.Pass, asked: []string{"", "pod a:8080", "pod b:8080"}},
		"beside an address, one wrong":       {checks: file, backends: two(shop), answer: map[string]release.Answer{"pod b:8080": wrong}, want: release.Fail, exit: 1, text: "at pod b:8080"},
		"beside a gateway that rewrites":     {checks: file, backends: two(shop), answer: map[string]release.Answer{"pod a:8080": wrong, "pod b:8080": wrong}, want: release.Pass, text: "is not compared pod by pod", asked: []string{""}},
		"pods that cannot be reached":        {checks: file, backends: two(shop), answer: map[string]release.Answer{"pod a:8080": refused, "pod b:8080": refused}, want: release.Pass, text: "they cannot be reached: refused", asked: []string{""}},
		"pods that refuse, behind a gateway": {backends: two(shop), answer: map[string]release.Answer{"": redirect, "pod a:8081": refused, "pod b:8081": refused}, want: release.Inconclusive, exit: 3, text: "at pod a:8081 refused"},
		"pods that fail, behind a gateway": {backends: func() release.Backends {
			return release.Backends{Pods: []release.BackendPod{portless}, Services: []release.BackendService{backendService("shop", "", "a")}}
		}, answer: map[string]release.Answer{"": redirect, "pod a:8080": wrong}, want: release.Fail, exit: 1, text: "at pod a:8080 status"},
		"pods that cannot be reached, and a commit outside": {backends: two(shop), answer: map[string]release.Answer{"": answerFrom(commit), "pod a:8081": refused, "pod b:8081": refused},
			want: release.Pass, text: "they cannot be reached: refused", asked: []string{""}},
		"the address of a Service": {url: "http://lb", backends: two(backendService("shop", "http://lb", "a", "b")), want: release.Pass, asked: []string{"", "pod a:8081", "pod b:8081"}},
		"an endpoint of nobody":    {url: "none", backends: two(backendService("shop", "", "a", "z")), want: release.Fail, exit: 1, text: `Service/shop sends requests to pod "z", which is not a pod of release "shop" that runs`},
		"an endpoint of an older revision": {url: "none", backends: func() release.Backends {
			return release.Backends{Pods: []release.BackendPod{backendPod("a"), foreign}, Services: []release.BackendService{shop}}
		}, want: release.Fail, exit: 1, text: `sends requests to pod "b"`},
		"an endpoint that is held back": {url: "none", backends: func() release.Backends {
			return release.Backends{Pods: []release.BackendPod{backendPod("a"), held}, Services: []release.BackendService{shop}}
		}, want: release.Fail, exit: 1, text: `sends requests to pod "b"`},
		"a Service that somebody deleted": {url: "none", backends: func() release.Backends {
			return release.Backends{Pods: []release.BackendPod{backendPod("a")}, Missing: []release.Object{{Kind: "Service", Name: "shop"}}}
		}, want: release.Fail, exit: 1, text: "endpoints [check] Service/shop of the release does not exist"},
		"neither probe nor port": {url: "none", backends: func() release.Backends { return release.Backends{Pods: []release.BackendPod{portless}} }, want: release.Pass,
			text: "they have to stay ready", asked: []string{"pod a"}},
		"neither probe nor port, and a file": {url: "none", checks: file, backends: func() release.Backends { return release.Backends{Pods: []release.BackendPod{portless}} }, exit: 1, text: "the checks have no target"},
		"two pods of one name": {url: "none", backends: func() release.Backends {
			return release.Backends{Pods: []release.BackendPod{backendPod("a"), elsewhere}}
		}, want: release.Pass,
			asked: []string{"pod a:8081", "pod a:8082"}},
		"two pods of one name, and a file": {url: "none", checks: file, backends: func() release.Backends {
			return release.Backends{Pods: []release.BackendPod{backendPod("a"), elsewhere}, Services: []release.BackendService{backendService("shop", "", "a")}}
		}, want: release.Pass, asked: []string{"pod a:8080"}},
		"a pod that restarts": {url: "none", backends: restarting(portless), want: release.Fail, exit: 1, text: "restarts during the smoke"},
		"no probe, and a Service": {url: "none", backends: func() release.Backends {
			return release.Backends{Pods: []release.BackendPod{portless}, Services: []release.BackendService{backendService("shop", "", "a")}}
		},
			want: release.Pass, text: "/ has to answer below 500 at the port of Service/shop", asked: []string{"pod a:8080"}},
		"no probe, and no HTTP": {url: "http://lb", backends: func() release.Backends {
			return release.Backends{Pods: []release.BackendPod{portless}, Services: []release.BackendService{backendService("shop", "http://lb", "a")}}
		}, answer: map[string]release.Answer{"": notHTTP, "pod a:8080": notHTTP}, want: release.Pass, text: "pod a:8080 is checked by connecting only, because it does not speak HTTP: malformed", asked: []string{"", "pod a:8080"}},
		"a probe of HTTP, and no HTTP":                        {url: "none", backends: two(shop), answer: map[string]release.Answer{"pod a:8081": notHTTP}, want: release.Fail, exit: 1, text: "malformed"},
		"a Service that selects no pod":                       {url: "none", backends: lost(), want: release.Fail, exit: 1, text: "Service/wbe selects no pod"},
		"a Service that selects no pod, beside one that does": {url: "none", backends: lost(backendService("shop", "", "a")), want: release.Pass, text: "Service/wbe selects no pod", asked: []string{"pod a:8081"}},
		"a Service whose named port no container has":         {url: "none", backends: two(unnamed), want: release.Fail, exit: 1, text: `Service/shop sends requests to port "web", which no container of the pods that it selects has`},
		"a Service whose port no pod has":                     {url: "none", backends: two(backendService("shop", "")), want: release.Inconclusive, exit: 3, text: "Service/shop has no ready endpoint yet"},
		"the Service's only port":                             {url: "none", backends: two(only), want: release.Pass, asked: []string{"pod a:8081", "pod b:8081", "pod a:8080", "pod b:8080"}},
		"the Service's only port refuses": {url: "none", backends: two(only), answer: map[string]release.Answer{"pod a:8080": refused, "pod b:8080": refused}, want: release.Inconclusive, exit: 3,
			text: "at pod a:8080 refused"},
		"the Service's only port, beside its address": {url: "http://lb", backends: two(onlyOutside), want: release.Pass, asked: []string{"", "pod a:8081", "pod b:8081"}},
		"no pod is ready":             {url: "none", backends: func() release.Backends { return release.Backends{} }, want: release.Inconclusive, exit: 3, text: "no pod of release \"shop\" is ready"},
		"a commit that must be named": {url: "none", backends: two(shop), flags: []string{"--commit-from", "header:X-Build"}, want: release.Fail, exit: 1, text: "no X-Build header"},
		"a commit in a field":         {url: "none", backends: two(shop), flags: []string{"--commit-from", "json:/version#build.commit"}, want: release.Fail, exit: 1, text: "commit in /version [check] at pod a:8081 commit: the response has no field $['build']['commit']"},
		"another commit is named":     {url: "none", backends: two(shop), answer: map[string]release.Answer{"pod b:8081": answerFrom(olderCommit)}, want: release.Fail, exit: 1, text: "answered by 89abcdef0123"},
		"the commit is abbreviated":   {url: "none", backends: two(shop), answer: map[string]release.Answer{"pod b:8081": {Stage: release.StageDone, Commit: commit.String()[:8]}}, want: release.Pass},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeDeps{url: test.url, checks: test.checks, backends: test.backends, revision: commit.String(), pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest, Ready: true}}},
				answer: func(_ time.Time, endpoint string) release.Answer {
					if answer, set := test.answer[endpoint]; set {
						return answer
					}
					return right
				}}
			fake.defaultChecks = test.checks == nil
			result, err := fake.run(t, append([]string{"--release", "shop", "--environment", "staging", "--image", image(t).String(), "--timeout", "30s", "--patience", "2s"}, test.flags...)...)
			said := fmt.Sprint(err) + "\n" + strings.Join(fake.lines, "\n")
			if result.Verdict != test.want || release.ExitCode(err) != test.exit || !strings.Contains(said, test.text) {
				t.Errorf("got %q, exit %d, want %q, exit %d, %q in:\n%s", result.Verdict, release.ExitCode(err), test.want, test.exit, test.text, said)
			}
			var asked []string
			for _, answer := range result.Report.Answers {
				asked = append(asked, answer.Address)
			}
			if test.asked != nil && strings.Join(asked, ",") != strings.Join(test.asked, ",") {
				t.Errorf("asked %q, want %q", asked, test.asked)
			}
		})
	}
}

// TestTheOutsideIsAskedWhatFits: a Service's address what the probe asks if it leads to the probe's port, any other address that something
// answers, and a URL alone that / has a body.
func TestTheOutsideIsAskedWhatFits(t *testing.T) {
	t.Parallel()
	pods := func(probePort int) func() release.Backends {
		return func() release.Backends {
			pod := backendPod("a")
			pod.Port = probePort
			return release.Backends{Pods: []release.BackendPod{pod}, Services: []release.BackendService{backendService("shop", "http://lb", "a")}}
		}
	}
	secure := func() release.Backends {
		backends := pods(8080)()
		backends.Pods[0].HTTPS = true
		return backends
	}
	for name, test := range map[string]struct {
		url      string
		backends func() release.Backends
		want     string
	}{
		"a Service that leads to the probe's port": {"http://lb", pods(8080), "readiness /ready"},
		"a Service that leads to another port":     {"http://lb", pods(8081), "GET /"},
		"a Service of pods that speak HTTPS":       {"http://lb", secure, "tcp"},
		"an Ingress":                               {"http://ingress", pods(8080), "GET /"},
	} {
		fake := &fakeDeps{url: test.url, backends: test.backends, defaultChecks: true, liveImage: image(t), answers: []release.Answer{answerFrom(commit)}}
		result, err := fake.run(t, "--release", "shop", "--environment", "staging")
		if err != nil || result.Report.Answers[0].Check != test.want {
			t.Errorf("%s: got %+v, %v", name, result.Report.Answers, err)
		}
	}
	connected := &fakeDeps{url: "http://lb", backends: secure, defaultChecks: true, liveImage: image(t), answer: func(_ time.Time, endpoint string) release.Answer {
		if endpoint == "" {
			return release.Answer{Stage: release.StageDone}
		}
		return answerFrom(commit)
	}}
	if result, err := connected.run(t, "--release", "shop", "--environment", "staging", "--expect-commit", commit.String(), "--commit-from", "header:X-Build"); err != nil {
		t.Errorf("a connection names no commit: got %+v, %v", result.Report.Answers, err)
	}
	fake := &fakeDeps{defaultChecks: true, answers: []release.Answer{answerFrom(commit)}}
	if result, err := fake.run(t, "--url", "http://shop.example"); err != nil || result.Report.Answers[0].Check != "home" {
		t.Errorf("got %+v, %v", result.Report.Answers, err)
	}
}

// TestAReleaseThatNeverAnsweredIsJudged by the image of its live revision, where none is named.
func TestAReleaseThatNeverAnsweredIsJudged(t *testing.T) {
	t.Parallel()
	fake := &fakeDeps{live: 4, liveImage: image(t), answers: []release.Answer{{Stage: release.StageConnect, Wrong: []string{"refused"}}},
		pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest}}}}
	result, err := fake.run(t, "--release", "shop", "--environment", "staging", "--timeout", "30s")
	if result.Verdict != release.Fail || !strings.Contains(fmt.Sprint(err), "Deployment/shop has no ready pod") || len(fake.marked) != 1 {
		t.Errorf("got %q, %v, marked %v", result.Verdict, err, fake.marked)
	}
}

// TestTheOtherImagesPodsAreAsked too: their commits are not compared, and a Service may lead to either.
func TestTheOtherImagesPodsAreAsked(t *testing.T) {
	t.Parallel()
	other := image(t).Repository.At(releasetest.Digest(t, "b"))
	shop := backendService("shop", "", "a", "b")
	fake := &fakeDeps{answer: func(_ time.Time, endpoint string) release.Answer {
		if endpoint == "pod b:8081" {
			return answerFrom(olderCommit)
		}
		return answerFrom(commit)
	}, backendsOf: map[release.Digest]release.Backends{
		image(t).Digest: {Pods: []release.BackendPod{backendPod("a")}, Services: []release.BackendService{shop}},
		other.Digest:    {Pods: []release.BackendPod{backendPod("b")}, Services: []release.BackendService{shop}},
	}}
	settings := smoke.Settings{ExpectCommit: commit, Consecutive: 3}
	ask := func(others ...release.Image) (smoke.Report, error) {
		return smoke.CheckSubject(t.Context(), smoke.Subject{Release: "shop", Namespace: "staging", Image: image(t), Others: others, Proved: true}, settings,
			smoke.Deps{Prober: fake, Cluster: fake, Reporter: reporter{fake: fake}, Now: func() time.Time { return fake.now }, Pause: func(context.Context, time.Duration) {}})
	}
	if report, err := ask(other); err != nil || len(report.Answers) != 2 {
		t.Errorf("got %+v, %v", report.Answers, err)
	}
	if report, err := ask(); !release.IsBadRelease(err) {
		t.Errorf("an endpoint of an image that is not the release's: got %+v, %v", report.Answers, err)
	}
}

// TestAnAddressDoesNotStandForPods: what answers while no pod is ready is a gateway's, unless the release wants no pod.
func TestAnAddressDoesNotStandForPods(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fake *fakeDeps
		want release.Verdict
	}{
		"the default check":      {&fakeDeps{defaultChecks: true}, release.Fail},
		"a file of checks":       {&fakeDeps{}, release.Fail},
		"a release without pods": {&fakeDeps{defaultChecks: true, idle: true}, release.Pass},
	} {
		fake := test.fake
		fake.liveImage, fake.backends, fake.pods = image(t), func() release.Backends { return release.Backends{} }, [][]release.PodImage{{}}
		fake.answers = []release.Answer{{Stage: release.StageDone, Status: 308}}
		result, err := fake.run(t, "--release", "shop", "--environment", "staging", "--timeout", "30s")
		if result.Verdict != test.want || (err == nil) != (test.want == release.Pass) || err != nil && !strings.Contains(err.Error(), `no pod of release "shop" is ready`) {
			t.Errorf("%s: got %q, %v, want %q", name, result.Verdict, err, test.want)
		}
	}
}

// TestAClusterThatRefuses leaves it to the address, which proves the release only by a file of checks or the commit.
func TestAClusterThatRefuses(t *testing.T) {
	t.Parallel()
	absent := release.Answer{Stage: release.StageDone, Status: 404}
	for name, test := range map[string]struct {
		fake *fakeDeps
		want release.Verdict
	}{
		"the default check":            {&fakeDeps{defaultChecks: true, answers: []release.Answer{absent}}, release.Inconclusive},
		"the default check and commit": {&fakeDeps{defaultChecks: true, answers: []release.Answer{answerFrom(commit)}}, release.Pass},
		"a file of checks":             {&fakeDeps{answers: []release.Answer{absent}}, release.Pass},
	} {
		test.fake.backendsErr, test.fake.revision = errors.New("pods is forbidden"), commit.String()
		test.fake.pods = [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest, Ready: true}}}
		result, err := test.fake.run(t, "--release", "shop", "--environment", "staging", "--image", image(t).String(), "--timeout", "30s")
		if result.Verdict != test.want || (err == nil) != (test.want == release.Pass) || err != nil && !strings.Contains(err.Error(), "pods is forbidden") {
			t.Errorf("%s: got %q, %v, want %q", name, result.Verdict, err, test.want)
		}
	}
}

// TestEndpointsThatLag behind the pods' readiness are waited for.
func TestEndpointsThatLag(t *testing.T) {
	t.Parallel()
	portless := backendPod("a")
	portless.Port, portless.Check = 0, release.Check{}
	for name, checks := range map[string][]release.Check{"the default check": nil, "a file of checks": {{Name: "/", Path: "/", Status: 200}}} {
		fake := &fakeDeps{url: "none", liveImage: image(t), checks: checks, defaultChecks: checks == nil, answers: []release.Answer{answerFrom(commit)}}
		round := 0
		fake.backends = func() release.Backends {
			service := backendService("shop", "")
			if round++; round > 3 {
				service = backendService("shop", "", "a")
			}
			return release.Backends{Pods: []release.BackendPod{portless}, Services: []release.BackendService{service}}
		}
		result, err := fake.run(t, "--release", "shop", "--environment", "staging", "--timeout", "30s")
		if err != nil || result.Verdict != release.Pass || result.Report.Errors != 3 || result.Report.Answers[0].Address != "pod a:8080" {
			t.Errorf("%s: got %q, %v, %+v", name, result.Verdict, err, result.Report)
		}
	}
	fake := &fakeDeps{url: "none", liveImage: image(t), defaultChecks: true, pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest, Ready: true}}}, backends: func() release.Backends {
		return release.Backends{Pods: []release.BackendPod{portless}, Services: []release.BackendService{backendService("shop", "")}}
	}}
	if result, err := fake.run(t, "--release", "shop", "--environment", "staging", "--timeout", "30s"); result.Verdict != release.Inconclusive || !strings.Contains(fmt.Sprint(err), "Service/shop has no ready endpoint yet") {
		t.Errorf("got %q, %v", result.Verdict, err)
	}
}

// TestPodsThatAreHeldBack: where pods that a partition holds back answer for another commit, there is no verdict, and their failure is not taken for the image's.
func TestPodsThatAreHeldBack(t *testing.T) {
	t.Parallel()
	held := backendPod("b")
	held.Runs, held.HeldBack = false, true
	broken := release.Answer{Stage: release.StageCheck, Wrong: []string{"status: 500"}}
	for name, test := range map[string]struct {
		old    release.Answer
		image  release.Answer
		want   release.Verdict
		marked int
	}{
		"another commit":      {answerFrom(olderCommit), answerFrom(commit), release.Inconclusive, 0},
		"no commit":           {release.Answer{Stage: release.StageDone}, answerFrom(commit), release.Pass, 1},
		"broken":              {broken, answerFrom(commit), release.Fail, 0},
		"the image is broken": {answerFrom(olderCommit), broken, release.Fail, 1},
	} {
		fake := &fakeDeps{live: 4, url: "none", defaultChecks: true, revision: commit.String(),
			pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest, Ready: true}, {Pod: "b", ImageID: "shop:v1", HeldBack: "the StatefulSet's partition is 1", Ready: true}}},
			backends: func() release.Backends {
				return release.Backends{Pods: []release.BackendPod{backendPod("a"), held}, Services: []release.BackendService{backendService("shop", "", "a", "b")}}
			},
			answer: func(_ time.Time, endpoint string) release.Answer {
				if endpoint == "pod b:8081" {
					return test.old
				}
				return test.image
			}}
		result, err := fake.run(t, "--release", "shop", "--environment", "staging", "--image", image(t).String(), "--timeout", "30s", "--patience", "2s")
		if log := strings.Join(fake.lines, "\n"); !strings.Contains(log, "verdict: "+string(test.want)) {
			t.Errorf("%s: not told as %s:\n%s", name, test.want, log)
		}
		if result.Verdict != test.want || len(fake.marked) != test.marked || len(fake.recorded) != test.marked {
			t.Errorf("%s: got %q, %v, marked %v, recorded %v", name, result.Verdict, err, fake.marked, fake.recorded)
		}
	}
}

// TestEachWorkloadServes: one of the image that is down is not proved by another of the same image, nor one pod by another.
func TestEachWorkloadServes(t *testing.T) {
	t.Parallel()
	ready := func(pod string) release.PodImage {
		return release.PodImage{Pod: pod, Digest: image(t).Digest, Named: true, Ready: true}
	}
	with := func(pod string, change func(*release.PodImage)) release.PodImage {
		one := ready(pod)
		one.Ready = false
		change(&one)
		return one
	}
	unready := func(pod string) release.PodImage { return with(pod, func(p *release.PodImage) { p.Unready = true }) }
	crashing := func(pod string) release.PodImage { return with(pod, func(p *release.PodImage) { p.Restarting = true }) }
	starting := func(pod string) release.PodImage { return with(pod, func(*release.PodImage) {}) }
	always := func(pods ...release.PodImage) func(int) []release.PodImage {
		return func(int) []release.PodImage { return pods }
	}
	for name, test := range map[string]struct {
		shop, worker func(round int) []release.PodImage // two Deployments of one image
		restarts     func(round int) int                // of the pod a
		url          string
		checks       []release.Check
		want         release.Verdict
		errors       int
		text, told   string
	}{
		"both serve":              {want: release.Pass},
		"one is down":             {worker: always(crashing("c")), want: release.Fail, text: "Deployment/worker has no ready pod"},
		"one is down, inside":     {url: "none", worker: always(crashing("c")), want: release.Fail, text: "Deployment/worker has no ready pod"},
		"one is down, and a file": {checks: []release.Check{{Name: "/", Path: "/"}}, worker: always(crashing("c")), want: release.Fail, text: "Deployment/worker has no ready pod"},
		"one loses its pods":      {worker: func(round int) []release.PodImage { return map[bool][]release.PodImage{true: {ready("c")}}[round < 2] }, want: release.Fail, text: "Deployment/worker has no ready pod"},
		"one of two pods crashes": {shop: always(ready("a"), crashing("b")), want: release.Fail, text: `pod "b" of Deployment/shop restarts and is not ready`},
		"one of two pods starts":  {shop: always(ready("a"), starting("b")), want: release.Pass},
		"one that gets ready": {worker: func(round int) []release.PodImage {
			return map[bool][]release.PodImage{true: {ready("c")}, false: {unready("c")}}[round > 2]
		}, want: release.Pass, errors: 2},
		"an older pod that crashes": {shop: always(ready("a"), with("b", func(p *release.PodImage) { p.Restarting, p.Outdated = true, true })), want: release.Pass},
		"one that is held back":     {shop: always(ready("a"), with("b", func(p *release.PodImage) { p.Restarting, p.Named, p.HeldBack = true, false, "partition" })), want: release.Pass},
		"older pods only":           {worker: always(release.PodImage{Pod: "c", Digest: image(t).Digest, Named: true, Ready: true, Outdated: true}), want: release.Fail, text: "Deployment/worker has no ready pod"},
		"one pod no longer ready": {shop: func(round int) []release.PodImage {
			return map[bool][]release.PodImage{true: {ready("a"), ready("b")}, false: {ready("a"), unready("b")}}[round == 1]
		},
			want: release.Fail, text: "ready [check] at pod b is no longer ready"},
		"one pod not ready once": {shop: func(round int) []release.PodImage {
			return map[bool][]release.PodImage{false: {ready("a"), ready("b")}, true: {ready("a"), unready("b")}}[round == 2]
		},
			want: release.Pass, errors: 1},
		"one pod is replaced": {shop: func(round int) []release.PodImage {
			return map[bool][]release.PodImage{true: {ready("a"), ready("b")}, false: {ready("a"), starting("d")}}[round == 1]
		},
			want: release.Pass, told: `pod "b" of Deployment/shop no longer exists and is not checked any more`},
		"a node that does not answer": {shop: func(round int) []release.PodImage {
			return map[bool][]release.PodImage{true: {ready("a"), ready("b")}, false: {ready("a"), starting("b")}}[round == 1]
		}, want: release.Pass},
		"a restart": {restarts: func(round int) int { return min(round-1, 1) }, want: release.Pass, errors: 1},
		"restarts":  {restarts: func(round int) int { return round }, want: release.Fail, text: "at pod a 1 restarts during the smoke"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.shop == nil {
				test.shop = always(ready("a"))
			}
			if test.worker == nil {
				test.worker = always(ready("c"))
			}
			round := 0
			running := func() release.Running {
				both := releasetest.Running(test.shop(round)...)
				second := releasetest.Running(test.worker(round)...).Workloads[0]
				second.Object.Name = "worker"
				both.Workloads = append(both.Workloads, second)
				return both
			}
			fake := &fakeDeps{url: test.url, checks: test.checks, defaultChecks: test.checks == nil, revision: commit.String(), answers: []release.Answer{answerFrom(commit)}, running: running}
			fake.backends = func() release.Backends {
				round++
				backends := release.Backends{Workloads: running().Workloads}
				for _, workload := range backends.Workloads {
					for _, each := range workload.Pods {
						if !each.Ready {
							continue
						}
						pod := backendPod(each.Pod)
						pod.Workload = workload.Object
						if test.restarts != nil && each.Pod == "a" {
							pod.Restarts = test.restarts(round)
						}
						backends.Pods = append(backends.Pods, pod)
					}
				}
				return backends
			}
			result, err := fake.run(t, "--release", "shop", "--environment", "staging", "--image", image(t).String(), "--timeout", "30s", "--patience", "2s")
			if result.Verdict != test.want || !strings.Contains(fmt.Sprint(err), test.text) || !strings.Contains(strings.Join(fake.lines, "\n"), test.told) {
				t.Errorf("got %q, %v; want %q, %q, %q in:\n%s", result.Verdict, err, test.want, test.text, test.told, strings.Join(fake.lines, "\n"))
			}
			if test.want == release.Pass && result.Report.Errors != test.errors {
				t.Errorf("%d requests were wrong, want %d", result.Report.Errors, test.errors)
			}
		})
	}
}

// TestPodsThatStayUnsteady: a container that ends again and again is ready in between, and one that ended once has to stay.
func TestPodsThatStayUnsteady(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		restarts func(round int) int
		want     release.Verdict
		atLeast  float64 // seconds
	}{
		"one restart":                 {func(round int) int { return min(round-1, 1) }, release.Pass, 10},
		"a restart every five rounds": {func(round int) int { return (round + 3) / 5 }, release.Fail, 30},
		"none":                        {func(int) int { return 3 }, release.Pass, 2},
	} {
		round := 0
		fake := &fakeDeps{url: "none", defaultChecks: true, revision: commit.String(), answers: []release.Answer{answerFrom(commit)},
			running: func() release.Running {
				return releasetest.Running(release.PodImage{Pod: "a", Digest: image(t).Digest, Named: true, Ready: true})
			}}
		fake.backends = func() release.Backends {
			round++
			pod := backendPod("a")
			pod.Restarts = test.restarts(round)
			return release.Backends{Pods: []release.BackendPod{pod}, Workloads: fake.running().Workloads}
		}
		result, err := fake.run(t, "--release", "shop", "--environment", "staging", "--image", image(t).String(), "--timeout", "5m", "--patience", "10s")
		if result.Verdict != test.want || result.Report.Seconds < test.atLeast || result.Report.Seconds > test.atLeast+15 {
			t.Errorf("%s: got %s after %.1f s, %v; want %s after %.0f s or a little more", name, result.Verdict, result.Report.Seconds, err, test.want, test.atLeast)
		}
	}
}

// TestACacheThatAnswersIsToldOf, unless its answer names the expected commit.
func TestACacheThatAnswersIsToldOf(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer release.Answer
		told   int
	}{
		"a cache":                         {release.Answer{Stage: release.StageDone, CachedFor: 2 * time.Minute}, 1},
		"no cache":                        {release.Answer{Stage: release.StageDone}, 0},
		"a cache that has the new answer": {release.Answer{Stage: release.StageDone, Commit: commit.String(), CachedFor: time.Second}, 0},
	} {
		fake := &fakeDeps{revision: commit.String(), answers: []release.Answer{test.answer}, pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest, Ready: true}}}}
		if _, err := fake.run(t, "--release", "shop", "--environment", "staging", "--image", image(t).String()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := strings.Count(strings.Join(fake.lines, "\n"), "a cache answered check"); got != test.told {
			t.Errorf("%s: told %d times, want %d", name, got, test.told)
		}
	}
}
