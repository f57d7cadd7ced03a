package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/pipeline"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/setting/settingtest"
	"github.com/onedigest/onedigest/internal/smoke"
)

const monorepo = `
deploy: {values: "deploy/{service}-{environment}.yaml"}
services:
  - {name: cart, repository: localhost:5000/cart, smoke: {checks: cart.yaml}}
  - {name: worker, repository: localhost:5000/worker, part-of: cart}
  - {name: web, repository: localhost:5000/web}
environments:
  - name: staging
  - name: production
    waves: [{clusters: [{name: canary, context: one}]}, {clusters: [{name: west, context: two}]}]
`

// verbs are the verbs of a matrix, which read it as the real ones do.
type verbs struct {
	t        *testing.T
	content  string
	digests  map[string]release.Digest
	fails    string // "STEP SERVICE" that fails
	err      error  // that it fails with; nil: a failure
	newer    string // "STEP SERVICE" whose environment runs a newer commit
	missing  string // SERVICE-ENVIRONMENT whose values file does not exist
	runs     map[string]release.Digest
	calls    []string
	contexts []string // clusters that were connected
	settings map[string]setting.Values
	log      strings.Builder // warnings
}

// recorder keeps the warnings.
type recorder struct {
	releasetest.DiscardReporter
	log *strings.Builder
}

func (r recorder) Warnf(format string, args ...any) { fmt.Fprintf(r.log, format+"\n", args...) }

// outcome records the job of a step, and fails it if the test says so.
func (v *verbs) outcome(step string, part *matrix.Part) error {
	title := step + " " + part.Service
	v.calls = append(v.calls, strings.TrimSpace(title+" "+part.Cluster))
	if title != v.fails {
		return nil
	}
	part.Error = "as the test wants"
	if v.err != nil {
		return v.err
	}
	return &release.Failure{What: part.Error}
}

func (v *verbs) Build(_ context.Context, s build.Settings) (result build.Result, err error) {
	v.settings["build"] = s.Inputs
	waves, err := matrix.Parse(build.MatrixVerb, s.Matrix, []byte(v.content), s.Options)
	result.Digests = map[string]release.Digest{}
	for _, wave := range waves {
		for _, job := range wave.Jobs {
			err = errors.Join(err, v.outcome("build", &job.Part))
			result.Services = append(result.Services, build.Result{Outcome: release.Created, Part: job.Part, Digest: v.digests[job.Service], Commit: commit, Tag: release.Tag(commit)})
			result.Digests[job.Service] = v.digests[job.Service]
		}
	}
	return result, err
}

func (v *verbs) Deploy(_ context.Context, s deploy.Settings) (result deploy.Result, err error) {
	if s.RollbackFailedSmoke {
		v.calls = append(v.calls, fmt.Sprintf("rollback %s %s/%s %s", s.Environment, s.Namespace, s.Release, s.Context))
		return deploy.Result{Outcome: release.RolledBack}, nil
	}
	v.settings["deploy "+s.Environment.String()] = s.Inputs
	waves, err := deploy.ParseMatrix(s.Matrix, []byte(v.content), s.Options)
	for _, wave := range waves {
		for _, job := range wave.Jobs {
			err = errors.Join(err, v.outcome("deploy "+s.Environment.String(), &job.Part))
			outcome := release.Created
			if v.newer == "deploy "+s.Environment.String()+" "+job.Service {
				outcome = release.Superseded
			}
			result.Deploys = append(result.Deploys, deploy.Result{Outcome: outcome, Part: job.Part, URL: "http://" + job.Title})
		}
	}
	return result, err
}

func (v *verbs) Smoke(_ context.Context, s smoke.Settings) (result smoke.Result, err error) {
	waves, err := matrix.Parse(smoke.MatrixVerb, s.Matrix, []byte(v.content), s.Options)
	for _, wave := range waves {
		for _, job := range wave.Jobs {
			verdict := release.Pass
			if oneErr := v.outcome("smoke "+s.Environment.String(), &job.Part); oneErr != nil {
				verdict, err = release.Fail, errors.Join(err, oneErr)
			}
			result.Services = append(result.Services, smoke.Result{Verdict: verdict, Part: job.Part, Report: smoke.Report{Answers: []release.Answer{{Commit: commit.String()}}}})
		}
	}
	return result, err
}

