package smoke_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting/settingtest"
	"github.com/onedigest/onedigest/internal/smoke"
)

const (
	commit      = releasetest.Commit
	olderCommit = releasetest.Another
)

func image(t *testing.T) release.Image {
	t.Helper()
	i, err := release.ParseImage("localhost:5000/shop@sha256:" + strings.Repeat("a", 64))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// fakeDeps are all of smoke's adapters, on a clock that only pauses and probes advance.
type fakeDeps struct {
	mu            sync.Mutex // held by probe, which several goroutines call
	now           time.Time
	answers       []release.Answer                                   // the answers in order; the last one repeats
	answer        func(now time.Time, address string) release.Answer // nil: answers
	wrong         func(check release.Check) bool                     // not nil: all checks are answered, these wrongly
	addresses     []string
	probes        int
	checks        []release.Check
	pods          [][]release.PodImage // per request to the cluster; the last one repeats
	podsOf        map[release.Digest][]release.PodImage
	runningOf     map[release.Digest]release.Running
	running       func() release.Running
	podRequests   int
	unsignable    error // of CheckSigning
	revision      string
	revisions     map[release.Digest]string // of single images; "missing": the registry has none
	tags          map[string]release.Digest // repository:tag
	recorded      []release.Evidence
	target        release.Target // that the verdicts name
	signer        string         // of the records; "" if nobody signs
	unsigned      int            // so many of the first records have no signature
	newestErr     error
	newestTakes   time.Duration
	recordTakes   time.Duration
	live          int // revision
	later         int // revision from the second request on; 0: live
	liveCalls     int
	liveErr       error
	behind        []release.Route // nil: it is not known what is behind the address
	behindErr     error
	undeployed    []release.Undeployed // per request to the cluster; the last one repeats; zero: a revision is deployed
	undeployedFor int                  // requests
	marked        []string
	markErr       error
	url           string // of the release; "none" for none
	hosts         []string
	backends      func() release.Backends // nil: a pod that has nothing to ask
	backendsOf    map[release.Digest]release.Backends
	backendsFor   func(release.Image) release.Backends
	backendsErr   error
	liveImage     release.Image
	idle          bool // the workload wants no pod
	deployedSince bool // with the chart of another commit, since the newest record

	commandRuns []string                                                 // names of the checks, and where they were sent
	command     func(now time.Time, name string) (time.Duration, string) // how long it takes, and what is wrong; nil: passes at once
	latency     func(probe int) time.Duration
	endTime     func() // ends the context of the run
	lateLook    int    // the run's context ends while the pods are looked at for this time; 0: it does not

	sent func(check release.Check) // is told of each request; nil: nobody is

	defaultChecks bool     // no file of checks is given
	lines         []string // that were reported
}

func (f *fakeDeps) LiveRevision(context.Context, string, string) (int, error) {
	if f.liveCalls++; f.liveCalls > 1 && f.later != 0 {
		return f.later, f.liveErr
	}
	return f.live, f.liveErr
}

func (f *fakeDeps) Behind(context.Context, string, string, string, release.Address) ([]release.Route, error) {
	return f.behind, f.behindErr
}

func (f *fakeDeps) Undeployed(ctx context.Context, _, _ string) (release.Undeployed, bool, error) {
	if len(f.undeployed) == 0 {
		return release.Undeployed{}, false, nil
	}
	if ctx.Err() != nil {
		return release.Undeployed{}, false, ctx.Err()
	}
	found := f.undeployed[min(f.undeployedFor, len(f.undeployed)-1)]
	f.undeployedFor++
	return found, found.Revision > 0, nil
}

func (f *fakeDeps) MarkRevision(ctx context.Context, namespace, name string, revision int, mark release.Mark) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	f.marked = append(f.marked, fmt.Sprintf("%s/%s %d %s", namespace, name, revision, mark))
	return f.markErr
}

func (f *fakeDeps) Load(string) ([]release.Check, error) { return f.checks, nil }

func (f *fakeDeps) CheckURL(string) error { return nil }

func (f *fakeDeps) Addresses(context.Context, string) []string { return f.addresses }

func (f *fakeDeps) Session(to release.Endpoint) smoke.Session { return fakeSession{f, to} }

type fakeSession struct {
	*fakeDeps
	to release.Endpoint
}

func (s fakeSession) Probe(_ context.Context, check release.Check) release.Answer {
	return s.probe(s.to, check)
}

func (f *fakeDeps) Run(ctx context.Context, check release.Check, target release.CommandTarget) release.Answer {
	where := ""
	for _, to := range target.Endpoints {
		where += " " + cmp.Or(to.Backend.Pod, to.Base)
	}
	f.commandRuns = append(f.commandRuns, fmt.Sprintf("%s%s %.4s %s", check.Name, where, target.Commit, target.Digest.Short()))
	answer := release.Answer{Check: check.Name, Kind: check.Kind, Stage: release.StageDone}
	if f.command != nil {
		took, wrong := f.command(f.now, check.Name)
		f.now = f.now.Add(took)
		if took > 4*time.Minute { // more than there is
			f.endTime()
			<-ctx.Done()
		}
		if wrong != "" {
			answer.Stage, answer.Wrong, answer.Output = release.StageCheck, []string{wrong}, strings.Repeat("line of output\n", 1000)
		}
	}
	return answer
}

func (f *fakeDeps) probe(to release.Endpoint, check release.Check) release.Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sent != nil {
		f.sent(check)
	}
	var answer release.Answer
	switch {
	case f.wrong != nil:
		answer = answerFrom(commit)
		if f.wrong(check) {
			answer = release.Answer{Stage: release.StageCheck, Commit: commit.String(), Wrong: []string{"x"}}
		}
	case f.answer != nil:
		answer = f.answer(f.now, to.Name())
	default:
		answer = f.answers[min(f.probes, len(f.answers)-1)]
	}
	if answer.NotHTTP && check.Kind == release.CheckTCP {
		answer = release.Answer{Stage: release.StageDone}
	}
	answer.Address, answer.FromPod = to.Name(), to.Backend.Pod != ""
	if f.latency != nil {
		answer.Latency = f.latency(f.probes)
	}
	f.probes++
	f.now = f.now.Add(10 * time.Millisecond)
	answer.Check = check.Name
	return answer
}

