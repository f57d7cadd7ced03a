package deploy_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting/settingtest"
)

// TestAnImageForNoNodeIsRefused before anything changes; what is unknown is no reason.
func TestAnImageForNoNodeIsRefused(t *testing.T) {
	t.Parallel()
	arm, amd := release.Platform{OS: "linux", Architecture: "arm64"}, release.Platform{OS: "linux", Architecture: "amd64"}
	shop := release.Object{APIVersion: "apps/v1", Kind: "Deployment", Name: "shop"}
	for name, test := range map[string]struct {
		platforms  []release.PlatformImage
		unrunnable []release.UnrunnableTemplate
		refused    bool
	}{
		"for no node":             {[]release.PlatformImage{{Platform: arm}}, []release.UnrunnableTemplate{{Object: shop, Nodes: []release.Platform{amd}}}, true},
		"for a node":              {[]release.PlatformImage{{Platform: arm}}, nil, false},
		"for what, unknown":       {[]release.PlatformImage{{Platform: arm}, {}}, []release.UnrunnableTemplate{{Object: shop, Nodes: []release.Platform{amd}}}, false},
		"with none of its images": {[]release.PlatformImage{}, nil, true},
		"without its images":      {nil, []release.UnrunnableTemplate{{Object: shop, Nodes: []release.Platform{amd}}}, false},
	} {
		for _, flags := range [][]string{nil, {"--dry-run"}} {
			fakes := &fakes{platforms: test.platforms, unrunnable: test.unrunnable, rendering: release.Rendering{Templates: []release.PodTemplate{{Object: shop, Images: []string{image(t, "a").String()}}}}}
			_, _, err := fakes.run(t, flags...)
			var refusal *release.Refusal
			if errors.As(err, &refusal) != test.refused || err != nil && !test.refused {
				t.Errorf("%s: got %v", name, err)
			}
			if test.refused {
				wants := []string{"no node can run "}
				if len(test.platforms) > 0 {
					wants = []string{"is for linux/arm64, and every node that can run pods of Deployment/shop is linux/amd64", "--platforms", "--allow-emulation"}
				}
				check(t, err.Error(), wants...)
				if len(fakes.done) > 0 {
					t.Errorf("%s: did %v", name, fakes.done)
				}
			}
		}
	}
}

// TestTheFilesOfLaterDeploysAreChecked: problems of all of them are reported together, and nothing is recorded or changed.
func TestTheFilesOfLaterDeploysAreChecked(t *testing.T) {
	t.Parallel()
	of := func(environment release.Environment, values, checks string) (settings deploy.Settings) {
		settings.Environment, settings.Chart, settings.Values, settings.SmokeChecks = environment, "charts/shop", []string{values}, checks
		return settings
	}
	fakes := &fakes{outside: "../b.yaml"}
	deps := deploy.Deps{Workspace: fakes, Charts: fakes, Chart: chart{fakes}, SmokeRunner: smokeRunner{fakes}}
	if err := deploy.CheckFiles(t.Context(), []deploy.Settings{of("staging", "a.yaml", ""), of("production", "b.yaml", "default")}, deps); err != nil {
		t.Error(err)
	}
	err := deploy.CheckFiles(t.Context(), []deploy.Settings{of("staging", "a.yaml", "none.yaml"), of("production", "../b.yaml", "")}, deps)
	if release.ExitCode(err) != release.ExitInput || len(fakes.done) > 0 {
		t.Fatalf("got %v, did %v", err, fakes.done)
	}
	check(t, err.Error(), `"../b.yaml" is outside the work tree`, "--checks: does not exist")
	fakes.checkErr = release.BadSetting("values", "a.yaml is no YAML", "")
	err = deploy.CheckFiles(t.Context(), []deploy.Settings{of("staging", "a.yaml", "none.yaml"), of("production", "../b.yaml", "")}, deps)
	check(t, err.Error(), "a.yaml is no YAML", `"../b.yaml" is outside the work tree`, "--checks: does not exist")
	fakes.checkErr = nil
	deps.Policy = policy.Policy{Source: policy.Source{File: ".onedigest.yaml"}, Ladder: []policy.Rung{{Environment: "staging"}}}
	err = deploy.CheckFiles(t.Context(), []deploy.Settings{of("staging", "a.yaml", ""), of("production", "b.yaml", "")}, deps)
	if release.ExitCode(err) != release.ExitInput {
		t.Fatalf("got %v", err)
	}
	check(t, err.Error(), `"production" is not an environment of .onedigest.yaml`)
	guarded, free := of("production", "b.yaml", ""), of("staging", "a.yaml", "")
	guarded.Set, guarded.SetJSON, free.Set = []string{"greeting=hello"}, []string{"replicas=2"}, []string{"greeting=hello"}
	deps.Policy.Ladder = append(deps.Policy.Ladder, policy.Rung{Environment: "production", Requires: policy.Requirements{ChartOfCommit: true}})
	err = deploy.CheckFiles(t.Context(), []deploy.Settings{free, guarded}, deps)
	if release.ExitCode(err) != release.ExitInput || strings.Contains(err.Error(), "staging") {
		t.Fatalf("got %v", err)
	}
	check(t, err.Error(), "no commit has the values of greeting, replicas; commit these values in a values file")
	fakes.common, fakes.outside, guarded.Set, guarded.SetJSON = true, "the common chart", nil, nil
	err = deploy.CheckFiles(t.Context(), []deploy.Settings{free, guarded}, deps)
	check(t, err.Error(), `the chart is from "the common chart", not from the work tree; commit a chart`)
	guarded.OverrideReason = "agreed with the owner"
	if err := deploy.CheckFiles(t.Context(), []deploy.Settings{free, guarded}, deps); err != nil {
		t.Error(err)
	}
}