func (v *verbs) Promote(_ context.Context, s promote.Settings) (result promote.Result, err error) {
	waves, err := matrix.Parse(promote.MatrixVerb, s.Matrix, []byte(v.content), s.Options)
	for _, wave := range waves {
		for _, job := range wave.Jobs {
			err = errors.Join(err, v.outcome("promote", &job.Part))
			result.Services = append(result.Services, promote.Result{Promoted: promote.Promoted{Outcome: release.Created}, Part: job.Part})
		}
	}
	return result, err
}

func (*verbs) Platforms(context.Context, release.Image) ([]release.PlatformImage, bool, error) {
	return nil, false, nil
}

func (*verbs) NodePlatform(context.Context, string) (release.Platform, error) {
	return release.Platform{}, nil
}

func (v *verbs) Running(_ context.Context, namespace, _ string, image release.Image) (release.Running, error) {
	runs := image.Digest
	if other, found := v.runs[namespace+" "+image.Repository.String()]; found {
		runs = other
	}
	return releasetest.Running(release.PodImage{Pod: "pod", Digest: runs}), nil
}

func (v *verbs) run(flags ...string) (pipeline.Result, error) {
	v.t.Helper()
	v.settings = map[string]setting.Values{}
	if v.content == "" {
		v.content = monorepo
	}
	v.digests = map[string]release.Digest{"cart": releasetest.Digest(v.t, "a"), "worker": releasetest.Digest(v.t, "b"), "web": releasetest.Digest(v.t, "c")}
	var settings pipeline.Settings
	if err := settingtest.Apply(settings.Declare(), append([]string{"--matrix", "m.yaml"}, flags...)...); err != nil {
		return pipeline.Result{}, err
	}
	return pipeline.RunMatrix(v.t.Context(), []byte(v.content), settings, pipeline.Deps{Build: v.Build, Deploy: v.Deploy, Smoke: v.Smoke, Promote: v.Promote,
		Registry: v, Reporter: recorder{log: &v.log}, Now: time.Now,
		Connect: func(_ context.Context, ref setting.ClusterRef) (pipeline.Cluster, error) {
			v.contexts = append(v.contexts, ref.Context)
			return v, nil
		},
		CheckDeploys: func(_ context.Context, deploys []deploy.Settings) error {
			for _, settings := range deploys {
				if slices.Contains(settings.Values, "deploy/"+v.missing+".yaml") {
					return release.BadSetting("values", v.missing+" does not exist", "")
				}
			}
			return nil
		},
		CheckFile: func(path string) error {
			if path == "bad.yaml" {
				return release.BadSetting("checks", "bad.yaml is bad", "")
			}
			return nil
		}})
}

// TestAMatrixGoesToProduction: every step runs for all services before the next one starts, and each service has its results and its proof.
func TestAMatrixGoesToProduction(t *testing.T) {
	t.Parallel()
	v := &verbs{t: t}
	result, err := v.run("--kube-context", "zero", "--verify-key", "key.pub", "--context", ".")
	if err != nil || !result.Proof.Holds {
		t.Fatalf("got %+v, %v", result.Proof, err)
	}
	want := []string{"build cart", "build worker", "build web", "deploy staging cart", "deploy staging web", "smoke staging cart", "smoke staging web", "promote cart", "promote worker", "promote web",
		"deploy production cart canary", "deploy production web canary", "deploy production cart west", "deploy production web west",
		"smoke production cart canary", "smoke production web canary", "smoke production cart west", "smoke production web west"}
	if diff := cmp.Diff(want, v.calls); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if want := []string{"zero", "one", "two"}; !slices.Equal(v.contexts, want) {
		t.Errorf("connected to %q, want each of %q once", v.contexts, want)
	}
	worker := result.Services[1]
	if worker.Service != "worker" || worker.Proof.Built != v.digests["worker"] || !worker.Proof.Holds || len(worker.Proof.Running) != 3 || len(worker.Proof.Running["production/west"]) != 1 {
		t.Errorf("got %+v", worker)
	}
	if steps := result.Services[0].Steps; len(steps) != 8 || steps[5] != (pipeline.ServiceStep{Name: "deploy production", Cluster: "west", Outcome: "created"}) {
		t.Errorf("got %+v", steps)
	}
	staging, production := v.settings["deploy staging"], v.settings["deploy production"]
	if _, asked := staging["proved-in"]; asked || production["proved-in"].Texts[0] != "staging" || production["verify-key"].Texts[0] != "key.pub" || production["commit"].Texts[0] != commit.String() {
		t.Errorf("deploy is given %v and %v", staging, production)
	}
	if v.settings["build"]["context"].Texts[0] != "." || staging["kube-context"].Texts[0] != "zero" {
		t.Error("the context of build and that of the kubeconfig are mixed up")
	}
}