func (f *fakeDeps) Address(context.Context, string, string, release.Image, release.Address, func(string)) (string, error) {
	if f.url == "none" {
		return "", nil
	}
	return cmp.Or(f.url, "http://127.0.0.1:1"), nil
}

func (f *fakeDeps) Hosts(context.Context, string, string) ([]string, error) { return f.hosts, nil }

func (f *fakeDeps) Backends(_ context.Context, _, _ string, image release.Image) (release.Backends, error) {
	if f.backendsErr != nil {
		return release.Backends{}, f.backendsErr
	}
	if f.backendsFor != nil {
		return f.backendsFor(image), nil
	}
	if f.backendsOf != nil {
		return f.backendsOf[image.Digest], nil
	}
	if f.backends == nil { // a ready pod that has nothing to ask
		return release.Backends{Pods: []release.BackendPod{{Backend: release.Backend{Namespace: "staging", Pod: "a"}, Runs: true}}}, nil
	}
	return f.backends(), nil
}

func (f *fakeDeps) LiveImage(context.Context, string, string) (release.Image, bool, error) {
	return f.liveImage, !f.liveImage.IsZero(), nil
}

func (*fakeDeps) Platforms(context.Context, release.Image) ([]release.PlatformImage, bool, error) {
	return nil, false, nil
}

func (*fakeDeps) NodePlatform(context.Context, string) (release.Platform, error) {
	return release.Platform{}, nil
}

func (f *fakeDeps) Running(ctx context.Context, _, _ string, image release.Image) (release.Running, error) {
	if f.lateLook > 0 && f.podRequests == f.lateLook-1 {
		f.endTime()
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond): // it does not end with the run's
		}
	}
	if ctx.Err() != nil {
		return release.Running{}, ctx.Err()
	}
	if f.running != nil {
		return f.running(), nil
	}
	if f.runningOf != nil {
		return f.runningOf[image.Digest], nil
	}
	if f.podsOf != nil {
		return releasetest.Running(f.podsOf[image.Digest]...), nil
	}
	pods := f.pods[min(f.podRequests, len(f.pods)-1)]
	f.podRequests++
	running := releasetest.Running(pods...)
	for i := range running.Workloads {
		running.Workloads[i].WantsPods = running.Workloads[i].WantsPods && !f.idle
	}
	return running, nil
}

func (f *fakeDeps) CheckSigning(context.Context, release.Image) error { return f.unsignable }

func (f *fakeDeps) Record(ctx context.Context, evidence release.Evidence) (release.Digest, error) {
	if err := wait(ctx, f.recordTakes); err != nil {
		return release.Digest{}, err
	}
	f.recorded = append(f.recorded, evidence)
	return evidence.Image.Digest, nil
}

func (f *fakeDeps) NewestAt(ctx context.Context, image release.Image, environment release.Environment, target release.Target) (newest release.Record, found bool, err error) {
	if err := wait(ctx, f.newestTakes); err != nil {
		return newest, false, err
	}
	for i, each := range f.recorded {
		if each.Image == image && each.Environment == environment && each.Target == target {
			newest, found = release.Record{Evidence: each, Record: each.Image.Digest, Signer: f.signer}, true
			if i < f.unsigned {
				newest.Signer = ""
			}
		}
	}
	return newest, found, f.newestErr
}

func (f *fakeDeps) IsLifted(context.Context, release.Image, release.Digest) (bool, error) {
	return false, nil
}

func (f *fakeDeps) DeployedSince(context.Context, release.Record) (bool, error) {
	return f.deployedSince, nil
}

func (f *fakeDeps) Describe(_ context.Context, image release.Image) (release.ImageInfo, bool, error) {
	if revision, isSet := f.revisions[image.Digest]; isSet {
		return release.ImageInfo{Revision: revision}, revision != "missing", nil
	}
	return release.ImageInfo{Revision: f.revision}, true, nil
}

func (f *fakeDeps) Find(_ context.Context, repository release.Repository, tag release.Tag) (release.ImageInfo, bool, error) {
	held, found := f.tags[repository.String()+":"+tag.String()]
	return release.ImageInfo{Digest: held}, found, nil
}

// TestAnIdleReleaseIsNoVerdict: the image is deployed, and no pod is wanted that could be asked.
func TestAnIdleReleaseIsNoVerdict(t *testing.T) {
	t.Parallel()
	image := "localhost:5000/shop@" + releasetest.Digest(t, "a").String()
	fake := &fakeDeps{idle: true, url: "none", revision: releasetest.Commit.String(), pods: [][]release.PodImage{{}}}
	_, err := fake.run(t, "--release", "shop", "--namespace", "staging", "--environment", "staging", "--image", image)
	var fault *release.Fault
	if !errors.As(err, &fault) || !strings.Contains(err.Error(), "the workloads are scaled to zero") || !strings.Contains(fault.Do, "then run smoke") || len(fake.recorded) > 0 {
		t.Errorf("got %v, recorded %+v", err, fake.recorded)
	}
}

// TestAPassInTheLastMomentIsAPass: that the pods still run the image is confirmed although the time of the rounds is up.
func TestAPassInTheLastMomentIsAPass(t *testing.T) {
	t.Parallel()
	image := "localhost:5000/shop@" + releasetest.Digest(t, "a").String()
	fake := &fakeDeps{revision: releasetest.Commit.String(), lateLook: 2,
		answers: []release.Answer{{Stage: release.StageDone, Commit: releasetest.Commit.String()}}, pods: [][]release.PodImage{{{Pod: "shop-1", Digest: releasetest.Digest(t, "a")}}}}
	result, err := fake.run(t, "--release", "shop", "--namespace", "staging", "--environment", "staging", "--image", image)
	if err != nil || result.Verdict != release.Pass || fake.podRequests != 2 || len(fake.recorded) != 1 {
		t.Errorf("got %s, %v after %d looks at the pods, recorded %+v", result.Verdict, err, fake.podRequests, fake.recorded)
	}
}

