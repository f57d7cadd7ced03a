package page_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/app"
	appbuild "github.com/onedigest/onedigest/internal/app/build"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/app/page"
	apppipeline "github.com/onedigest/onedigest/internal/app/pipeline"
	apppreview "github.com/onedigest/onedigest/internal/app/preview"
	apppromote "github.com/onedigest/onedigest/internal/app/promote"
	appsmoke "github.com/onedigest/onedigest/internal/app/smoke"
	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/pipeline"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/preview"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/smoke"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	next = release.Commit("d75053c1032f118e36aeaa70a8bd1f7eba4f1114")
	live = release.Commit("736b605af9d61f0e3f0b8a7c4a5d2b9f8e7c6d5b")
)

var (
	nextImage = image("96b7503e95943bdb2a1d8bcd9dc3435ee8714a414d6a65b52f6bd0bed90ce812")
	liveImage = image("f2d48a3806d2060cc636e82995b486bbdc2dc61f1f386341fe974bf59ecd78e7")
)

func image(hex string) release.Image {
	parsed, err := release.ParseImage("123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop@sha256:" + hex)
	if err != nil {
		panic(err)
	}
	return parsed
}

// diagnosed is the error of a rollout that failed.
type diagnosed struct{ found release.Diagnosis }

func (d diagnosed) Error() string {
	return fmt.Sprintf("%s %s container %q: %s: %s", d.found.Code, d.found.Object, d.found.Container, d.found.Reason, d.found.Message)
}
func (d diagnosed) Diagnosis() release.Diagnosis { return d.found }

var crash = release.Diagnosis{
	Code: causes.CrashLoop, Object: release.Object{Kind: "Pod", Name: "shop-88b5fd667-crsbt"}, Container: "app", Reason: "CrashLoopBackOff", Message: "ended with exit code 2",
	Advice: causes.CrashLoop.Cause().Advice,
	Events: []string{
		`Normal Pulled (2 times): Container image "127.0.0.1:5510/shop@sha256:f2d48a3806d2060cc636e82995b486bbdc2dc61f1f386341fe974bf59ecd78e7" already present on machine and can be accessed by the pod`,
		"Normal Created (2 times): Container created",
		`Warning Unhealthy: Startup probe failed: Get "http://10.244.0.7:8080/healthz": dial tcp 10.244.0.7:8080: connect: connection refused`,
	},
	Logs: []string{"invalid configuration:", `  LOG_LEVEL: "loud" is none of debug, info, warn, error`, "```", "</details><img src=x onerror=alert(1)> @octocat [click](http://evil.test) #1 | ::set-output name=a::b"},
}

func failedRollout() error {
	return &release.Failure{What: `Deployment/shop in namespace "staging" cannot become ready`, Err: &release.BadRelease{Err: diagnosed{crash}}, Do: crash.Advice}
}

// result is what a deploy of the next commit to staging returns.
func result(change func(*deploy.Result)) deploy.Result {
	r := deploy.Result{Outcome: release.Changed, Environment: "staging", Release: "shop", Namespace: "staging", Revision: 7, URL: "https://shop.staging.example.com",
		Image: nextImage, Digest: nextImage.Digest, Commit: next, Pods: []string{"a", "b"}, Seconds: 2.9,
		Previous: &deploy.PastRevision{Revision: 6, Commit: live, Digest: liveImage.Digest, Mark: release.MarkProved}}
	if change != nil {
		change(&r)
	}
	return r
}

// propose makes of a deploy one that waits for the merge of its pull request.
func previewArgs(mode string, more ...string) []string {
	return append([]string{"--mode", mode, "--github-repository", "octo/shop", "--pull-request", "17", "--release", "shop"}, more...)
}

func propose(r *deploy.Result) {
	r.Outcome, r.Digest, r.Revision, r.URL, r.Seconds, r.Pods = release.Proposed, release.Digest{}, 0, "", 0, nil
	r.Proposal = &release.Proposal{Branch: "onedigest/staging/shop", URL: "https://github.com/octo/config/pull/7"}
	r.State = "proposed in " + r.Proposal.URL
}

