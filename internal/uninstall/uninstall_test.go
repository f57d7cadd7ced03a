package uninstall

import (
	"context"
	"errors"
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
	label   release.Environment
	use     NamespaceUse
	removal release.Removal
	waiting func(w *world) // what others do while the run waits for the Lease
	fails   error          // of Uninstall
	failsNS error          // of DeleteNamespace
	changes []string
}

func (w *world) NamespacePhase(context.Context, string) (string, bool, error) {
	return "Active", true, nil
}

func (w *world) EnvironmentOf(context.Context, string) (release.Environment, error) {
	return w.label, nil
}

func (w *world) Rules() []release.Permission { return nil }

func (w *world) NamespaceRule() release.Permission { return release.Permission{} }

func (w *world) CheckPermissions(context.Context, string, []release.Permission) ([]string, error) {
	return nil, nil
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
	if w.waiting != nil {
		w.waiting(w)
	}
	return lease{}, nil
}

func (w *world) Removal(context.Context, string) (release.Removal, error) { return w.removal, nil }

func (w *world) Heal(context.Context, string, func(string)) (*release.Healed, error) { return nil, nil }

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
	second = release.Removal{Revision: 2, Status: "deployed", Commit: releasetest.Commit, Deletes: []release.Object{goes}, Stays: []release.Stay{{Object: claim, Why: "a claim"}}}
	ours   = NamespaceUse{UID: "1", IsOurs: true}
)

func remove(t *testing.T, w *world, settings Settings) (Result, error) {
	t.Helper()
	settings.Release, settings.Timeout, settings.LeaseDuration = "shop", time.Minute, time.Second
	if settings.Environment == "" {
		settings.Environment = "staging"
	}
	if settings.Namespace == "" {
		settings.Namespace = settings.Environment.String()
	}
	return Run(t.Context(), settings, Deps{Cluster: w, Chart: w, Policy: policy.Policy{}, Reporter: releasetest.DiscardReporter{}})
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
			if failure := new(release.Failure); !errors.As(err, &failure) || !strings.Contains(err.Error(), "another run has changed") || len(w.changes) > 0 || result.NamespaceDeleted || len(result.Deleted) > 0 {
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