// TestAnImageThatMayNotBeSignedIsNotSmoked: no request is sent, and nothing is marked or recorded; without a key, nothing would be signed.
func TestAnImageThatMayNotBeSignedIsNotSmoked(t *testing.T) {
	t.Parallel()
	image := "localhost:5000/shop@" + releasetest.Digest(t, "a").String()
	for signer, refused := range map[string]bool{"key": true, "": false} {
		fake := &fakeDeps{signer: signer, answers: []release.Answer{{}}, revision: releasetest.Commit.String(), unsignable: &release.Refusal{Why: "it has a signature of cosign 2"}, pods: [][]release.PodImage{{{Pod: "shop-1", Digest: releasetest.Digest(t, "a")}}}}
		_, err := fake.run(t, "--release", "shop", "--namespace", "staging", "--environment", "staging", "--image", image, "--expect-commit", releasetest.Commit.String())
		if got := err != nil && strings.Contains(err.Error(), "cosign 2"); got != refused || refused && (fake.probes > 0 || fake.podRequests > 0 || len(fake.recorded) > 0) {
			t.Errorf("with the key %q: got %v after %d requests, recorded %v", signer, err, fake.probes, fake.recorded)
		}
	}
}

func (f *fakeDeps) run(t *testing.T, flags ...string) (smoke.Result, error) {
	t.Helper()
	var settings smoke.Settings
	if err := settingtest.Apply(settings.Declare(), flags...); err != nil {
		t.Fatal(err)
	}
	if f.checks == nil && !f.defaultChecks {
		f.checks = []release.Check{{Name: "/", Path: "/"}}
	}
	began := f.now
	ctx := &timer{Context: t.Context(), up: make(chan struct{})}
	f.endTime = ctx.end
	return smoke.Run(ctx, settings, smoke.Deps{Checks: f, Prober: f, Commands: f, Cluster: f, Registry: f, Signer: f.signer, Target: f.target, Reporter: reporter{fake: f},
		Now: func() time.Time { return f.now },
		Pause: func(within context.Context, d time.Duration) {
			if f.now = f.now.Add(d); f.now.Sub(began) > settings.Timeout {
				ctx.end()
				<-within.Done()
			}
		}})
}

func (r reporter) Raw(text string) {
	r.fake.lines = append(r.fake.lines, text)
}

// reporter keeps the lines.
type reporter struct {
	releasetest.DiscardReporter
	fake *fakeDeps
}

func (r reporter) Infof(format string, args ...any) {
	r.fake.lines = append(r.fake.lines, fmt.Sprintf(format, args...))
}

func (r reporter) Warnf(format string, args ...any) { r.Infof(format, args...) }

// timer is a context that ends when the test's clock says so.
type timer struct {
	context.Context //nolint:containedctx // it is a context
	up              chan struct{}
	once            sync.Once
}

func (c *timer) end()                  { c.once.Do(func() { close(c.up) }) }
func (c *timer) Done() <-chan struct{} { return c.up }
func (c *timer) Err() error {
	select {
	case <-c.up:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// wait lets time pass, on the clock of a synctest bubble if it is not zero.
func wait(ctx context.Context, takes time.Duration) error {
	if takes > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(takes):
		}
	}
	return ctx.Err()
}

func answerFrom(by release.Commit) release.Answer {
	return release.Answer{Stage: release.StageDone, Status: 200, Commit: by.String()}
}

func repeat(answer release.Answer, n int) (answers []release.Answer) {
	for range n {
		answers = append(answers, answer)
	}
	return answers
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	nxdomain := release.Answer{Stage: release.StageDNS, Wrong: []string{"no such host"}}
	refusing := release.Answer{Stage: release.StageConnect, Wrong: []string{"connection refused"}}
	broken := release.Answer{Stage: release.StageCheck, Status: 500, Commit: commit.String(), Wrong: []string{"status: 500, want 200"}}
	for name, test := range map[string]struct {
		answers []release.Answer
		want    release.Verdict
		exit    int
		reason  string
	}{
		"passes at once":                     {[]release.Answer{answerFrom(commit)}, release.Pass, 0, ""},
		"a load balancer that warms up":      {append(append(repeat(nxdomain, 40), repeat(refusing, 40)...), answerFrom(commit)), release.Pass, 0, ""},
		"old pods answering among new":       {append(append(repeat(answerFrom(olderCommit), 2), answerFrom(commit), answerFrom(olderCommit)), answerFrom(commit)), release.Pass, 0, ""},
		"old pods that never stop":           {append(repeat(answerFrom(commit), 2), answerFrom(olderCommit)), release.Fail, 1, "answered by 89abcdef0123, want 0123456789ab"},
		"no commit in the answers":           {[]release.Answer{{Stage: release.StageDone, Status: 200}}, release.Fail, 1, "has no X-Commit header"},
		"a broken application":               {[]release.Answer{broken}, release.Fail, 1, "status: 500, want 200"},
		"an application that recovers":       {append(repeat(broken, 5), answerFrom(commit)), release.Pass, 0, ""},
		"a name that never resolves":         {[]release.Answer{nxdomain}, release.Inconclusive, 3, "no such host"},
		"a load balancer that never accepts": {[]release.Answer{refusing}, release.Inconclusive, 3, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeDeps{answers: test.answers}
			result, err := fake.run(t, "--url", "http://127.0.0.1:1", "--expect-commit", commit.String(), "--timeout", "60s")
			if result.Verdict != test.want || release.ExitCode(err) != test.exit || !strings.Contains(fmt.Sprint(err), test.reason) {
				t.Errorf("got %q, %v; want %q, exit %d, %q", result.Verdict, err, test.want, test.exit, test.reason)
			}
			if test.want == release.Pass && (result.Report.Consecutive != 3 || result.Report.Seconds < 2) {
				t.Errorf("passed after %d rounds in a row and %.1f s, want 3 and a second between them", result.Report.Consecutive, result.Report.Seconds)
			}
		})
	}
}