// TestEmulationIsAllowed for an image of one platform: a node pulls nothing of an index that lacks its own.
func TestEmulationIsAllowed(t *testing.T) {
	t.Parallel()
	arm, amd := release.Platform{OS: "linux", Architecture: "arm64"}, release.Platform{OS: "linux", Architecture: "amd64"}
	shop := release.Object{APIVersion: "apps/v1", Kind: "Deployment", Name: "shop"}
	built := image(t, "a")
	for name, test := range map[string]struct {
		platforms []release.PlatformImage
		refused   bool
	}{
		"one platform":          {[]release.PlatformImage{{Platform: arm, Manifest: built.Digest}}, false},
		"an index of one":       {[]release.PlatformImage{{Platform: arm, Manifest: image(t, "b").Digest}}, true},
		"an index of platforms": {[]release.PlatformImage{{Platform: arm, Manifest: image(t, "b").Digest}, {Platform: arm, Manifest: image(t, "c").Digest}}, true},
	} {
		fakes := &fakes{platforms: test.platforms, unrunnable: []release.UnrunnableTemplate{{Object: shop, Nodes: []release.Platform{amd}}},
			rendering: release.Rendering{Templates: []release.PodTemplate{{Object: shop, Images: []string{built.String()}}}}}
		_, log, err := fakes.run(t, "--allow-emulation")
		switch {
		case test.refused:
			if err == nil {
				t.Fatalf("%s: not refused", name)
			}
			check(t, err.Error(), "it is an index, of which a node pulls only an image of its own platform")
		case err != nil:
			t.Errorf("%s: %v", name, err)
		default:
			check(t, log, "warning: image ", "deployed anyway, as --allow-emulation allows")
		}
	}
}

// TestAnImageMustBeProved where the settings say in which environment; nothing changes before, and a dry run asks too.
func TestAnImageMustBeProved(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fakes *fakes
		want  string // "": deployed
	}{
		"proved":                   {&fakes{verdict: release.Pass}, ""},
		"failed":                   {&fakes{verdict: release.Fail}, `make smoke pass in "qa" first`},
		"no evidence":              {&fakes{}, `the registry holds no evidence that "qa" proved`},
		"a verdict that is lost":   {&fakes{verdict: release.Pass, newestErr: &release.UnreadableRecordError{Environment: "qa", Verdict: release.Fail}}, "cannot be read"},
		"the registry is not here": {&fakes{newestErr: release.NewFault("registry", "", errors.New("refused"), "listing")}, "listing: refused"},
	} {
		for _, flags := range [][]string{nil, {"--dry-run"}} {
			test.fakes.done = nil
			_, _, err := test.fakes.run(t, append(flags, "--proved-in", "qa")...)
			if (err == nil) != (test.want == "") {
				t.Errorf("%s: got %v", name, err)
				continue
			}
			if test.want != "" {
				check(t, err.Error(), test.want)
				if len(test.fakes.done) > 0 {
					t.Errorf("%s: did %v", name, test.fakes.done)
				}
			}
		}
	}
	for _, flags := range [][]string{{"--proved-in", "staging"}, {"--override-reason", "short"}} {
		err := settingtest.Apply(new(deploy.Settings).Declare(), append([]string{"--environment", "staging", "--image", image(t, "a").String()}, flags...)...)
		if release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), flags[0]) {
			t.Errorf("%v: got %v", flags, err)
		}
	}
}

