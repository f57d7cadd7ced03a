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
	"github.com/onedigest/onedigest/internal/pipeline"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting/settingtest"
	"github.com/onedigest/onedigest/internal/smoke"
)

const commit = releasetest.Commit

// fakes are the verbs and the cluster, as the pipeline calls them.
type fakes struct {
	digest  release.Digest
	fails   string          // the step that fails
	err     error           // that it fails with; nil: a failure
	missing string          // values file that does not exist
	verdict release.Verdict // of every smoke; pass if ""
	answers map[release.Environment]string
	runs    map[string]release.Digest
	calls   []string // the steps that were called, in order
	images  []release.Image
	deploys map[release.Environment]deploy.Settings
	built   build.Settings
	back    deploy.Settings // of the rollback
	to      promote.Settings
	tag     release.Tag // that build gives the image
	further [][]release.BuiltImage
}

// call records a step.
func (c *fakes) call(step string, image release.Image) error {
	c.calls, c.images = append(c.calls, step), append(c.images, image)
	if step == c.fails && c.err != nil {
		return c.err
	}
	if step == c.fails {
		return &release.Failure{What: "as the test wants"}
	}
	return nil
}

func (c *fakes) Build(_ context.Context, settings build.Settings) (build.Result, error) {
	c.built = settings
	return build.Result{Outcome: release.Created, Digest: c.digest, Commit: commit, Tag: c.tag}, c.call("build", release.Image{})
}

func (c *fakes) Deploy(_ context.Context, settings deploy.Settings) (deploy.Result, error) {
	if settings.RollbackFailedSmoke {
		c.back = settings
		return deploy.Result{Outcome: release.RolledBack}, c.call("rollback "+settings.Environment.String(), settings.Image)
	}
	c.deploys[settings.Environment] = settings
	return deploy.Result{Outcome: release.Created, Digest: settings.Image.Digest}, c.call("deploy "+settings.Environment.String(), settings.Image)
}

func (c *fakes) Smoke(_ context.Context, settings smoke.Settings) (smoke.Result, error) {
	c.further = append(c.further, settings.Further)
	report := smoke.Report{Answers: []release.Answer{{Commit: c.answers[settings.Environment]}}}
	verdict := release.Pass
	if c.verdict != "" {
		verdict = c.verdict
	}
	return smoke.Result{Verdict: verdict, Digest: settings.Image.Digest, Report: report}, c.call("smoke "+settings.Environment.String(), settings.Image)
}

func (c *fakes) Promote(_ context.Context, settings promote.Settings) (promote.Result, error) {
	c.to = settings
	c.further = append(c.further, settings.Further)
	return promote.Result{Promoted: promote.Promoted{Outcome: release.Created, Digest: settings.Image.Digest}}, c.call("promote", settings.Image)
}

func (*fakes) Platforms(context.Context, release.Image) ([]release.PlatformImage, bool, error) {
	return nil, false, nil
}

func (*fakes) NodePlatform(context.Context, string) (release.Platform, error) {
	return release.Platform{}, nil
}

func (c *fakes) Running(_ context.Context, namespace, _ string, _ release.Image) (release.Running, error) {
	return releasetest.Running(release.PodImage{Pod: "shop-1", Digest: c.runs[namespace]}), nil
}

func good(t *testing.T) *fakes {
	d := releasetest.Digest(t, "a")
	return &fakes{digest: d, answers: map[release.Environment]string{"staging": commit.String(), "production": commit.String()},
		deploys: map[release.Environment]deploy.Settings{}, runs: map[string]release.Digest{"staging": d, "production": d}}
}

func (c *fakes) run(t *testing.T, flags ...string) (pipeline.Result, error) {
	t.Helper()
	var settings pipeline.Settings
	if err := settingtest.Apply(settings.Declare(), append([]string{"--repository", "localhost:5000/shop", "--context", "app"}, flags...)...); err != nil {
		t.Fatal(err)
	}
	return pipeline.Run(t.Context(), settings, pipeline.Deps{Build: c.Build, Deploy: c.Deploy, Smoke: c.Smoke, Promote: c.Promote,
		CheckDeploys: func(_ context.Context, deploys []deploy.Settings) error {
			for _, settings := range deploys {
				if slices.Contains(settings.Values, c.missing) {
					return release.BadSetting("values", c.missing+" does not exist", "")
				}
			}
			return nil
		},
		Cluster: c, Registry: c, Reporter: releasetest.DiscardReporter{}, Now: time.Now})
}