// A load balancer refuses for 10 s and answers 503 itself for 40 s: the service was not asked, so nothing is held against it.
func TestALoadBalancerThatTakesOverItsTargets(t *testing.T) {
	t.Parallel()
	begun := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	refusing := release.Answer{Stage: release.StageConnect, Wrong: []string{"connection refused"}}
	withoutTarget := release.Answer{Stage: release.StageTarget, Status: 503, Wrong: []string{"no target yet"}}
	unavailable := release.Answer{Stage: release.StageCheck, Status: 503, Commit: commit.String(), Wrong: []string{"status: 503, want 200"}}
	flags := []string{"--environment", "staging", "--image", image(t).String(), "--timeout", "60s"}
	for name, test := range map[string]struct {
		during   release.Answer // from 10 s to 50 s
		ready    bool           // whether the pod is ready meanwhile
		until    time.Duration
		want     release.Verdict
		recorded int
	}{
		"then right":                        {withoutTarget, true, 50 * time.Second, release.Pass, 1},
		"never right":                       {withoutTarget, true, time.Hour, release.Inconclusive, 0},
		"another gateway, no ready pod":     {unavailable, false, 50 * time.Second, release.Pass, 1},
		"another gateway, never ready":      {unavailable, false, time.Hour, release.Fail, 1},
		"the service itself is unavailable": {unavailable, true, 50 * time.Second, release.Fail, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeDeps{now: begun, revision: commit.String(), answer: func(now time.Time, _ string) release.Answer {
				switch past := now.Sub(begun); {
				case past < 10*time.Second:
					return refusing
				case past < test.until:
					return test.during
				}
				return answerFrom(commit)
			}, pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest, Ready: test.ready}}}}
			result, err := fake.run(t, flags...)
			if result.Verdict != test.want || len(fake.recorded) != test.recorded {
				t.Errorf("got %q after %.1f s, %v, %d records; want %q, %d", result.Verdict, result.Report.Seconds, err, len(fake.recorded), test.want, test.recorded)
			}
		})
	}
}

// One wrong backend among the addresses of a name is found in every round.
func TestEveryAddressIsAsked(t *testing.T) {
	t.Parallel()
	wrong := release.Answer{Stage: release.StageCheck, Status: 500, Commit: commit.String(), Wrong: []string{"status: 500, want 200"}}
	for name, test := range map[string]struct {
		third release.Answer
		want  release.Verdict
		text  string
	}{
		"all right":      {answerFrom(commit), release.Pass, "<nil>"},
		"one wrong":      {wrong, release.Fail, "at 10.0.0.3 status: 500"},
		"one older":      {answerFrom(olderCommit), release.Fail, "at 10.0.0.3 commit: answered by"},
		"one is refused": {release.Answer{Stage: release.StageConnect, Wrong: []string{"refused"}}, release.Inconclusive, "at 10.0.0.3 refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeDeps{addresses: []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}, answer: func(_ time.Time, address string) release.Answer {
				if address == "10.0.0.3" {
					return test.third
				}
				return answerFrom(commit)
			}}
			result, err := fake.run(t, "--url", "http://shop.example", "--expect-commit", commit.String(), "--timeout", "60s")
			if result.Verdict != test.want || !strings.Contains(fmt.Sprint(err), test.text) || len(result.Report.Answers) != 3 {
				t.Errorf("got %q, %v, %d answers; want %q with %q", result.Verdict, err, len(result.Report.Answers), test.want, test.text)
			}
		})
	}
}

func TestSoak(t *testing.T) {
	t.Parallel()
	begun := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	wrong := release.Answer{Stage: release.StageCheck, Status: 500, Commit: commit.String(), Wrong: []string{"status: 500, want 200"}}
	at := func(answer release.Answer, seconds ...float64) func(time.Time, string) release.Answer {
		return func(now time.Time, _ string) release.Answer {
			for _, second := range seconds {
				if past := now.Sub(begun).Seconds(); past >= second && past < second+1 {
					return answer
				}
			}
			return answerFrom(commit)
		}
	}
	for name, test := range map[string]struct {
		answer  func(time.Time, string) release.Answer
		flags   []string
		want    release.Verdict
		seconds [2]float64 // between which the verdict comes
	}{
		"all right":                         {at(wrong), []string{"--soak", "30s"}, release.Pass, [2]float64{30, 32}},
		"an error without a budget":         {at(wrong, 20), []string{"--soak", "30s"}, release.Pass, [2]float64{50, 53}},
		"an error within the budget":        {at(wrong, 20), []string{"--soak", "30s", "--max-errors", "20%"}, release.Pass, [2]float64{30, 33}},
		"errors above the budget slide out": {at(wrong, 10, 12, 14, 16, 18), []string{"--soak", "30s", "--max-errors", "5%"}, release.Pass, [2]float64{40, 53}},
		"errors all the time": {func(now time.Time, _ string) release.Answer {
			if now.Sub(begun)%(2*time.Second) < time.Second {
				return wrong
			}
			return answerFrom(commit)
		}, []string{"--soak", "30s", "--max-errors", "5%"}, release.Fail, [2]float64{59, 62}},
		"a gateway's error within the budget": {at(release.Answer{Stage: release.StageCheck, Status: 502, Wrong: []string{"status: 502, want 200"}}, 20),
			[]string{"--soak", "30s", "--max-errors", "20%"}, release.Pass, [2]float64{30, 33}},
		"no commit is beyond any budget":      {at(release.Answer{Stage: release.StageDone, Status: 200}, 20), []string{"--soak", "30s", "--max-errors", "50%"}, release.Pass, [2]float64{50, 53}},
		"another commit is beyond any budget": {at(answerFrom(olderCommit), 20), []string{"--soak", "30s", "--max-errors", "50%"}, release.Pass, [2]float64{50, 53}},
		"no time for it":                      {at(wrong, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9), []string{"--soak", "55s"}, release.Fail, [2]float64{59, 62}},
		"no time after a warm-up":             {at(release.Answer{Stage: release.StageDNS}, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9), []string{"--soak", "55s"}, release.Inconclusive, [2]float64{59, 62}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeDeps{now: begun, answer: test.answer}
			result, err := fake.run(t, append(test.flags, "--url", "http://shop.example", "--expect-commit", commit.String(), "--timeout", "60s")...)
			if result.Verdict != test.want || result.Report.Seconds < test.seconds[0] || result.Report.Seconds > test.seconds[1] {
				t.Errorf("got %q after %.1f s, %v; want %q within %v", result.Verdict, result.Report.Seconds, err, test.want, test.seconds)
			}
		})
	}
}