func TestAnnotationsAreCheckedBeforeAnythingChanges(t *testing.T) {
	t.Parallel()
	fakes := &fakes{declaredErr: release.BadInput("Widget/w", "annotation onedigest.dev/ready-when", "")}
	_, _, err := fakes.run(t)
	if release.ExitCode(err) != release.ExitInput || len(fakes.done) > 0 {
		t.Errorf("got %v, did %v", err, fakes.done)
	}
}

// TestRollbackKindsAreAskedForIfThereIsOne: without rollbacks their permissions do not matter.
func TestRollbackKindsAreAskedForIfThereIsOne(t *testing.T) {
	t.Parallel()
	object, back := release.AppliedKind{Resource: "services", Namespace: "staging"}, release.AppliedKind{Resource: "configmaps", Namespace: "staging", Use: release.UseRollback}
	for setting, want := range map[string][]release.AppliedKind{"auto": {object, back}, "off": {object}} {
		fakes := &fakes{rendering: release.Rendering{Kinds: []release.AppliedKind{object, back}}}
		if _, _, err := fakes.run(t, "--rollback", setting); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, fakes.checkedKinds); diff != "" {
			t.Errorf("%s: -want +got:\n%s", setting, diff)
		}
	}
}

// TestTheBaselineCoversEveryNamespace of the release, before the deploy and before the rollback.
func TestTheBaselineCoversEveryNamespace(t *testing.T) {
	t.Parallel()
	kinds := []release.AppliedKind{{Resource: "configmaps", Namespace: "other"}, {Resource: "services", Namespace: "staging"}, {Resource: "secrets", Namespace: "other"},
		{Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}}
	fakes := &fakes{history: live(another), rendering: release.Rendering{Kinds: kinds}, watchErr: broken("CrashLoopBackOff"),
		target: release.RollbackTarget{Revision: 5, Namespaces: []string{"older", "staging"}}}
	if _, _, err := fakes.run(t); err == nil {
		t.Fatal("a broken rollout passes")
	}
	if diff := cmp.Diff([][]string{{"other", "staging"}, {"older", "other", "staging"}}, fakes.baselines); diff != "" || !slices.Contains(fakes.done, "rollback to 5") {
		t.Errorf("did %v, -want +got:\n%s", fakes.done, diff)
	}
}

// TestTheChartIsRenderedWhileTheAccessIsChecked: both only read. If there is no access, that is the error, and the rendering is ended.
func TestTheChartIsRenderedWhileTheAccessIsChecked(t *testing.T) {
	t.Parallel()
	for name, noAccess := range map[string]error{"access": nil, "no access": errors.New("no access")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rendering, ended := make(chan struct{}), false
			fakes := &fakes{noAccess: noAccess, onAccess: func() { <-rendering }, onRender: func(ctx context.Context) {
				close(rendering)
				if noAccess != nil {
					<-ctx.Done()
				}
				ended = true
			}}
			_, _, err := fakes.run(t, "--dry-run")
			if !errors.Is(err, noAccess) || !ended {
				t.Errorf("got %v; the rendering has ended: %t", err, ended)
			}
		})
	}
}

// TestPlatformsAreReadWhileKindsAreChecked: both only read, and no access to a kind is the first error.
func TestPlatformsAreReadWhileKindsAreChecked(t *testing.T) {
	t.Parallel()
	shop := release.Object{APIVersion: "apps/v1", Kind: "Deployment", Name: "shop"}
	kinds, platforms, noKinds := make(chan struct{}), make(chan struct{}), errors.New("no access to Deployments")
	fakes := &fakes{noKinds: noKinds, rendering: release.Rendering{Templates: []release.PodTemplate{{Object: shop, Images: []string{image(t, "a").String()}}}},
		onKinds: func() { close(kinds); <-platforms }, onPlatforms: func() { close(platforms); <-kinds }}
	if _, _, err := fakes.run(t, "--dry-run"); !errors.Is(err, noKinds) {
		t.Errorf("got %v", err)
	}
}

// TestAServiceWithoutItsPortIsWarnedOf: the deploy is ready all the same, because a controller may add a container with the port.
func TestAServiceWithoutItsPortIsWarnedOf(t *testing.T) {
	t.Parallel()
	fakes := &fakes{rendering: release.Rendering{NoPorts: []string{`Service/web sends requests to port "web", which no container has`}}}
	_, log, err := fakes.run(t)
	if err != nil {
		t.Fatal(err)
	}
	check(t, log, `warning: Service/web sends requests to port "web", which no container has`)
}