// TestAServiceThatFailsStopsAMatrix before production, and only what smoke has failed is rolled back.
func TestAServiceThatFailsStopsAMatrix(t *testing.T) {
	t.Parallel()
	for fails, last := range map[string]string{"build web": "build web", "deploy staging cart": "smoke staging web", "smoke staging web": "rollback staging staging/web ", "promote worker": "promote web",
		"deploy production cart": "smoke production web west"} {
		v := &verbs{t: t, fails: fails}
		result, err := v.run()
		var failure *release.Failure
		step := fails[:strings.LastIndex(fails, " ")]
		if !errors.As(err, &failure) || !strings.HasPrefix(err.Error(), step+": ") || v.calls[len(v.calls)-1] != last || result.Proof.Holds {
			t.Errorf("%s: got %v, the last call is %q, want %q", fails, err, v.calls[len(v.calls)-1], last)
		}
		for _, service := range result.Services {
			at := slices.IndexFunc(service.Steps, func(s pipeline.ServiceStep) bool { return s.Outcome == "failed" })
			if (at >= 0) != strings.HasSuffix(fails, " "+service.Service) {
				t.Errorf("%s: %s has %+v", fails, service.Service, service.Steps)
			}
		}
	}
	v := &verbs{t: t, fails: "smoke production cart"}
	if _, err := v.run(); err == nil || !slices.Equal(v.calls[len(v.calls)-2:], []string{"rollback production production/cart one", "rollback production production/cart two"}) {
		t.Errorf("got %v, %q", err, v.calls)
	}
}

// TestWhatWasDeployedIsSmoked, although another service was not deployed, and rolled back if it fails.
func TestWhatWasDeployedIsSmoked(t *testing.T) {
	t.Parallel()
	v := &verbs{t: t, newer: "deploy production cart"}
	_, err := v.run()
	var refusal *release.Refusal
	if !errors.As(err, &refusal) || release.ExitCode(err) != release.ExitFailed {
		t.Errorf("got %v", err)
	}
	if want := []string{"smoke production web canary", "smoke production web west"}; !slices.Equal(v.calls[len(v.calls)-2:], want) {
		t.Errorf("got %q", v.calls)
	}
	if want := "deployed to production anyway: web (canary), web (west)"; !strings.Contains(v.log.String(), want) {
		t.Errorf("the log is %q, want %q", v.log.String(), want)
	}
	v = &verbs{t: t, newer: "deploy production cart", fails: "smoke production web"}
	result, err := v.run()
	if !errors.As(err, &refusal) || !slices.Equal(v.calls[len(v.calls)-2:], []string{"rollback production production/web one", "rollback production production/web two"}) {
		t.Errorf("got %v, %q", err, v.calls)
	}
	if steps := result.Services[0].Steps; steps[len(steps)-1].Outcome != "superseded" {
		t.Errorf("got %+v", steps)
	}
}

// TestAMatrixIsProvedByItsPods: a pod of one service that runs another digest fails the whole.
func TestAMatrixIsProvedByItsPods(t *testing.T) {
	t.Parallel()
	v := &verbs{t: t, runs: map[string]release.Digest{"production localhost:5000/worker": releasetest.Digest(t, "f")}}
	result, err := v.run()
	if release.ExitCode(err) != release.ExitFailed || !strings.Contains(err.Error(), `worker: production/canary: pod "pod" runs sha256:ffff`) || result.Proof.Holds || result.Services[1].Proof.Holds || !result.Services[0].Proof.Holds {
		t.Errorf("got %v, %+v", err, result.Services)
	}
}