func TestConsecutiveRoundsMustAllPass(t *testing.T) {
	t.Parallel()
	wrong := release.Answer{Stage: release.StageCheck, Wrong: []string{"x"}, Commit: commit.String()}
	fake := &fakeDeps{
		checks: []release.Check{{Name: "/"}, {Name: "/configs"}},
		// Rounds of two: one passes, one fails in its second check, then all pass.
		answers: []release.Answer{answerFrom(commit), answerFrom(commit), answerFrom(commit), wrong, answerFrom(commit)},
	}
	result, err := fake.run(t, "--url", "http://127.0.0.1:1", "--consecutive", "4")
	if err != nil || result.Report.Rounds != 6 {
		t.Errorf("got %d rounds, %v; want 6 (one passes, one fails, four pass)", result.Report.Rounds, err)
	}
}

func TestEvidence(t *testing.T) {
	t.Parallel()
	held := release.PodImage{Pod: "c", ImageID: "shop:v1", HeldBack: "the StatefulSet's partition is 1"}
	good, other := release.PodImage{Pod: "a", Digest: image(t).Digest}, release.PodImage{Pod: "b", ImageID: "shop:v1"}
	ready := release.PodImage{Pod: "a", Digest: image(t).Digest, Ready: true}
	broken := release.Answer{Stage: release.StageCheck, Commit: commit.String(), Wrong: []string{"x"}}
	for name, test := range map[string]struct {
		answer   release.Answer
		pods     [][]release.PodImage
		revision string
		recorded release.Verdict // "" for nothing
		want     string
	}{
		"a pass":                             {answerFrom(commit), [][]release.PodImage{{good}}, commit.String(), release.Pass, "<nil>"},
		"an older pod by intent":             {answerFrom(commit), [][]release.PodImage{{good, held}}, commit.String(), release.Pass, "<nil>"},
		"older pods by intent only":          {answerFrom(commit), [][]release.PodImage{{held}}, commit.String(), "", "partition"},
		"a failure":                          {broken, [][]release.PodImage{{good}}, commit.String(), release.Fail, "smoke failed"},
		"nothing answers":                    {release.Answer{Stage: release.StageDNS}, [][]release.PodImage{{ready}}, commit.String(), "", "not reached"},
		"another digest runs":                {answerFrom(commit), [][]release.PodImage{{good, other}}, commit.String(), "", `pod "b" runs`},
		"another digest after the rounds":    {answerFrom(commit), [][]release.PodImage{{good}, {good, other}}, commit.String(), "", `pod "b" runs`},
		"no pod yet":                         {answerFrom(commit), [][]release.PodImage{{}, {}, {good}}, commit.String(), release.Pass, "<nil>"},
		"a pod that starts":                  {answerFrom(commit), [][]release.PodImage{{{Pod: "a"}}, {good}}, commit.String(), release.Pass, "<nil>"},
		"no pod for a moment, then another":  {answerFrom(commit), [][]release.PodImage{{}, {good, other}}, commit.String(), "", `pod "b" runs`},
		"no pod":                             {answerFrom(commit), [][]release.PodImage{{}}, commit.String(), "", "no pod of Deployment/shop runs"},
		"an image that is not a commit's":    {answerFrom(commit), [][]release.PodImage{{good}}, commit.String() + "-dirty", "", "which is not a commit"},
		"an image without a label":           {answerFrom(commit), [][]release.PodImage{{good}}, "", "", "which is not a commit"},
		"the image's own commit is expected": {answerFrom(olderCommit), [][]release.PodImage{{good}}, commit.String(), release.Fail, "answered by"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeDeps{answers: []release.Answer{test.answer}, pods: test.pods, revision: test.revision}
			_, err := fake.run(t, "--release", "shop", "--environment", "staging", "--image", image(t).String(), "--timeout", "30s")
			if !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			var verdict release.Verdict
			if len(fake.recorded) == 1 {
				verdict = fake.recorded[0].Verdict
			}
			if verdict != test.recorded || len(fake.recorded) > 1 {
				t.Errorf("recorded %v, want verdict %q", fake.recorded, test.recorded)
			}
			if verdict == release.Pass {
				if err := fake.recorded[0].Proves(image(t), "staging", fake.recorded[0].At, time.Hour); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Of an image that another program built without a label, the expected commit is recorded if it has that commit's tag: promote accepts no other.
func TestAnImageWithoutALabelIsTheExpectedCommits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		tags map[string]release.Digest
		want string
	}{
		"the commit's tag":            {map[string]release.Digest{"localhost:5000/shop:" + commit.String(): image(t).Digest}, "<nil>"},
		"no tag":                      {nil, "has no revision label, and tag " + commit.String()},
		"a tag of another image":      {map[string]release.Digest{"localhost:5000/shop:" + commit.String(): releasetest.Digest(t, "b")}, "has no revision label"},
		"the tag of another commit":   {map[string]release.Digest{"localhost:5000/shop:" + olderCommit.String(): image(t).Digest}, "has no revision label"},
		"a tag in another repository": {map[string]release.Digest{"localhost:5000/other:" + commit.String(): image(t).Digest}, "has no revision label"},
	} {
		fake := &fakeDeps{answers: []release.Answer{answerFrom(commit)}, pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest}}}, tags: test.tags}
		_, err := fake.run(t, "--release", "shop", "--environment", "staging", "--image", image(t).String(), "--timeout", "30s", "--expect-commit", commit.String())
		if !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
		if passed := len(fake.recorded) == 1 && fake.recorded[0].Commit == commit && fake.recorded[0].Verdict == release.Pass; passed != (err == nil) || !passed && len(fake.recorded) > 0 {
			t.Errorf("%s: recorded %+v", name, fake.recorded)
		}
	}
}

