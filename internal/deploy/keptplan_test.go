package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting/settingtest"
)

// basis is what a plan of these tests is made against.
func basis(t *testing.T) release.Basis {
	return release.Basis{Server: "https://cluster.example.com", Namespace: "uid-1", Revision: 6, Status: "deployed",
		Objects:  []release.PlannedObject{{Object: release.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "staging", Name: "shop"}, Rendered: image(t, "1").Digest, Live: image(t, "2").Digest}},
		Rendered: image(t, "3").Digest, Live: image(t, "4").Digest, Values: image(t, "5").Digest}
}

// keepOnce keeps a plan once for all tests: it takes a second.
var keepOnce sync.Once
var keptFile []byte

// planned are fakes after a dry run that has kept its plan in plan.json.
func planned(t *testing.T) *fakes {
	t.Helper()
	made := &fakes{history: live(another), target: release.RollbackTarget{Revision: 5}, chartDigest: image(t, "9").Digest}
	made.planned = release.Plan{Outcome: release.Changed, Basis: basis(t), Changes: []release.Change{{Object: objects[0], Action: release.ActionChange,
		Fields: []release.FieldChange{{Path: "data.A", After: "hunter2"}}}}}
	keepOnce.Do(func() {
		first := &fakes{history: made.history, target: made.target, chartDigest: made.chartDigest, planned: made.planned}
		result, log, err := first.run(t, "--dry-run", "--plan-out", "plan.json")
		if err != nil || result.PlanDigest.IsZero() || !strings.Contains(log, "the plan is kept in plan.json: "+result.PlanDigest.String()) {
			t.Errorf("got %v, %v:\n%s", result.PlanDigest, err, log)
		}
		keptFile = first.files["plan.json"]
		if bytes.Contains(keptFile, []byte("hunter2")) {
			t.Errorf("a secret is in the plan:\n%s", keptFile)
		}
	})
	made.files = map[string][]byte{"plan.json": slices.Clone(keptFile)}
	return made
}

// TestACancelledDryRunKeepsNoPlan, although its last request was answered.
func TestACancelledDryRunKeepsNoPlan(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	fakes := &fakes{history: live(another), target: release.RollbackTarget{Revision: 5}, chartDigest: image(t, "9").Digest, onTarget: cancel}
	fakes.planned = release.Plan{Outcome: release.Changed, Basis: basis(t)}
	_, log, err := fakes.runWith(ctx, t, "--dry-run", "--plan-out", "plan.json")
	if !errors.Is(err, context.Canceled) || len(fakes.files) > 0 {
		t.Errorf("kept %d plans, error %v:\n%s", len(fakes.files), err, log)
	}
}

func TestAKeptPlanIsCarriedOut(t *testing.T) {
	t.Parallel()
	fakes := planned(t)
	result, log, err := fakes.run(t, "--plan", "plan.json")
	if err != nil || result.Outcome != release.Changed || result.PlanDigest.IsZero() {
		t.Fatalf("got %+v, %v", result, err)
	}
	if !fakes.got.AsPlanned || fakes.plans != 1 || !slices.Equal(fakes.done[:2], []string{"acquire Lease", "deploy"}) {
		t.Errorf("did %v as planned %t, planned %d times", fakes.done, fakes.got.AsPlanned, fakes.plans)
	}
	check(t, log, "carrying out plan "+result.PlanDigest.Short())
	if _, _, err := fakes.run(t, "--plan", "plan.json", "--lookup-secrets"); err != nil {
		t.Errorf("with the settings of its dry run: %v", err)
	}
	if _, _, err := fakes.run(t, "--plan", "plan.json", "--plan-digest", result.PlanDigest.String()); err != nil {
		t.Errorf("with the approved digest: %v", err)
	}
}

