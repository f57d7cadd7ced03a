package smoke_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

// TestAFurtherImageIsNotProvedByTheMainOne: its own pods have to be ready, and to answer what they can be asked.
func TestAFurtherImageIsNotProvedByTheMainOne(t *testing.T) {
	t.Parallel()
	worker := release.Repository("localhost:5000/worker").At(releasetest.Digest(t, "b"))
	file := []release.Check{{Name: "/", Path: "/", Status: 200}}
	wrong := release.Answer{Stage: release.StageCheck, Wrong: []string{"status: 500"}}
	plain := backendPod("b")
	plain.Port, plain.Check = 0, release.Check{}
	runs := func(ready ...string) []release.PodImage { // b and what replaces it
		pods := []release.PodImage{{Pod: "b", Digest: worker.Digest, Ready: slices.Contains(ready, "b")}}
		if len(ready) > 0 && ready[0] != "b" {
			pods[0].Pod, pods[0].Ready = ready[0], true
		}
		return pods
	}
	shopService, workerService := backendService("api", "", "a"), backendService("metrics", "", "b")
	pods := func(pods ...release.BackendPod) func(int) []release.BackendPod {
		return func(int) []release.BackendPod { return pods }
	}
	for name, test := range map[string]struct {
		url      string
		checks   []release.Check
		services []release.BackendService // of both images
		worker   func(round int) []release.BackendPod
		running  []release.PodImage
		answer   map[string]release.Answer
		want     release.Verdict
		text     string
		asked    string
		recorded string
	}{
		"a file, and no Service of its own": {checks: file, services: []release.BackendService{shopService}, worker: pods(backendPod("b")), running: runs("b"), want: release.Pass,
			asked: "/ , / pod a:8080, readiness /ready pod b:8081", recorded: "shop pass, worker pass"},
		"a file, and no Service at all": {checks: file, worker: pods(backendPod("b")), running: runs("b"), want: release.Pass,
			asked: "/ , / pod a:8081, readiness /ready pod b:8081", recorded: "shop pass, worker pass"},
		"a file, inside only, and a Service of its own": {url: "none", checks: file, services: []release.BackendService{shopService, workerService}, worker: pods(backendPod("b")), running: runs("b"), want: release.Pass,
			asked: "/ pod a:8080, readiness /ready pod b:8081", recorded: "shop pass, worker pass"},
		"its probe fails beside a file": {checks: file, services: []release.BackendService{shopService}, worker: pods(backendPod("b")), running: runs("b"), answer: map[string]release.Answer{"pod b:8081": wrong}, want: release.Fail,
			text: "readiness /ready [check] at pod b:8081 status: 500", recorded: "worker fail"},
		"nothing to ask beside a file": {checks: file, services: []release.BackendService{shopService}, worker: pods(plain), running: runs("b"), want: release.Pass,
			asked: "/ , / pod a:8080, ready pod b", recorded: "shop pass, worker pass"},
		"it restarts beside a file": {checks: file, services: []release.BackendService{shopService}, running: runs("b"), want: release.Fail, worker: func(round int) []release.BackendPod {
			pod := plain
			pod.Restarts = round
			return []release.BackendPod{pod}
		}, text: "restarts during the smoke", recorded: "worker fail"},
		"none is ready": {worker: pods(), running: runs(), want: release.Fail, text: "Deployment/shop has no ready pod", recorded: "worker fail"},
		"none is ready, beside a file": {checks: file, services: []release.BackendService{shopService}, worker: pods(), running: runs(), want: release.Fail,
			text: "image localhost:5000/worker@", recorded: "worker fail"},
		"one of two is no longer ready": {running: []release.PodImage{{Pod: "b", Digest: worker.Digest, Unready: true, Named: true}, {Pod: "c", Digest: worker.Digest, Ready: true}}, want: release.Fail,
			worker: func(round int) []release.BackendPod {
				other := plain
				other.Pod = "c"
				if round == 1 {
					return []release.BackendPod{plain, other}
				}
				return []release.BackendPod{other}
			}, text: "at pod b is no longer ready", recorded: "worker fail"},
		"another replaces it": {running: runs("c"), want: release.Pass,
			worker: func(round int) []release.BackendPod {
				pod := plain
				if round > 1 {
					pod.Pod = "c"
				}
				return []release.BackendPod{pod}
			}, asked: "GET / , readiness /ready pod a:8081, ready pod c", recorded: "shop pass, worker pass"},
		"the address fails too": {worker: pods(backendPod("b")), running: runs("b"), answer: map[string]release.Answer{"": wrong, "pod b:8081": wrong}, want: release.Fail,
			text: "status: 500", recorded: "shop fail, worker fail"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			round := 0
			workload := releasetest.Running(test.running...)
			fake := &fakeDeps{url: test.url, checks: test.checks, defaultChecks: test.checks == nil, revision: commit.String(),
				runningOf: map[release.Digest]release.Running{image(t).Digest: releasetest.Running(release.PodImage{Pod: "a", Digest: image(t).Digest, Ready: true}), worker.Digest: workload},
				answer: func(_ time.Time, endpoint string) release.Answer {
					if answer, set := test.answer[endpoint]; set {
						return answer
					}
					return answerFrom(commit)
				}}
			fake.backendsFor = func(of release.Image) release.Backends {
				if of.Digest == image(t).Digest {
					return release.Backends{Pods: []release.BackendPod{backendPod("a")}, Services: test.services[:min(len(test.services), 1)]}
				}
				round++
				backends := release.Backends{Pods: test.worker(round), Workloads: workload.Workloads, Services: test.services[min(len(test.services), 1):]}
				for i := range backends.Pods {
					backends.Pods[i].Workload = workload.Workloads[0].Object
				}
				return backends
			}
			result, err := fake.run(t, "--release", "shop", "--environment", "staging", "--image", image(t).String(), "--image", "worker="+worker.String(), "--timeout", "30s", "--patience", "2s")
			if result.Verdict != test.want || (err == nil) != (test.want == release.Pass) || !strings.Contains(fmt.Sprint(err), test.text) {
				t.Errorf("got %q, %v; want %q, %q", result.Verdict, err, test.want, test.text)
			}
			var asked, recorded []string
			for _, answer := range result.Report.Answers {
				asked = append(asked, answer.Check+" "+answer.Address)
			}
			for _, each := range fake.recorded {
				recorded = append(recorded, fmt.Sprintf("%s %s", each.Image.Repository.Path(), each.Verdict))
			}
			if got := strings.Join(asked, ", "); test.asked != "" && got != test.asked {
				t.Errorf("asked %q, want %q", got, test.asked)
			}
			if got := strings.Join(recorded, ", "); got != test.recorded {
				t.Errorf("recorded %q, want %q", got, test.recorded)
			}
		})
	}
}

// TestVerdictsOfImagesWithOneDigestAreToldApart by their repositories.
func TestVerdictsOfImagesWithOneDigestAreToldApart(t *testing.T) {
	t.Parallel()
	worker := release.Repository("localhost:5000/worker").At(image(t).Digest)
	fake := &fakeDeps{answers: []release.Answer{answerFrom(commit)}, revision: commit.String(), pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest, Ready: true}}}}
	for _, line := range []string{`recorded verdict "pass" of "staging" for %s`, `verdict "pass" of "staging" for %s is recorded since`} {
		fake.lines, fake.probes = nil, 0
		if _, err := fake.run(t, "--release", "shop", "--environment", "staging", "--image", image(t).String(), "--image", "worker="+worker.String()); err != nil {
			t.Fatal(err)
		}
		for _, each := range []release.Image{image(t), worker} {
			if want := fmt.Sprintf(line, each); strings.Count(strings.Join(fake.lines, "\n"), want) != 1 {
				t.Errorf("%q is not once in\n%s", want, strings.Join(fake.lines, "\n"))
			}
		}
	}
}