// TestSeveralImages: each image has its own pods, commit and record.
func TestSeveralImages(t *testing.T) {
	t.Parallel()
	worker := release.Repository("localhost:5000/worker").At(releasetest.Digest(t, "b"))
	one, two := release.PodImage{Pod: "a", Digest: image(t).Digest, Ready: true}, release.PodImage{Pod: "b", Digest: worker.Digest, Ready: true}
	stale := release.PodImage{Pod: "b", Digest: image(t).Digest, Ready: true}
	wrong := func(pods ...string) func(time.Time, string) release.Answer {
		return func(_ time.Time, endpoint string) release.Answer {
			answer := answerFrom(commit)
			if slices.ContainsFunc(pods, func(pod string) bool { return endpoint == "pod "+pod+":8081" || endpoint == "" && pod == "outside" }) {
				answer.Stage, answer.Wrong = release.StageCheck, []string{"x"}
			}
			return answer
		}
	}
	for name, test := range map[string]struct {
		worker   []release.PodImage
		revision string
		answer   func(time.Time, string) release.Answer
		recorded string
		want     string
	}{
		"both run":                     {[]release.PodImage{two}, olderCommit.String(), wrong(), "shop pass of 0123456789ab by [a], worker pass of 89abcdef0123 by [b]", "<nil>"},
		"one runs another digest":      {[]release.PodImage{stale}, olderCommit.String(), wrong(), "", `pod "b" runs sha256:aaa`},
		"one has no pod":               {nil, olderCommit.String(), wrong(), "", "no pod of Deployment/shop runs"},
		"one is in no registry":        {[]release.PodImage{two}, "missing", wrong(), "", `"localhost:5000/worker@`},
		"one has no label and no tag":  {[]release.PodImage{two}, "", wrong(), "", "has no revision label, and tag " + commit.String()},
		"one has no label, but a tag":  {[]release.PodImage{two}, "", wrong(), "shop pass of 0123456789ab by [a], worker pass of 0123456789ab by [b]", "<nil>"},
		"one is of no commit":          {[]release.PodImage{two}, "1.0-dirty", wrong(), "", "which is not a commit"},
		"a pod of one answers wrongly": {[]release.PodImage{two}, olderCommit.String(), wrong("b"), "worker fail of 89abcdef0123 by [b]", "smoke failed"},
		"the address answers wrongly":  {[]release.PodImage{two}, olderCommit.String(), wrong("outside"), "shop fail of 0123456789ab by [a]", "smoke failed"},
		"pods of both answer wrongly":  {[]release.PodImage{two}, olderCommit.String(), wrong("a", "b"), "shop fail of 0123456789ab by [a], worker fail of 89abcdef0123 by [b]", "smoke failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeDeps{answer: test.answer, revision: commit.String(), revisions: map[release.Digest]string{worker.Digest: test.revision}, defaultChecks: true,
				podsOf: map[release.Digest][]release.PodImage{image(t).Digest: {one}, worker.Digest: test.worker},
				backendsOf: map[release.Digest]release.Backends{
					image(t).Digest: {Pods: []release.BackendPod{backendPod("a")}}, worker.Digest: {Pods: []release.BackendPod{backendPod("b")}},
				}}
			if strings.HasSuffix(name, "but a tag") {
				fake.tags = map[string]release.Digest{"localhost:5000/worker:" + commit.String(): worker.Digest}
			}
			result, err := fake.run(t, "--release", "shop", "--environment", "staging", "--image", "worker="+worker.String(), "--image", image(t).String(), "--timeout", "30s")
			if !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			var recorded []string
			for _, each := range fake.recorded {
				recorded = append(recorded, fmt.Sprintf("%s %s of %s by %v", each.Image.Repository.Path(), each.Verdict, each.Commit.Short(), each.Pods))
			}
			if got := strings.Join(recorded, ", "); got != test.recorded {
				t.Errorf("recorded %q, want %q", got, test.recorded)
			}
			if err == nil && (len(result.Images) != 2 || result.Images[1].Name != "worker" || result.Images[1].Evidence != worker.Digest || result.Evidence != image(t).Digest) {
				t.Errorf("got %+v", result.Images)
			}
		})
	}
}