// TestAKeptPlanIsRefused: before anything changes, with each difference.
func TestAKeptPlanIsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*fakes)
		flags  []string
		exit   int
		want   []string
		leased bool // it is found out under the Lease only
	}{
		"no file":             {nil, []string{"--plan", "other.json"}, release.ExitInput, []string{"does not exist"}, false},
		"a file of other use": {func(f *fakes) { f.files["plan.json"] = []byte("{}") }, nil, release.ExitInput, []string{"its format is"}, false},
		"changed by hand": {func(f *fakes) {
			f.files["plan.json"] = bytes.Replace(f.files["plan.json"], []byte("uid-1"), []byte("uid-2"), 1)
		}, nil, release.ExitInput, []string{"was changed after it was made"}, false},
		"another was approved": {nil, []string{"--plan-digest", "sha256:" + strings.Repeat("0", 64)}, release.ExitFailed, []string{"was approved"}, false},
		"too old":              {func(f *fakes) { f.later = 25 * time.Hour }, nil, release.ExitFailed, []string{"25 hours ago"}, false},
		"of the future":        {func(f *fakes) { f.later = -time.Hour }, nil, release.ExitFailed, []string{"in the future"}, false},
		"another image":        {nil, []string{"--image", "x"}, release.ExitFailed, []string{"image: planned localhost:5000/team/shop@sha256:aaaa", "now localhost:5000/team/shop@sha256:bbbb"}, false},
		"another release":      {nil, []string{"--release", "shop-2"}, release.ExitFailed, []string{"release: planned shop, now shop-2"}, false},
		"another chart":        {func(f *fakes) { f.chartDigest = image(t, "8").Digest }, nil, release.ExitFailed, []string{"chart: planned charts/service (sha256:9999"}, false},
		"another cluster":      {func(f *fakes) { f.planned.Basis.Namespace = "uid-2" }, nil, release.ExitFailed, []string{"cluster: the namespace is not the planned one"}, true},
		"another revision":     {func(f *fakes) { f.planned.Basis.Revision = 7 }, nil, release.ExitFailed, []string{"release: planned on revision 6 (deployed), and now it has 7 (deployed)"}, true},
		"other values":         {func(f *fakes) { f.planned.Basis.Values = image(t, "0").Digest }, nil, release.ExitFailed, []string{"values: the values files"}, true},
		"live objects": {func(f *fakes) {
			f.planned.Basis.Objects = slices.Clone(f.planned.Basis.Objects)
			f.planned.Basis.Objects[0].Live = release.Digest{}
			f.planned.Basis.Objects = append(f.planned.Basis.Objects, release.PlannedObject{Object: release.Object{Kind: "ConfigMap", Name: "more"}, Rendered: image(t, "1").Digest})
		}, nil, release.ExitFailed, []string{"Deployment/shop in staging: it was deleted since the plan", "ConfigMap/more: the chart renders it now, and the plan does not have it"}, true},
		"a secret that is live":        {func(f *fakes) { f.planned.Basis.Live = image(t, "0").Digest }, nil, release.ExitFailed, []string{"a secret value of a live object"}, true},
		"a secret that is new":         {func(f *fakes) { f.planned.Basis.Rendered = image(t, "0").Digest }, nil, release.ExitFailed, []string{"a secret value that the chart renders"}, true},
		"what the cluster refuses now": {func(f *fakes) { f.planned.Problems = []string{"OD-109 quota"} }, nil, release.ExitFailed, []string{"OD-109 quota"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fakes := planned(t)
			if test.change != nil {
				test.change(fakes)
			}
			flags := append([]string{"--plan", "plan.json"}, test.flags...)
			if slices.Equal(test.flags, []string{"--image", "x"}) {
				flags = []string{"--plan", "plan.json"}
				var other deploy.Settings
				if err := settingtest.Apply(other.Declare(), append([]string{"--environment", "staging", "--image", image(t, "b").String()}, flags...)...); err != nil {
					t.Fatal(err)
				}
				_, err := deploy.Run(t.Context(), other, fakes.deps(recorder{fakes}))
				check(t, fmt.Sprint(err), test.want...)
				return
			}
			if slices.Contains(flags, "other.json") {
				flags = test.flags
			}
			_, _, err := fakes.run(t, flags...)
			if release.ExitCode(err) != test.exit {
				t.Errorf("got %v (exit %d), want exit %d", err, release.ExitCode(err), test.exit)
			}
			check(t, fmt.Sprint(err), test.want...)
			if done := strings.Join(fakes.done, ", "); strings.Contains(done, "deploy") || strings.Contains(done, "Lease") != test.leased {
				t.Errorf("did %s", done)
			}
		})
	}
}

func TestAPlanThatCannotBeKept(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fakes *fakes
		flags []string
		want  string
	}{
		"hidden lookups": {&fakes{planned: release.Plan{Basis: release.Basis{NotKeepable: "the chart's templates look Secrets up"}}}, nil, "give --lookup-secrets"},
		"random names":   {&fakes{planned: release.Plan{Basis: release.Basis{NotKeepable: "other names each time"}}}, []string{"--lookup-secrets"}, "other names each time"},
		"no directory":   {&fakes{outside: "plan.json"}, nil, "is outside the work tree"},
		"it would fail":  {&fakes{planned: release.Plan{Problems: []string{"OD-109 quota"}}}, nil, "OD-109 quota"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := test.fakes.run(t, append([]string{"--dry-run", "--plan-out", "plan.json"}, test.flags...)...)
			check(t, fmt.Sprint(err), test.want)
			if len(test.fakes.files) > 0 {
				t.Error("a plan is kept")
			}
		})
	}
}

func TestSettingsOfPlansContradict(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{{"--plan", "p", "--dry-run"}, {"--plan-out", "p"}, {"--plan-digest", "sha256:" + strings.Repeat("0", 64)}} {
		var settings deploy.Settings
		err := settingtest.Apply(settings.Declare(), append([]string{"--environment", "staging", "--image", image(t, "a").String()}, flags...)...)
		if release.ExitCode(err) != release.ExitInput {
			t.Errorf("%q: got %v", flags, err)
		}
	}
}

func TestChartLogins(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]release.ChartLogin{
		"charts.example.com=me:hunter2":    {Host: "charts.example.com", User: "me", Password: "hunter2"},
		"charts.example.com:8443=me:a=b:c": {Host: "charts.example.com:8443", User: "me", Password: "a=b:c"},
		"me:hunter2":                       {}, "https://charts.example.com=me:hunter2": {}, "charts.example.com=hunter2": {}, "=me:hunter2": {}, "charts.example.com=:hunter2": {}, "charts.example.com=me:": {},
	} {
		var settings deploy.Settings
		err := settingtest.Apply(settings.Declare(), "--environment", "staging", "--image", image(t, "a").String(), "--chart-login", text)
		if want == (release.ChartLogin{}) {
			if release.ExitCode(err) != release.ExitInput || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q: got %v", text, err)
			}
			continue
		}
		if err != nil || !slices.Equal(settings.ChartLogins, []release.ChartLogin{want}) {
			t.Errorf("%q: got %+v, %v", text, settings.ChartLogins, err)
		}
	}
}