var toStaging = []string{"--environment", "staging", "--image", nextImage.String(), "--values", "deploy/staging.yaml", "--set", "greeting=it's me", "--cluster", "shop-staging", "--region", "eu-central-1"}

// TestPages holds the page of each verb and ending: testdata/NAME.md. To look at them: render them with any library that knows GitHub's Markdown.
func TestPages(t *testing.T) {
	t.Parallel()
	decision := policy.Decision{Environment: "production", Opens: true, Lines: []policy.Line{
		{Fact: "smoked", Required: `a pass of smoke in "staging" that is at most 30 days old`, Found: "a pass at 2026-11-30T08:01:52Z: 2 checks, 3 rounds", By: "awskms:///alias/evidence", Holds: true},
		{Fact: "not rejected", Required: "that nobody rejected the image", Found: "no rejection", Holds: true},
	}}
	closed := decision
	closed.Opens = false
	closed.Lines = append([]policy.Line{{Fact: "smoked", Required: `a pass of smoke in "staging" that is at most 30 days old`, Found: "a pass that is 43 days old", By: "9U6oRDPa3+dltpmXmKF/B4QIDLeFgm5h8p/1opwYejU=", Do: "run smoke in staging again"}}, decision.Lines[1])
	deploying := func(args []string, r deploy.Result, err error) func(context.Context, *testing.T, []string) {
		return func(ctx context.Context, t *testing.T, environ []string) {
			run(ctx, t, environ, args, deploy.Verb, (*deploy.Settings).Declare, r, err, appdeploy.Page)
		}
	}
	dozen := deploy.Result{Outcome: release.Changed, Skipped: 2}
	for i := range 12 {
		one := result(func(r *deploy.Result) {
			r.Part = matrix.Part{Service: fmt.Sprintf("service-%d", i+1), Cluster: "eu-" + fmt.Sprint(i%3+1)}
			r.Release, r.Seconds, r.URL = r.Service, 1.5+float64(i), fmt.Sprintf("https://service-%d.example.com", i+1)
			if i == 7 {
				r.Outcome, r.Digest, r.Diagnosis, r.Code, r.Error, r.State, r.URL, r.Seconds = release.RolledBack, liveImage.Digest, &crash, crash.Code, failedRollout().Error(), "rolled back to revision 6 as revision 8, ready after 0.2 s", "", 0
			}
			if i == 9 {
				r.Outcome, r.Digest, r.Error, r.URL, r.Seconds, r.Revision = "", release.Digest{}, `refused: "staging" runs a commit that 736b605af9d6 lacks; merge it`, "", 0, 0
			}
		})
		dozen.Deploys = append(dozen.Deploys, one)
	}
	plan := release.Plan{Outcome: release.Changed, Changes: []release.Change{
		{Object: release.Object{Kind: "ConfigMap", Name: "shop"}, Action: release.ActionCreate},
		{Object: release.Object{Kind: "Deployment", Name: "shop"}, Action: release.ActionChange, Fields: []release.FieldChange{
			{Path: "spec.template.spec.containers[app].image", Before: `"` + liveImage.String() + `"`, After: `"` + nextImage.String() + `"`},
			{Path: "spec.template.spec.containers[app].env[DB_PASSWORD].value", Before: release.HiddenValue, After: release.HiddenValue, Hidden: true},
			{Path: "spec.replicas", Before: "2", Manager: "kubectl"},
		}},
		{Object: release.Object{Kind: "Ingress", Name: "shop"}, Action: release.ActionDelete},
	}, Notes: []string{"replicas stay at 2, because a HorizontalPodAutoscaler sets them"}}
	for name, show := range map[string]func(context.Context, *testing.T, []string){
		"deploy-success": deploying(toStaging, result(nil), nil),
		"deploy-unchanged": deploying(toStaging, result(func(r *deploy.Result) {
			r.Outcome, r.Seconds = release.Unchanged, 0
			r.Previous = &deploy.PastRevision{Revision: 7, Commit: next, Digest: nextImage.Digest}
		}), nil),
		"deploy-superseded": deploying(toStaging, result(func(r *deploy.Result) {
			r.Outcome, r.Image, r.Commit, r.Digest, r.Pods, r.URL = release.Superseded, liveImage, live, release.Digest{}, nil, ""
			r.State, r.NewerRun, r.Seconds = "runs commit d75053c1032f, a descendant of 736b605af9d6, deployed by https://github.com/octo/shop/actions/runs/41", "https://github.com/octo/shop/actions/runs/41", 0
			r.Previous = &deploy.PastRevision{Revision: 7, Commit: next, Digest: nextImage.Digest}
		}), nil),
		"deploy-proposed":        deploying(toStaging, result(propose), nil),
		"deploy-matrix-proposed": deploying([]string{"--matrix", "deploys.yaml", "--image", nextImage.String()}, deploy.Result{Deploys: []deploy.Result{result(propose), result(nil)}}, nil),
		"deploy-refused": deploying(append([]string{"--proved-in", "staging"}, append([]string{"--environment", "production"}, toStaging[2:]...)...), result(func(r *deploy.Result) {
			r.Outcome, r.Environment, r.Namespace, r.URL, r.Digest, r.Pods, r.Revision, r.Seconds, r.Previous = "", "production", "production", "", release.Digest{}, nil, 0, 0, nil
			r.Gates = []deploy.ImageGate{{Image: nextImage, Decision: closed}}
		}), &release.Refusal{Why: `"production" requires a pass of smoke in "staging" that is at most 30 days old; found a pass that is 43 days old`, Do: "run smoke in staging again"}),
		"deploy-rolled-back": deploying(toStaging, result(func(r *deploy.Result) {
			r.Outcome, r.Digest, r.Revision, r.Diagnosis, r.Code, r.URL, r.Seconds = release.RolledBack, liveImage.Digest, 8, &crash, crash.Code, "", 0
			r.Restored, r.State = r.Previous, "rolled back to revision 6, commit 736b605af9d6, digest sha256:f2d48a3806d2 as revision 8, ready after 0.2 s"
		}), failedRollout()),
		"deploy-first-install-failed": deploying(toStaging, result(func(r *deploy.Result) {
			r.Outcome, r.Digest, r.Revision, r.Diagnosis, r.Code, r.URL, r.Seconds, r.Previous, r.Pods = "", release.Digest{}, 0, &crash, crash.Code, "", 0, nil, nil
			r.State = "the failed install is kept for inspection; the next deploy continues from it"
		}), failedRollout()),
		// The step after a failed smoke, which the workflow runs before the one that heals.
		"deploy-rolled-back-smoke": deploying(append([]string{"--rollback-failed-smoke"}, toStaging...), result(func(r *deploy.Result) {
			r.Outcome, r.Digest, r.Revision, r.Code, r.URL, r.Seconds = release.RolledBack, liveImage.Digest, 8, causes.SmokeFailed, "", 0
			r.Restored, r.State, r.Previous = r.Previous, "rolled back to revision 6, commit 736b605af9d6, digest sha256:f2d48a3806d2 as revision 8, ready after 0.2 s; its answers were not checked again: run smoke", nil
		}), nil),
		"deploy-healed-nothing": deploying(append([]string{"--heal"}, toStaging...), result(func(r *deploy.Result) {
			r.Outcome, r.Digest, r.Revision, r.URL, r.Seconds, r.Pods, r.Previous, r.State = release.Unchanged, release.Digest{}, 0, "", 0, nil, nil, "no revision was pending"
		}), nil),
		// A promotion by hand has the files of a second checkout; one with unpin says what the release was pinned at.
		"deploy-promoted-unpinned": deploying([]string{"--environment", "production", "--image", nextImage.String(), "--proved-in", "staging", "--chart", "promoted/charts/shop", "--values", "promoted/deploy/production.yaml", "--unpin"}, result(func(r *deploy.Result) {
			r.Environment, r.Namespace, r.Unpinned = "production", "production", live
		}), nil),
		// A rollback by hand pins the release.
		"deploy-promoted-pinned": deploying([]string{"--environment", "production", "--image", liveImage.String(), "--proved-in", "staging", "--chart", "promoted/charts/shop", "--values", "promoted/deploy/production.yaml", "--allow-rollback"}, result(func(r *deploy.Result) {
			r.Environment, r.Namespace, r.Image, r.Digest, r.Commit, r.Pinned = "production", "production", liveImage, liveImage.Digest, live, true
			r.Previous = &deploy.PastRevision{Revision: 6, Commit: next, Digest: nextImage.Digest}
		}), nil),
		"deploy-cancelled": func(ctx context.Context, t *testing.T, environ []string) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			deploying(toStaging, result(func(r *deploy.Result) {
				r.Outcome, r.Digest, r.Revision, r.URL, r.Seconds, r.Pods = "", release.Digest{}, 0, "", 0, nil
				r.State = "revision 7 is partly applied and marked as failed, pods of revision 6 may still serve; the next deploy continues from here"
			}), &release.Failure{What: "the deploy was stopped: revision 7 is partly applied and marked as failed", Err: context.Canceled})(ctx, t, environ)
		},
		"deploy-bad-input": deploying([]string{"--environment", "Staging|`x`"}, deploy.Result{}, nil),
		"deploy-matrix":    deploying([]string{"--matrix", "deploys.yaml", "--image", nextImage.String()}, dozen, &release.JobsError{Err: errors.Join(failedRollout(), &release.Refusal{Why: "no"}), Succeeded: true}),
		"deploy-plan": deploying(append([]string{"--dry-run"}, toStaging...), result(func(r *deploy.Result) {
			r.Outcome, r.Plan, r.URL, r.Digest, r.Pods, r.Revision, r.Seconds, r.PlanDigest = release.Planned, &plan, "", release.Digest{}, nil, 0, 0, nextImage.Digest
			r.Gates = []deploy.ImageGate{{Image: nextImage, Decision: decision}}
		}), nil),
		"preview-opened": func(ctx context.Context, t *testing.T, environ []string) {
			opened := result(func(r *deploy.Result) {
				r.Environment, r.Namespace, r.URL, r.Previous = "preview", "preview-shop-17", "https://pr-17.example.com", nil
			})
			run(ctx, t, environ, previewArgs("open", "--image", nextImage.String()), preview.Verb, (*preview.Settings).Declare, preview.Result{Mode: preview.Open, Outcome: release.Created, PullRequest: 17, Namespace: "preview-shop-17",
				URL: opened.URL, Expires: time.Date(2026, 12, 3, 8, 0, 0, 0, time.UTC), Deploy: &opened}, nil, apppreview.Page)
		},
		"preview-closed": func(ctx context.Context, t *testing.T, environ []string) {
			run(ctx, t, environ, previewArgs("close"), preview.Verb, (*preview.Settings).Declare, preview.Result{Mode: preview.Close, Outcome: preview.Removed, PullRequest: 17, Namespace: "preview-shop-17"}, nil, apppreview.Page)
		},
		"preview-swept": func(ctx context.Context, t *testing.T, environ []string) {
			run(ctx, t, environ, previewArgs("sweep"), preview.Verb, (*preview.Settings).Declare, preview.Result{Mode: preview.Sweep, Outcome: preview.Removed, Removed: []string{"preview-shop-3", "preview-shop-9"}, Left: []string{"preview-shop-17"}}, nil, apppreview.Page)
		},
		"build-reused": func(ctx context.Context, t *testing.T, environ []string) {
			run(ctx, t, environ, []string{"--repository", nextImage.Repository.String()}, build.Verb, (*build.Settings).Declare,
				build.Result{Outcome: release.Reused, Reused: true, Image: nextImage, Digest: nextImage.Digest, Commit: next, Tag: release.Tag(next), From: live}, nil, appbuild.Page)
		},
		"promote-success": func(ctx context.Context, t *testing.T, environ []string) {
			run(ctx, t, environ, []string{"--image", nextImage.String(), "--to", "production"}, promote.Verb, (*promote.Settings).Declare,
				promote.Result{Promoted: promote.Promoted{Outcome: release.Created, Image: nextImage, Digest: nextImage.Digest, Tag: release.Tag("production-" + next), Commit: next, Source: next, From: "staging", To: "production",
					Proved: time.Date(2026, 11, 30, 8, 1, 52, 0, time.UTC), Gate: &decision}}, nil, apppromote.Page)
		},
		"smoke-failed": func(ctx context.Context, t *testing.T, environ []string) {
			answers := []release.Answer{
				{Check: "health", Address: "pod shop-1:8080", Stage: release.StageDone, Latency: 3 * time.Millisecond, Status: 200},
				{Check: "configs", Address: "pod shop-1:8080", Stage: release.StageCheck, Status: 500, Wrong: []string{`status 500, expected 200 of "https://shop.staging.example.com/configs"`}},
				{Check: "order | pay", Kind: release.CheckCommand, Stage: release.StageCheck, Wrong: []string{"ended with exit code 1"}, Output: "FAIL order is `unpaid`"},
			}
			run(ctx, t, environ, []string{"--environment", "staging", "--url", "https://shop.staging.example.com"}, smoke.Verb, (*smoke.Settings).Declare,
				smoke.Result{Verdict: release.Fail, Digest: nextImage.Digest, Report: smoke.Report{URL: "https://shop.staging.example.com", Verdict: release.Fail, Expected: next, Rounds: 9, Seconds: 15.2, Answers: answers,
					Latencies: []smoke.Latency{{Check: "health", P50: 0.003, P95: 0.007, P99: 0.009, Requests: 18}}}},
				&release.BadRelease{Err: errors.New("smoke failed after 9 rounds: configs: status 500, expected 200")}, appsmoke.Page)
		},
		"pipeline-success": func(ctx context.Context, t *testing.T, environ []string) {
			run(ctx, t, environ, []string{"--repository", nextImage.Repository.String()}, pipeline.Verb, (*pipeline.Settings).Declare, pipelined(7), nil, apppipeline.Page)
		},
		"pipeline-failed": func(ctx context.Context, t *testing.T, environ []string) {
			run(ctx, t, environ, []string{"--repository", nextImage.Repository.String()}, pipeline.Verb, (*pipeline.Settings).Declare, pipelined(2),
				&pipeline.StepError{Step: "deploy staging", Err: failedRollout()}, apppipeline.Page)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			summary := filepath.Join(t.TempDir(), "summary")
			if err := os.WriteFile(summary, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			show(t.Context(), t, []string{"GITHUB_ACTIONS=true", "GITHUB_STEP_SUMMARY=" + summary, "GITHUB_SERVER_URL=https://github.com", "GITHUB_REPOSITORY=octo/shop", "GITHUB_RUN_ID=42", "GITHUB_ACTOR=octocat",
				"GITHUB_OUTPUT=" + filepath.Join(t.TempDir(), "output"), "GITHUB_SHA=" + next.String()})
			got, err := os.ReadFile(summary)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".md")
			if *update {
				if err := errors.Join(os.MkdirAll("testdata", 0o750), os.WriteFile(golden, got, 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// pipelined is a pipeline's result after so many steps; the last of them failed unless there are all.
func pipelined(steps int) pipeline.Result {
	names := []string{"build", "deploy staging", "smoke staging", "promote", "deploy production", "smoke production"}
	outcomes := []string{"created", "created", "pass", "created", "changed", "pass"}
	r := pipeline.Result{Proof: pipeline.Proof{Commit: next, Built: nextImage.Digest, URLs: map[string]string{"staging": "https://shop.staging.example.com"}, Holds: steps > len(names)}}
	for i, name := range names[:min(steps, len(names))] {
		step := pipeline.Step{Name: name, Outcome: outcomes[i], Digest: nextImage.Digest, Seconds: 1.5 + float64(i)}
		if i == steps-1 {
			step.Outcome, step.Digest = "failed", release.Digest{}
		}
		r.Steps = append(r.Steps, step)
	}
	if r.Proof.Holds {
		r.Proof.URLs["production"] = "https://shop.example.com"
	}
	return r
}

// run runs a verb that ends with a result.
func run[S, R any](ctx context.Context, t *testing.T, environ, args []string, verb setting.Verb, declare func(*S) *setting.Set, ends R, err error, shown func(*S, R, error) page.Page) {
	t.Helper()
	second := 0
	now := func() time.Time {
		second += 7
		return time.Date(2026, 11, 30, 8, 0, second, 0, time.UTC)
	}
	app.NewCommand(app.Wiring[S, R]{
		Verb: verb, Declare: declare, Page: shown, Outputs: func(R) map[string]string { return nil },
		Run: func(context.Context, *S, *app.RunContext) (R, error) { return ends, err },
	}).Run(ctx, app.Process{Args: args, Environ: environ, Dir: t.TempDir(), Stdout: io.Discard, Stderr: io.Discard, Now: now})
}

// TestASummaryIsBounded: sections that do not fit are left out, and a long log keeps its end.
func TestASummaryIsBounded(t *testing.T) {
	t.Parallel()
	writer := page.Writer{Redact: func(s string) string { return s }}
	long := strings.Repeat("a line of a log\n", 1<<20) + "the last line"
	shown := page.Page{Status: page.Failed, Headline: page.Line("no"), Sections: []page.Section{{Title: page.Line("log"), Block: long, Tail: true}, {Title: page.Line("more"), Block: long}, {Block: long}}}
	got := writer.Markdown(shown, 80<<10)
	if len(got) > 80<<10 || !strings.Contains(got, "the last line\n```\n") || !strings.Contains(got, "_This is cut; the log has the rest._") || !strings.HasSuffix(got, "_1 sections are left out, since GitHub drops a page that is too long. The log has them._\n\n") {
		t.Errorf("%d bytes: %q … %q", len(got), got[:200], got[len(got)-300:])
	}
	rows := page.Table{Head: []string{"a"}}
	for range 1000 {
		rows.Rows = append(rows.Rows, []page.Text{page.Line("x")})
	}
	if got := writer.Markdown(page.Page{Sections: []page.Section{{Table: rows}}}, 1<<20); !strings.Contains(got, "_800 more rows are in the log._") {
		t.Errorf("got %q", got[len(got)-200:])
	}
}

// TestGoBackIsExact: the command is shown only if it does what the deploy did.
func TestGoBackIsExact(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args  []string
		shown bool
	}{
		{nil, true},
		{[]string{"--set", "color=blue"}, true},
		{[]string{"--set", "db.password=canary-4711"}, false},
		{[]string{"--secret-values", "db.password=awssm://shop#password"}, false},
		{[]string{"--image-values", "image"}, false},
		{[]string{"--image-alias", "registry.example.com/shop"}, false},
		{[]string{"--pin-text"}, false},
		{[]string{"--chart-host", "charts.example.com"}, false},
		{[]string{"--via", "argo-cd", "--chart", "chart", "--config-file", "values.yaml", "--config-repository", "https://github.com/octo/config"}, false},
	} {
		summary := filepath.Join(t.TempDir(), "summary")
		environ := []string{"GITHUB_ACTIONS=true", "GITHUB_STEP_SUMMARY=" + summary, "GITHUB_OUTPUT=" + filepath.Join(t.TempDir(), "output")}
		run(t.Context(), t, environ, append(slices.Concat(toStaging[:4], toStaging[8:]), test.args...), deploy.Verb, (*deploy.Settings).Declare, result(nil), nil, appdeploy.Page)
		got, err := os.ReadFile(summary)
		if err != nil || !strings.Contains(string(got), "runs commit") {
			t.Errorf("%v: %v in %s", test.args, err, got)
		}
		if shown := strings.Contains(string(got), "Go back"); shown != test.shown || strings.Contains(string(got), "canary") {
			t.Errorf("%v: %s", test.args, got)
		}
	}
}