// TestImagesThatRunToTheirEnd: a Job, a CronJob and a hook have no pod that is ready. Their image is proved by what ran it to its end.
func TestImagesThatRunToTheirEnd(t *testing.T) {
	t.Parallel()
	migrate := release.Repository("localhost:5000/migrate").At(releasetest.Digest(t, "b"))
	pod := release.PodImage{Pod: "a", Digest: image(t).Digest, ImageID: "shop"}
	ends := func(kind, note string, pods ...release.PodImage) release.Running {
		return release.Running{Workloads: []release.RunningWorkload{{Object: release.Object{Kind: kind, Name: "shop"}, Note: note, Pods: pods}}}
	}
	hook := release.Running{Hooks: []release.Object{{Kind: "Job", Name: "migrate"}}}
	serving := release.Backends{Pods: []release.BackendPod{backendPod("a")}}
	for name, test := range map[string]struct {
		running  release.Running
		second   *release.Running
		backends release.Backends
		recorded string
		want     string
	}{
		"a Job":                                  {running: ends("Job", "", pod), recorded: "pass 1", want: "<nil>"},
		"a CronJob that ran":                     {running: ends("CronJob", "runs it later", pod), recorded: "pass 1", want: "<nil>"},
		"a CronJob that has not run":             {running: ends("CronJob", "runs it later"), want: "CronJob/shop runs it later"},
		"a hook":                                 {running: hook, recorded: "pass 0", want: "<nil>"},
		"nothing":                                {running: release.Running{}, want: "no workload of the release names"},
		"a hook beside pods":                     {running: releasetest.Running(pod), second: &hook, backends: serving, recorded: "pass 1, pass 0", want: "<nil>"},
		"a CronJob beside pods that has not run": {running: releasetest.Running(pod), second: new(ends("CronJob", "runs it later")), backends: serving, recorded: "pass 1", want: "<nil>"},
		"a worker of 0 replicas beside pods":     {running: releasetest.Running(pod), second: new(ends("Deployment", "wants no pod")), backends: serving, recorded: "pass 1", want: "<nil>"},
		"a text that names one beside pods":      {running: releasetest.Running(pod), second: &release.Running{Named: []release.Object{{Kind: "ConfigMap", Name: "shop"}}}, backends: serving, recorded: "pass 1", want: "<nil>"},
		"a failed Job beside pods":               {running: releasetest.Running(pod), second: &release.Running{Workloads: []release.RunningWorkload{{Object: release.Object{Kind: "Job", Name: "x"}, Failed: "BackoffLimitExceeded"}}}, backends: serving, want: "has failed: BackoffLimitExceeded"},
		"pods beside a main image of 0 replicas": {running: ends("Deployment", "wants no pod"), second: new(releasetest.Running(release.PodImage{Pod: "b", Digest: migrate.Digest, ImageID: "x"})), want: "so there is no verdict"},
		"a hook, and no pod is ready":            {running: releasetest.Running(pod), second: &hook, recorded: "fail 1", want: "no pod of release"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeDeps{url: "none", answers: []release.Answer{answerFrom(commit)}, revision: commit.String(), defaultChecks: true,
				backendsOf: map[release.Digest]release.Backends{image(t).Digest: test.backends}, runningOf: map[release.Digest]release.Running{image(t).Digest: test.running}}
			flags := []string{"--release", "shop", "--environment", "staging", "--image", image(t).String(), "--timeout", "10s"}
			if test.second != nil {
				fake.runningOf[migrate.Digest] = *test.second
				flags = append(flags, "--image", "migrate="+migrate.String())
			}
			_, err := fake.run(t, flags...)
			if !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			var recorded []string
			for _, each := range fake.recorded {
				recorded = append(recorded, fmt.Sprintf("%s %d", each.Verdict, len(each.Pods)))
			}
			if got := strings.Join(recorded, ", "); got != test.recorded {
				t.Errorf("recorded %q, want %q", got, test.recorded)
			}
		})
	}
}

// A check that runs every few minutes attaches one record for each change of its verdict, and one a week.
func TestAVerdictIsRecordedOnceUntilItChanges(t *testing.T) {
	t.Parallel()
	fake := &fakeDeps{now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), revision: commit.String(),
		pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest}}}}
	broken := release.Answer{Stage: release.StageCheck, Commit: commit.String(), Wrong: []string{"x"}}
	for i, step := range []struct {
		after       time.Duration
		answer      release.Answer
		environment string
		checks      string
		want        int // records after it
	}{
		{0, answerFrom(commit), "staging", "/", 1},
		{time.Hour, answerFrom(commit), "staging", "/", 1},
		{0, answerFrom(commit), "production", "/", 2},
		{time.Hour, broken, "staging", "/", 3},
		{time.Hour, broken, "staging", "/", 3},
		{time.Hour, answerFrom(commit), "staging", "/", 4},
		{time.Hour, answerFrom(commit), "staging", "/configs", 5},
		{7 * 24 * time.Hour, answerFrom(commit), "staging", "/configs", 6},
	} {
		fake.now, fake.answers, fake.probes = fake.now.Add(step.after), []release.Answer{step.answer}, 0
		fake.checks = []release.Check{{Name: step.checks, Path: step.checks}}
		result, _ := fake.run(t, "--environment", step.environment, "--image", image(t).String(), "--timeout", "60s")
		if len(fake.recorded) != step.want || result.Evidence.IsZero() {
			t.Errorf("step %d: %d records, want %d; result %v", i, len(fake.recorded), step.want, result.Evidence)
		}
	}
	fake.deployedSince = true // with another chart: the pass proves that
	if _, err := fake.run(t, "--environment", "staging", "--image", image(t).String()); err != nil || len(fake.recorded) != 7 {
		t.Errorf("another chart was deployed since: got %v and %d records, want another record", err, len(fake.recorded))
	}
	for _, want := range []int{8, 8} { // of another target, once
		fake.target = release.Target{Cluster: "us", Namespace: "staging", Release: "shop"}
		if _, err := fake.run(t, "--environment", "staging", "--image", image(t).String()); err != nil || len(fake.recorded) != want || fake.recorded[want-1].Target != fake.target {
			t.Errorf("another target: got %v and %d records, want %d", err, len(fake.recorded), want)
		}
		fake.deployedSince = false
	}
	fake.newestErr = errors.New("HTTP 500")
	if result, err := fake.run(t, "--environment", "staging", "--image", image(t).String()); err != nil || len(fake.recorded) != 9 {
		t.Errorf("the newest record cannot be read: got %v, %v and %d records, want another record", result, err, len(fake.recorded))
	}
}

// A failure that a key signs is recorded beside the same one that anybody may have written, once.
func TestAFailureThatNobodySignedIsNotRepeated(t *testing.T) {
	t.Parallel()
	fake := &fakeDeps{now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), revision: commit.String(), pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest}}},
		answers: []release.Answer{{Stage: release.StageCheck, Commit: commit.String(), Wrong: []string{"x"}}}}
	for i, want := range []int{1, 2, 2} {
		if _, err := fake.run(t, "--environment", "staging", "--image", image(t).String(), "--timeout", "60s"); !release.IsBadRelease(err) || len(fake.recorded) != want {
			t.Errorf("run %d: got %v and %d records, want %d", i, err, len(fake.recorded), want)
		}
		if i == 0 {
			fake.signer, fake.unsigned = "ours", 1
		}
	}
}

