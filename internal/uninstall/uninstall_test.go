package uninstall

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

// world is a cluster with one namespace and at most one release.
type world struct {
	phase   string // of the namespace; "" for Active
	hidden  bool   // the namespace's phase may not be asked
	absent  bool
	denied  error // of the rules of RBAC
	held    error // of taking the Lease
	pending *release.Healed
	argoCD  release.ByArgoCD
	label   release.Environment
	use     NamespaceUse
	removal release.Removal
	waiting func(w *world) // what others do while the run waits for the Lease
	fails   error          // of Uninstall
	failsNS error          // of DeleteNamespace
	changes []string
}

func (w *world) NamespacePhase(context.Context, string) (string, bool, error) {
	switch {
	case w.absent || w.hidden:
		return "", !w.hidden, nil
	case w.phase != "":
		return w.phase, true, nil
	}
	return "Active", true, nil
}

func (w *world) EnvironmentOf(context.Context, string) (release.Environment, error) {
	return w.label, nil
}

func (w *world) Rules() []release.Permission { return nil }

func (w *world) NamespaceRule() release.Permission { return release.Permission{} }

func (w *world) ByArgoCD(context.Context, string, string) (release.ByArgoCD, error) {
	return w.argoCD, nil
}

func (w *world) CheckPermissions(context.Context, string, []release.Permission) ([]string, error) {
	return []string{"a limit"}, w.denied
}

func (w *world) CheckKinds(context.Context, string, []release.AppliedKind) ([]string, error) {
	return nil, nil
}

func (w *world) Namespace(context.Context, string, string) (NamespaceUse, error) { return w.use, nil }

func (w *world) DeleteNamespace(context.Context, string, string) error {
	if w.failsNS == nil {
		w.changes = append(w.changes, "namespace")
	}
	return w.failsNS
}

func (w *world) AcquireLease(context.Context, release.LeaseRequest, func(string)) (release.Lease, error) {
	if w.held != nil {
		return nil, w.held
	}
	if w.waiting != nil {
		w.waiting(w)
	}
	return lease{}, nil
}

func (w *world) Removal(context.Context, string) (release.Removal, error) { return w.removal, nil }

func (w *world) Heal(context.Context, string, func(string)) (*release.Healed, error) {
	return w.pending, nil
}

func (w *world) Uninstall(context.Context, string) error {
	if w.fails == nil {
		w.changes = append(w.changes, "release")
	}
	return w.fails
}

// lease is a Lease that is never lost.
type lease struct{ release.Lease }

func (lease) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}
func (lease) Renew(context.Context) error   { return nil }
func (lease) Pin() (release.Pin, bool)      { return release.Pin{}, false }
func (lease) Release(context.Context) error { return nil }

var (
	goes   = release.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "staging", Name: "shop"}
	claim  = release.Object{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: "staging", Name: "data"}
	second = release.Removal{Revision: 2, Status: "deployed", Commit: releasetest.Commit, Deletes: []release.Object{goes}, Kept: []release.KeptObject{{Object: claim, Why: "a claim"}}}
	begun  = release.Removal{Revision: 2, Status: "uninstalling", Begun: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Commit: releasetest.Commit, Deletes: []release.Object{goes}}
	ours   = NamespaceUse{UID: "1", IsOurs: true}
)

func remove(t *testing.T, w *world, settings Settings) (Result, error) {
	t.Helper()
	result, _, err := removeAsking(t, w, settings, nil)
	return result, err
}

// reporter keeps what it is told.
type reporter struct {
	releasetest.DiscardReporter
	lines *[]string
}

func (r reporter) Infof(format string, args ...any) {
	*r.lines = append(*r.lines, fmt.Sprintf(format, args...))
}
func (r reporter) Warnf(format string, args ...any) {
	*r.lines = append(*r.lines, "warning: "+fmt.Sprintf(format, args...))
}