func TestRunChainsTheVerbsByTheDigest(t *testing.T) {
	t.Parallel()
	c := good(t)
	result, err := c.run(t)
	if err != nil || !result.Proof.Holds {
		t.Fatalf("got %+v, %v", result, err)
	}
	var steps []string
	for _, step := range result.Steps {
		steps = append(steps, step.Name)
	}
	if diff := cmp.Diff([]string{"build", "deploy staging", "smoke staging", "promote", "deploy production", "smoke production"}, steps); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for i, image := range c.images[1:] {
		if image.String() != "localhost:5000/shop@"+c.digest.String() {
			t.Errorf("%q is given %s, not the digest that was built", c.calls[i+1], image)
		}
	}
	for environment, settings := range c.deploys {
		if settings.Commit != "" {
			t.Errorf("the deploy to %s is given the commit %q; it must come from the image", environment, settings.Commit)
		}
	}
	if got := c.deploys["production"].Values; !slices.Equal(got, []string{"deploy/production.yaml"}) {
		t.Errorf("production is not deployed with its own values: %q", got)
	}
}

// TestAServiceNeedsToSayNothing: the pods prove the digest of a service whose answers name no commit, and short ids count.
func TestAServiceNeedsToSayNothing(t *testing.T) {
	t.Parallel()
	c := good(t)
	c.answers["staging"], c.answers["production"] = "", commit.String()[:7]
	if result, err := c.run(t); err != nil || !result.Proof.Holds || len(result.Proof.Answered["staging"]) != 0 {
		t.Errorf("got %+v, %v", result.Proof, err)
	}
}

// TestTheProofNamesTheCommitOfTheChart where the image was built from an earlier one.
func TestTheProofNamesTheCommitOfTheChart(t *testing.T) {
	t.Parallel()
	for tag, want := range map[release.Tag]release.Commit{release.Tag(commit): "", release.Tag(releasetest.Another): releasetest.Another, "0123456789ab-dirty-1": ""} {
		c := good(t)
		c.tag = tag
		if result, err := c.run(t); err != nil || result.Proof.Commit != commit || result.Proof.Source != want {
			t.Errorf("%s: got %+v, %v", tag, result.Proof, err)
		}
	}
}

// TestTheChartGetsTheImage as the settings say, from where they say the chart is.
func TestTheChartGetsTheImage(t *testing.T) {
	t.Parallel()
	c := good(t)
	c.tag = release.Tag(releasetest.Another)
	if _, err := c.run(t, "--image-alias", "example/shop", "--image-values", "web.image", "--pin-text", "--chart", "shop", "--chart-repo", "https://charts.example.com", "--chart-version", "1.2.3"); err != nil {
		t.Fatal(err)
	}
	got := c.deploys["production"]
	want := []release.BuiltImage{{Image: c.images[1], Aliases: []string{"docker.io/example/shop"}, Values: []string{"web.image"}}}
	if diff := cmp.Diff(want, got.Images, cmp.Comparer(func(a, b release.Digest) bool { return a == b })); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !got.PinText || got.Chart != "shop" || got.ChartRepo != "https://charts.example.com" || got.ChartVersion != "1.2.3" || got.Commit != releasetest.Another {
		t.Errorf("deploy is given %+v", got)
	}
}