// A registry that does not answer the question for the newest record still gets the time to take the verdict.
func TestAVerdictIsRecordedBesideASlowRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := &fakeDeps{revision: commit.String(), pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest}}},
			answers:     []release.Answer{{Stage: release.StageCheck, Commit: commit.String(), Wrong: []string{"x"}}},
			newestTakes: 2 * time.Minute, recordTakes: 14 * time.Second}
		_, err := fake.run(t, "--environment", "staging", "--image", image(t).String(), "--timeout", "60s")
		if release.ExitCode(err) != release.ExitFailed || len(fake.recorded) != 1 || fake.recorded[0].Verdict != release.Fail {
			t.Errorf("got %v and %v, want a recorded failure", err, fake.recorded)
		}
	})
}

// The service flaps: it never fails for as long as the patience, and never passes often enough.
func TestAFailureFoundAtTheTimeoutIsRecorded(t *testing.T) {
	t.Parallel()
	broken := release.Answer{Stage: release.StageCheck, Commit: commit.String(), Wrong: []string{"x"}}
	fake := &fakeDeps{revision: commit.String(), pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest}}}}
	for range 2000 {
		fake.answers = append(fake.answers, broken, answerFrom(commit), answerFrom(commit))
	}
	_, err := fake.run(t, "--environment", "staging", "--image", image(t).String(), "--timeout", "10s")
	if release.ExitCode(err) != release.ExitFailed || len(fake.recorded) != 1 || fake.recorded[0].Verdict != release.Fail {
		t.Errorf("got %v and %v, want a recorded failure", err, fake.recorded)
	}
}

func TestEvidenceForAnotherCommitIsRefused(t *testing.T) {
	t.Parallel()
	fake := &fakeDeps{answers: []release.Answer{answerFrom(olderCommit)}, revision: commit.String(), pods: [][]release.PodImage{{}}}
	_, err := fake.run(t, "--release", "shop", "--environment", "staging", "--image", image(t).String(), "--expect-commit", olderCommit.String())
	var refusal *release.Refusal
	if !errors.As(err, &refusal) || fake.probes != 0 {
		t.Errorf("got %v after %d probes, want a refusal before any", err, fake.probes)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"nothing":                    {nil, "give --url, or --release and --namespace"},
		"a release in no namespace":  {[]string{"--release", "shop"}, "give the release's namespace"},
		"an address and a URL":       {[]string{"--url", "http://x", "--address", "service/x"}, "is given together with --url"},
		"no address":                 {[]string{"--release", "shop", "--environment", "staging", "--address", "none"}, "leaves smoke no address to send requests to"},
		"no round":                   {[]string{"--url", "http://x", "--consecutive", "0"}, "whole number from 1"},
		"no time":                    {[]string{"--url", "http://x", "--timeout", "0s"}, "is not above zero"},
		"a short commit":             {[]string{"--url", "http://x", "--expect-commit", "abc"}, "not a full commit id"},
		"a budget without a soak":    {[]string{"--url", "http://x", "--max-errors", "1%"}, "give --soak"},
		"a budget of everything":     {[]string{"--url", "http://x", "--soak", "1m", "--max-errors", "100%"}, "not a percentage"},
		"a budget without a sign":    {[]string{"--url", "http://x", "--soak", "1m", "--max-errors", "0.1"}, "write it as 0.1%"},
		"a budget that is no number": {[]string{"--url", "http://x", "--soak", "1m", "--max-errors", "NaN%"}, "not a percentage"},
		"a soak beyond the timeout":  {[]string{"--url", "http://x", "--soak", "5m"}, "does not fit into a --timeout"},
		"a header with a space":      {[]string{"--url", "http://x", "--commit-from", "header:X Commit"}, "is not a header name"},
		"a commit from nowhere":      {[]string{"--url", "http://x", "--commit-from", "cookie:x"}, "is not header:NAME or json:PATH#FIELD"},
		"a commit from no field":     {[]string{"--url", "http://x", "--commit-from", "json:/version"}, "is not json:PATH#FIELD"},
		"a commit from no path":      {[]string{"--url", "http://x", "--commit-from", "json:version#commit"}, "is not json:PATH#FIELD"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := settingtest.Apply(new(smoke.Settings).Declare(), test.args...)
			if !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestAJobThatFailed is not proved by the pods beside it.
func TestAJobThatFailed(t *testing.T) {
	t.Parallel()
	running := releasetest.Running(release.PodImage{Pod: "a", Digest: image(t).Digest, Ready: true})
	running.Workloads = append(running.Workloads, release.RunningWorkload{Object: release.Object{Kind: "Job", Name: "seed"}, Failed: "BackoffLimitExceeded: no more tries"})
	fake := &fakeDeps{revision: commit.String(), answers: []release.Answer{answerFrom(commit)}, running: func() release.Running { return running }}
	_, err := fake.run(t, "--release", "shop", "--environment", "staging", "--image", image(t).String())
	if !strings.Contains(fmt.Sprint(err), "Job/seed, which ran the image, has failed: BackoffLimitExceeded") || len(fake.recorded) > 0 {
		t.Errorf("got %v, recorded %v", err, fake.recorded)
	}
}

// TestOneCauseIsLoggedOnce, although it shows in two ways that take turns; after a round that passed it is logged again.
func TestOneCauseIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var answers []release.Answer
	turns := func() {
		for i := range 40 {
			answers = append(answers, release.Answer{Stage: release.StageHTTP, Wrong: []string{fmt.Sprintf("read tcp 127.0.0.1:%d->192.0.2.1:80: reset", 40000+i)}},
				release.Answer{Stage: release.StageConnect, Wrong: []string{"connection refused"}})
		}
	}
	turns()
	answers = append(answers, answerFrom(commit))
	turns()
	fake := &fakeDeps{answers: append(answers, repeat(answerFrom(commit), 10)...)}
	if _, err := fake.run(t, "--url", "http://127.0.0.1:1", "--expect-commit", commit.String(), "--timeout", "60s", "--patience", "60s"); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{"reset": 2, "connection refused": 2, "passed, 1 of 3": 2, "passed, 3 of 3": 1} {
		if got := strings.Count(strings.Join(fake.lines, "\n"), text); got != want {
			t.Errorf("%q is logged %d times, want %d:\n%s", text, got, want, strings.Join(fake.lines, "\n"))
		}
	}
}