// TestAMatrixIsCheckedBeforeItIsBuilt: the problems of every step are told together, and nothing is run.
func TestAMatrixIsCheckedBeforeItIsBuilt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		content string
		flags   []string
		want    []string
	}{
		"settings of every verb": {`
services:
  - {name: a, repository: r.example.com/a, build: {colour: red}}
  - {name: a, repository: r.example.com/a2}`, nil, []string{`service "a" is listed twice`}},
		"each step": {"services: [{name: a, repository: r.example.com/a, deploy: {timeout: soon}, smoke: {checks: bad.yaml}, promote: {to: x}}]", nil,
			[]string{`"soon" is not a duration`, "bad.yaml is bad", `"to" applies to the whole matrix`}},
		"no production": {"services: [{name: a, repository: r.example.com/a}]\nenvironments: [{name: staging}]", nil, []string{`there is no environment "production"`}},
		"a part alone":  {"", []string{"--services", "worker"}, []string{`no digest is given for service "cart"`}},
		"an image":      {"", []string{"--image", "x=localhost:5000/x@sha256:" + strings.Repeat("a", 64), "--release", "r"}, []string{"whose services are built", "each service has its own"}},
	} {
		v := &verbs{t: t, content: test.content}
		_, err := v.run(test.flags...)
		if release.ExitCode(err) != release.ExitInput || len(v.calls) > 0 {
			t.Errorf("%s: got %v, %q", name, err, v.calls)
		}
		for _, want := range test.want {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%s: got %v\nwant %q", name, err, want)
			}
		}
	}
}

// TestMissingValuesAreFoundBeforeTheBuild of every environment, not only of the first one.
func TestMissingValuesAreFoundBeforeTheBuild(t *testing.T) {
	t.Parallel()
	v := &verbs{t: t, missing: "web-production"}
	if _, err := v.run(); release.ExitCode(err) != release.ExitInput || len(v.calls) > 0 || !strings.Contains(fmt.Sprint(err), "web-production does not exist") {
		t.Errorf("got %v, %q", err, v.calls)
	}
	c := good(t)
	c.missing = "production.yaml"
	if _, err := c.run(t, "--values", "{environment}.yaml"); release.ExitCode(err) != release.ExitInput || len(c.calls) > 0 {
		t.Errorf("got %v, %q", err, c.calls)
	}
}

// TestBadInputAfterAChangeIsAFailure: exit code 2 says that nothing was changed.
func TestBadInputAfterAChangeIsAFailure(t *testing.T) {
	t.Parallel()
	v := &verbs{t: t, fails: "deploy production web", err: release.BadSetting("set", "is bad", "")}
	if _, err := v.run(); release.ExitCode(err) != release.ExitFailed {
		t.Errorf("got exit code %d, %v", release.ExitCode(err), err)
	}
	c := good(t)
	c.fails, c.err = "deploy production", v.err
	if _, err := c.run(t); release.ExitCode(err) != release.ExitFailed {
		t.Errorf("got exit code %d, %v", release.ExitCode(err), err)
	}
	c.fails = "build"
	if _, err := c.run(t); release.ExitCode(err) != release.ExitInput {
		t.Errorf("got exit code %d, %v", release.ExitCode(err), err)
	}
}

// TestEverySettingReachesAStep of a matrix, or is refused beside one.
func TestEverySettingReachesAStep(t *testing.T) {
	t.Parallel()
	reached := map[string]bool{"image": true, "release": true, "comment": true} // refused, and of the pipeline itself
	for _, names := range pipeline.StepSettings {
		for name := range names {
			reached[name] = true
		}
	}
	verbs := map[string]*setting.Set{"build": new(build.Settings).Declare(), "deploy": new(deploy.Settings).Declare(), "smoke": new(smoke.Settings).Declare(), "promote": new(promote.Settings).Declare()}
	own := new(pipeline.Settings).Declare()
	for _, declared := range own.All() {
		if !reached[declared.Name] {
			t.Errorf("--%s reaches no step", declared.Name)
		}
	}
	for verb, names := range pipeline.StepSettings {
		for from, to := range names {
			if own.Lookup(from) == nil || verbs[verb].Lookup(to) == nil {
				t.Errorf("%s: there is no --%s or no --%s", verb, from, to)
			}
		}
	}
}