// TestFurtherImagesGoTheSameWay: those that are built already are deployed, smoked and promoted with the one that is built.
func TestFurtherImagesGoTheSameWay(t *testing.T) {
	t.Parallel()
	c := good(t)
	worker := release.Repository("localhost:5000/worker").At(releasetest.Digest(t, "a"))
	result, err := c.run(t, "--image", "worker="+worker.String(), "--image-alias", "worker=example/worker", "--image-values", "worker.image", "--image-values", "worker=job.image")
	if err != nil {
		t.Fatal(err)
	}
	same := cmp.Comparer(func(a, b release.Digest) bool { return a == b })
	further := []release.BuiltImage{{Name: "worker", Image: worker, Aliases: []string{"docker.io/example/worker"}, Values: []string{"job.image"}}}
	want := append([]release.BuiltImage{{Image: c.images[1], Values: []string{"worker.image"}}}, further...)
	if diff := cmp.Diff(want, c.deploys["production"].Images, same); diff != "" {
		t.Errorf("deploy -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([][]release.BuiltImage{further, further, further}, c.further, same); diff != "" {
		t.Errorf("smoke, promote, smoke -want +got:\n%s", diff)
	}
	if !result.Proof.Holds || len(result.Proof.Further) != 1 || len(result.Proof.Further[0].Running["production"]) == 0 {
		t.Errorf("got %+v", result.Proof)
	}
	for _, bad := range []string{worker.String(), "worker=localhost:5000/shop@" + worker.Digest.String()} {
		if _, err := settingsOf("--image", bad); err == nil {
			t.Errorf("image %q is accepted", bad)
		}
	}
}

// TestRunGivesStepsTheVerbsDefaults: a step behaves as the verb would alone, but for what the pipeline says.
func TestRunGivesStepsTheVerbsDefaults(t *testing.T) {
	t.Parallel()
	c := good(t)
	if _, err := c.run(t); err != nil {
		t.Fatal(err)
	}
	if c.built.Builder != "auto" || c.built.Context != "app" || len(c.built.Platforms) != 1 {
		t.Errorf("build is given %+v", c.built)
	}
	got := c.deploys["staging"]
	if got.Rollback != "auto" || got.LeaseDuration != 15*time.Second || got.Timeout != 3*time.Minute || got.Namespace != "staging" || !got.CreateNamespace {
		t.Errorf("deploy is given %+v", got)
	}
	if _, err := c.run(t, "--builder", "docker"); err != nil || c.built.Builder != "docker" {
		t.Errorf("build is given builder %q (%v)", c.built.Builder, err)
	}
}

// TestEveryEnvironmentHasItsAddress, which deploy and smoke share.
func TestEveryEnvironmentHasItsAddress(t *testing.T) {
	t.Parallel()
	c := good(t)
	if _, err := c.run(t, "--address", "https://{environment}.example.com"); err != nil {
		t.Fatal(err)
	}
	for environment, want := range map[release.Environment]release.Address{"staging": "https://staging.example.com", "production": "https://production.example.com"} {
		if got := c.deploys[environment].Address; got != want {
			t.Errorf("%s is deployed with address %q, want %q", environment, got, want)
		}
	}
	for _, bad := range []string{"none", "shop"} {
		if _, err := settingsOf("--address", bad); err == nil {
			t.Errorf("address %q is accepted", bad)
		}
	}
}

func settingsOf(flags ...string) (settings pipeline.Settings, err error) {
	err = settingtest.Apply(settings.Declare(), append([]string{"--repository", "localhost:5000/shop", "--context", "app"}, flags...)...)
	return settings, err
}

func TestRunStopsAtTheFirstFailureAndSparesProduction(t *testing.T) {
	t.Parallel()
	for _, fails := range []string{"build", "deploy staging", "smoke staging", "promote"} {
		c := good(t)
		c.fails = fails
		result, err := c.run(t)
		if err == nil || result.Proof.Holds {
			t.Errorf("%s: got %+v, %v; want a failure", fails, result, err)
		}
		if step := result.Steps[len(result.Steps)-1]; step.Name != fails || step.Outcome != "failed" {
			t.Errorf("%s: the last step is %+v", fails, step)
		}
		notRun := map[string]string{
			"build":          "deploy staging, smoke staging, promote, deploy production, smoke production",
			"deploy staging": "smoke staging, promote, deploy production, smoke production",
			"smoke staging":  "promote, deploy production, smoke production",
			"promote":        "deploy production, smoke production",
		}[fails]
		if strings.Join(result.NotRun(), ", ") != notRun {
			t.Errorf("%s: not run %q, want %q", fails, result.NotRun(), notRun)
		}
		var failure *release.Failure
		if step := new(pipeline.StepError); !errors.As(err, &step) || step.Step != fails || !errors.As(err, &failure) || !strings.HasPrefix(err.Error(), fails+": ") {
			t.Errorf("%s: got %v, want the step's own failure", fails, err)
		}
		for _, call := range c.calls {
			if strings.Contains(call, "production") {
				t.Errorf("%s: production was touched: %q", fails, call)
			}
		}
	}
}

// TestAFailedSmokeIsRolledBack, and one that reached nothing is not.
func TestAFailedSmokeIsRolledBack(t *testing.T) {
	t.Parallel()
	for verdict, want := range map[release.Verdict]string{release.Fail: "rollback production", release.Inconclusive: "smoke production"} {
		c := good(t)
		c.fails = "smoke production"
		c.verdict = verdict
		_, err := c.run(t)
		if release.ExitCode(err) != release.ExitFailed || !strings.Contains(err.Error(), "smoke production: ") {
			t.Errorf("%s: got %v", verdict, err)
		}
		if last := c.calls[len(c.calls)-1]; last != want {
			t.Errorf("%s: the last step is %q, want %q", verdict, last, want)
		}
	}
}

// TestTheRulesAreForEveryStep: who passes over the rules, and with which key what a step does is signed.
func TestTheRulesAreForEveryStep(t *testing.T) {
	t.Parallel()
	fakes := good(t)
	fakes.verdict, fakes.fails = release.Fail, "smoke staging"
	const reason = "staging is down, agreed with the owner"
	flags := []string{"--override-reason", reason, "--sign-key", "keys/a.key", "--policy", "rules.yaml"}
	if _, err := fakes.run(t, flags...); err == nil || fakes.back.SignKey.Name != "keys/a.key" || !fakes.back.RollbackFailedSmoke {
		t.Errorf("the rollback: got %v and %+v", err, fakes.back)
	}
	fakes = good(t)
	if _, err := fakes.run(t, flags...); err != nil {
		t.Fatal(err)
	}
	if fakes.to.OverrideReason != reason || fakes.deploys["production"].OverrideReason != reason || fakes.to.Policy != "rules.yaml" || fakes.deploys["production"].SignKey.Name != "keys/a.key" {
		t.Errorf("got %+v and %+v", fakes.to, fakes.deploys["production"])
	}
}

func TestRunFailsWhenThePromiseIsBroken(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(*fakes)
		want  string
	}{
		"production runs another digest": {func(c *fakes) { c.runs["production"] = releasetest.Digest(t, "b") }, `production: pod "shop-1" runs sha256:bbbb`},
		"staging answers another commit": {func(c *fakes) { c.answers["staging"] = "x" }, "staging answered commit x"},
	} {
		c := good(t)
		test.spoil(c)
		result, err := c.run(t)
		var failure *release.Failure
		if !errors.As(err, &failure) || !strings.Contains(fmt.Sprint(err), test.want) || result.Proof.Holds {
			t.Errorf("%s: got %v, want a failure with %q", name, err, test.want)
		}
	}
}

// TestTheReleaseNameIsChecked: the name that the repository's path gives must be one that Helm accepts, before anything is built.
func TestTheReleaseNameIsChecked(t *testing.T) {
	t.Parallel()
	for path, release := range map[string]string{"team/shop.v2": "", "my_shop": "", strings.Repeat("a", 54): "", "team/shop": "", "my_shop2": "shop"} {
		args := []string{"--repository", "localhost:5000/" + path, "--context", "app"}
		if release != "" {
			args = append(args, "--release", release)
		}
		err := settingtest.Apply(new(pipeline.Settings).Declare(), args...)
		if wanted := path == "team/shop" || release != ""; (err == nil) != wanted {
			t.Errorf("%s %q: %v", path, release, err)
		}
	}
}