// removeAsking runs the verb with somebody to ask, nil for nobody.
func removeAsking(t *testing.T, w *world, settings Settings, ask func(string) (string, error)) (result Result, log string, err error) {
	t.Helper()
	var lines []string
	settings.Release, settings.Timeout, settings.LeaseDuration = "shop", time.Minute, time.Second
	if settings.Environment == "" {
		settings.Environment = "staging"
	}
	if settings.Namespace == "" {
		settings.Namespace = settings.Environment.String()
	}
	result, err = Run(t.Context(), settings, Deps{Cluster: w, Chart: w, Policy: policy.Policy{}, Reporter: reporter{lines: &lines}, Ask: ask})
	return result, strings.Join(lines, "\n"), err
}

// TestPaths: each way in which a run ends, what it says, and what it changes.
func TestPaths(t *testing.T) {
	t.Parallel()
	argoCD := release.ByArgoCD{Application: "argocd/shop-staging", Workloads: []release.Object{goes}}
	answers := func(text string) func(string) (string, error) {
		return func(string) (string, error) { return text, nil }
	}
	for name, test := range map[string]struct {
		world    world
		settings Settings
		ask      func(string) (string, error)
		exit     int
		outcome  release.Outcome
		says     []string
		changes  []string
	}{
		"removed": {world{removal: second}, Settings{Yes: true}, nil, release.ExitDone, OutcomeRemoved,
			[]string{"goes: Deployment/shop", "stays: PersistentVolumeClaim/data", "stays: Lease/onedigest-shop", "warning: a limit", `removed release "shop"`}, []string{"release"}},
		"removed with its namespace": {world{removal: second, use: ours}, Settings{Yes: true, DeleteNamespace: true}, nil, release.ExitDone, OutcomeRemoved,
			[]string{"goes with the namespace: PersistentVolumeClaim/data", `namespace "staging" is being deleted`}, []string{"release", "namespace"}},
		"a dry run":     {world{removal: second}, Settings{DryRun: true}, nil, release.ExitDone, release.Planned, []string{"would go: Deployment/shop", "nothing was changed"}, nil},
		"a pending one": {world{removal: second, pending: &release.Healed{Revision: 2, Status: "pending-upgrade"}}, Settings{Yes: true}, nil, release.ExitDone, OutcomeRemoved, []string{"warning: healed: revision 2 was left pending-upgrade"}, []string{"release"}},
		"an unfinished one": {world{removal: begun, pending: &release.Healed{Revision: 2, Status: "uninstalling"}}, Settings{Yes: true}, nil, release.ExitDone, OutcomeRemoved,
			[]string{"warning: an uninstall that began at 2026-01-02T03:04:05Z did not finish: what is left goes", "warning: healed: revision 2 was left uninstalling", "removed what an unfinished uninstall had left", ": 1 object"}, []string{"release"}},
		"an unfinished one, looked at": {world{removal: begun}, Settings{DryRun: true}, nil, release.ExitDone, release.Planned, []string{"did not finish: what is left would go"}, nil},
		"not installed":                {world{}, Settings{Yes: true}, nil, release.ExitDone, release.Unchanged, []string{"is not installed in namespace"}, nil},
		"no namespace":                 {world{absent: true}, Settings{Yes: true}, nil, release.ExitDone, release.Unchanged, []string{`namespace "staging" does not exist`}, nil},
		"it ends already":              {world{phase: "Terminating", removal: second}, Settings{Yes: true}, nil, release.ExitDone, release.Unchanged, []string{"is being deleted already"}, nil},
		"hidden":                       {world{hidden: true, removal: second}, Settings{Yes: true}, nil, release.ExitDone, OutcomeRemoved, nil, []string{"release"}},
		"nobody says yes":              {world{removal: second}, Settings{}, nil, release.ExitInput, release.Unchanged, []string{"--dry-run"}, nil},
		"a guarded one":                {world{removal: second}, Settings{Environment: "production", Yes: true}, nil, release.ExitFailed, release.Unchanged, []string{"give --confirm production too"}, nil},
		"a confirmed one":              {world{removal: second}, Settings{Environment: "production", Yes: true, Confirm: "production"}, nil, release.ExitDone, OutcomeRemoved, nil, []string{"release"}},
		"asked, yes":                   {world{removal: second}, Settings{}, answers("Yes "), release.ExitDone, OutcomeRemoved, nil, []string{"release"}},
		"asked, no":                    {world{removal: second}, Settings{}, answers("no"), release.ExitFailed, release.Unchanged, []string{"the answer was not yes"}, nil},
		"asked, its name":              {world{removal: second}, Settings{Environment: "production"}, answers("production"), release.ExitDone, OutcomeRemoved, nil, []string{"release"}},
		"asked, not it":                {world{removal: second}, Settings{Environment: "production", Yes: true}, answers("yes"), release.ExitFailed, release.Unchanged, []string{"name was not typed"}, nil},
		"not allowed":                  {world{removal: second, denied: &release.Fault{Side: "cluster", Err: errors.New("forbidden")}}, Settings{Yes: true}, nil, release.ExitFault, release.Unchanged, []string{"forbidden"}, nil},
		"held":                         {world{removal: second, held: &release.Failure{What: "another run holds it"}}, Settings{Yes: true}, nil, release.ExitFailed, release.Unchanged, []string{"another run holds it"}, nil},
		"a namespace of others": {world{removal: second, use: NamespaceUse{UID: "1"}}, Settings{Yes: true, DeleteNamespace: true}, nil, release.ExitFailed, release.Unchanged,
			[]string{"was not created by deploy --create-namespace"}, nil},
		"a shared namespace": {world{removal: second, use: NamespaceUse{UID: "1", IsOurs: true, Others: []string{"mail"}}}, Settings{Yes: true, DeleteNamespace: true}, nil, release.ExitFailed, release.Unchanged,
			[]string{"other releases (mail)"}, nil},
		"Argo CD's": {world{argoCD: argoCD}, Settings{Yes: true}, nil, release.ExitFailed, release.Unchanged,
			[]string{`Argo CD owns release "shop"`, "applies Deployment/shop", "argocd app delete argocd/shop-staging --cascade"}, nil},
		"Argo CD's, looked at":         {world{argoCD: argoCD}, Settings{DryRun: true}, nil, release.ExitFailed, release.Unchanged, []string{"delete the Application"}, nil},
		"Argo CD's, with a record":     {world{removal: second, argoCD: argoCD}, Settings{Yes: true}, nil, release.ExitFailed, release.Unchanged, []string{"would apply it again"}, nil},
		"Argo CD's, and the namespace": {world{use: ours, argoCD: argoCD}, Settings{Yes: true, DeleteNamespace: true}, nil, release.ExitFailed, release.Unchanged, []string{"Argo CD owns"}, nil},
		"perhaps Argo CD's": {world{argoCD: release.ByArgoCD{Unread: []string{"deployments"}}}, Settings{Yes: true}, nil, release.ExitDone, release.Unchanged,
			[]string{`warning: whether Argo CD applies release "shop" is not known: may not list deployments`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, log, err := removeAsking(t, &test.world, test.settings, test.ask)
			if err != nil {
				log += "\n" + err.Error()
			}
			if release.ExitCode(err) != test.exit || result.Outcome != test.outcome {
				t.Errorf("exit code %d, outcome %q:\n%s", release.ExitCode(err), result.Outcome, log)
			}
			for _, want := range test.says {
				if !strings.Contains(log, want) {
					t.Errorf("no %q in\n%s", want, log)
				}
			}
			if diff := cmp.Diff(test.changes, test.world.changes); diff != "" {
				t.Errorf("changed (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNothingGoesThatWasNotDescribed: a release that another run deploys, installs or removes while the run waits for the Lease is left alone, and its namespace too.
func TestNothingGoesThatWasNotDescribed(t *testing.T) {
	t.Parallel()
	none := release.Removal{}
	third, other := second, second
	third.Revision, other.Commit = 3, "ffffffffffffffffffffffffffffffffffffffff"
	for name, test := range map[string]struct{ before, after release.Removal }{
		"a first deploy ends": {none, second}, "a deploy ends": {second, third}, "it is removed": {second, none}, "it is removed and installed again": {second, other},
	} {
		for _, deletesNamespace := range []bool{true, false} {
			if !deletesNamespace && test.before.Revision == 0 {
				continue // nothing to remove
			}
			w := &world{removal: test.before, waiting: func(w *world) { w.removal = test.after }}
			if deletesNamespace {
				w.use = ours
			}
			result, err := remove(t, w, Settings{Yes: true, DeleteNamespace: deletesNamespace})
			if failure := new(release.Failure); !errors.As(err, &failure) || !strings.Contains(err.Error(), "changed after it was read") || len(w.changes) > 0 || result.NamespaceDeleted || len(result.Deleted) > 0 {
				t.Errorf("%s, namespace %t: %v, changed %q, %+v", name, deletesNamespace, err, w.changes, result)
			}
		}
	}
	w := &world{use: ours}
	if result, err := remove(t, w, Settings{Yes: true, DeleteNamespace: true}); err != nil || !result.NamespaceDeleted {
		t.Errorf("a namespace without the release: %v, %+v", err, result)
	}
}

// TestTheEnvironmentIsWhatTheClusterSays: the guard of an environment cannot be passed by naming another one.
func TestTheEnvironmentIsWhatTheClusterSays(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		environment, namespace string
		label, record          release.Environment
		use                    NamespaceUse
		refused                string // "": it is removed
	}{
		"by the record":                       {"dev", "production", "", "production", NamespaceUse{}, "--environment production"},
		"by the record, in any namespace":     {"dev", "shop", "", "production", NamespaceUse{}, "the record of revision 2"},
		"by the label":                        {"dev", "live", "production", "", NamespaceUse{}, "the label onedigest.dev/environment"},
		"by the name":                         {"dev", "production", "", "", NamespaceUse{}, "the name of the namespace"},
		"of the namespace":                    {"dev", "shared", "production", "dev", ours, "the label onedigest.dev/environment"},
		"a release of dev in a shared one":    {"dev", "shared", "staging", "dev", NamespaceUse{}, ""},
		"an environment that nothing says":    {"dev", "shared", "", "", NamespaceUse{}, ""},
		"an environment that both agree upon": {"dev", "shared", "dev", "dev", ours, ""},
	} {
		w := &world{label: test.label, removal: second, use: test.use}
		w.removal.Environment = test.record
		result, err := remove(t, w, Settings{Environment: release.Environment(test.environment), Namespace: test.namespace, Yes: true, DeleteNamespace: test.use.UID != ""})
		if test.refused == "" {
			if err != nil || result.Outcome != OutcomeRemoved {
				t.Errorf("%s: %v, %+v", name, err, result)
			}
			continue
		}
		refusal := new(release.Refusal)
		if !errors.As(err, &refusal) || !strings.Contains(refusal.Why+refusal.Do, test.refused) || len(w.changes) > 0 {
			t.Errorf("%s: %v, changed %q", name, err, w.changes)
		}
	}
}

// TestTheResultSaysWhatWasDeleted, and the plan what was to be.
func TestTheResultSaysWhatWasDeleted(t *testing.T) {
	t.Parallel()
	away := &release.Fault{Side: "cluster", Err: errors.New("it is away")}
	none, all := []release.Object{}, []release.Object{goes, claim}
	for name, test := range map[string]struct {
		world     world
		dry       bool
		deleted   []release.Object
		namespace bool
	}{
		"done":                       {world{}, false, all, true},
		"a dry run":                  {world{}, true, none, false},
		"the release fails":          {world{fails: away}, false, none, false},
		"the namespace fails":        {world{failsNS: away}, false, []release.Object{goes}, false},
		"another release comes":      {world{waiting: func(w *world) { w.use.Others = []string{"mail"} }}, false, []release.Object{goes}, false},
		"another run has changed it": {world{waiting: func(w *world) { w.removal.Revision = 3 }}, false, none, false},
	} {
		w := test.world
		w.use, w.removal = ours, second
		result, _ := remove(t, &w, Settings{Yes: true, DeleteNamespace: true, DryRun: test.dry})
		if diff := cmp.Diff(test.deleted, result.Deleted); diff != "" || result.NamespaceDeleted != test.namespace {
			t.Errorf("%s: the namespace is deleted: %t\n%s", name, result.NamespaceDeleted, diff)
		}
		if diff := cmp.Diff(&Plan{Deletes: []release.Object{goes}, WithNamespace: []release.Object{claim}, Namespace: true}, result.Plan); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
