package preview

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// world is a cluster and GitHub.
type world struct {
	releasetest.DiscardReporter
	namespaces map[string]*release.Preview // nil: a namespace that is none of a preview
	onLease    func() error                // what happens while the Lease is waited for
	onRemoval  func()                      // what happens while a release is uninstalled
	onExtend   func()                      // what happens before a preview is extended
	onLimit    func() error                // what happens before a preview is limited
	onDelete   func()                      // what happens before the cluster gets the deletion
	uninstall  error
	deploy     error
	did        []string
}

func (w *world) note(format string, args ...any) { w.did = append(w.did, fmt.Sprintf(format, args...)) }

func (w *world) Find(_ context.Context, namespace string) (*release.Preview, bool, error) {
	found, exists := w.namespaces[namespace]
	if found == nil {
		return nil, exists, nil
	}
	copied := *found
	return &copied, true, nil
}

func (w *world) Create(_ context.Context, p release.Preview, environment release.Environment, security release.PodSecurity) (release.Preview, error) {
	w.note("create %s of %s, %s, until %s", p.Namespace(), environment, security, p.Expires.Format(time.RFC3339))
	p.UID = "new"
	w.namespaces[p.Namespace()] = &p
	return p, nil
}

func (w *world) Extend(_ context.Context, p release.Preview) (release.Preview, error) {
	w.note("extend %s (%s) until %s", p.Namespace(), p.UID, p.Expires.Format(time.RFC3339))
	if w.onExtend != nil {
		w.onExtend()
	}
	found := w.namespaces[p.Namespace()]
	if found == nil || found.UID != p.UID {
		return p, errors.New("not found")
	}
	w.extend(p.Namespace(), p.Expires)
	return *found, nil
}

// extend changes when a preview expires, and with that its version.
func (w *world) extend(namespace string, expires time.Time) {
	w.namespaces[namespace].Expires = expires
	w.namespaces[namespace].Version += "+"
}

func (w *world) Limit(_ context.Context, namespace string) error {
	w.note("limit %s", namespace)
	if w.onLimit != nil {
		return w.onLimit()
	}
	return nil
}

func (w *world) List(_ context.Context, repository string) (all []release.Preview, err error) {
	for _, namespace := range []string{"preview-shop-1", "preview-shop-2", "preview-shop-3", "preview-shop-4"} {
		if found := w.namespaces[namespace]; found != nil && found.Repository == repository {
			all = append(all, *found)
		}
	}
	return all, nil
}

func (w *world) Delete(_ context.Context, p release.Preview) error {
	w.note("delete %s (%s)", p.Namespace(), p.UID)
	if w.onDelete != nil {
		w.onDelete()
	}
	found := w.namespaces[p.Namespace()]
	if found != nil && (found.UID != p.UID || found.Version != p.Version || found.Deleting) {
		return release.NewFault("cluster", "", errors.New("conflict"), "deleting")
	}
	if found != nil {
		found.Deleting = true
	}
	return nil
}

func (w *world) Gone(_ context.Context, p release.Preview) error {
	w.note("wait for the end of %s (%s)", p.Namespace(), p.UID)
	if found := w.namespaces[p.Namespace()]; found != nil && found.UID == p.UID {
		if !found.Deleting {
			return errors.New("it stays")
		}
		delete(w.namespaces, p.Namespace())
	}
	return nil
}

type lease struct {
	release.Lease
	w *world
}

func (l lease) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}
func (l lease) Release(context.Context) error { l.w.note("release the Lease"); return nil }

func (w *world) AcquireLease(_ context.Context, request release.LeaseRequest, _ func(string)) (release.Lease, error) {
	w.note("hold %s in %s", request.Release, request.Namespace)
	if w.onLease != nil {
		if err := w.onLease(); err != nil {
			return nil, err
		}
	}
	return lease{w: w}, nil
}

func (w *world) Uninstall(_ context.Context, namespace, name string) error {
	w.note("uninstall %s from %s", name, namespace)
	if w.onRemoval != nil {
		w.onRemoval()
	}
	return w.uninstall
}

func (w *world) Begin(_ context.Context, p release.Preview, _ release.Image) func(deploy.Result, error) {
	w.note("begin %s", p.Namespace())
	return func(r deploy.Result, failed error) { w.note("ended at %s: %v", r.URL, failed) }
}

func (w *world) Removed(_ context.Context, p release.Preview) {
	w.note("tell that %s is gone", p.Namespace())
}

func (w *world) run(t *testing.T, mode string) (Result, error) {
	t.Helper()
	image, err := release.ParseImage("localhost:5000/shop@sha256:" + strings.Repeat("a", 64))
	if err != nil {
		t.Fatal(err)
	}
	var settings Settings
	err = settings.Declare().ApplyDefaults(func() {
		settings.Mode, settings.Repository, settings.PullRequest, settings.Release, settings.Image = mode, "octo/shop", 2, "shop", image
	})
	if err != nil {
		t.Fatal(err)
	}
	return Run(t.Context(), settings, Deps{Namespaces: w, Leases: w, Releases: w, Announcer: w, Reporter: w, Now: func() time.Time { return now },
		CheckDeploy: func(_ context.Context, s deploy.Settings) error { w.note("check"); return nil },
		Deploy: func(_ context.Context, s deploy.Settings) (deploy.Result, error) {
			w.note("deploy %s to %s, namespace %s, diverged %t, create namespace %t", s.Release, s.Environment, s.Namespace, s.AllowDiverged, s.CreateNamespace)
			return deploy.Result{Outcome: release.Created, URL: "http://preview"}, w.deploy
		}})
}

func previewOf(pull int, expires time.Time) *release.Preview {
	return &release.Preview{Repository: "octo/shop", PullRequest: pull, Release: "shop", Expires: expires, UID: fmt.Sprint("uid-", pull), Version: "1"}
}

// TestModes: what each mode does, in its order.
func TestModes(t *testing.T) {
	t.Parallel()
	const deployed = "deploy shop to preview, namespace preview-shop-2, diverged true, create namespace false"
	later, past := now.Add(time.Hour), now.Add(-time.Hour)
	deleting := previewOf(2, later)
	deleting.Deleting = true
	foreign := previewOf(2, past)
	foreign.Repository = "octo/other"
	removal := func(n int) []string {
		return []string{fmt.Sprintf("hold shop in preview-shop-%d", n), fmt.Sprintf("uninstall shop from preview-shop-%d", n),
			fmt.Sprintf("delete preview-shop-%d (uid-%d)", n, n), "release the Lease", fmt.Sprintf("wait for the end of preview-shop-%d (uid-%d)", n, n), fmt.Sprintf("tell that preview-shop-%d is gone", n)}
	}
	for name, test := range map[string]struct {
		mode       string
		namespaces map[string]*release.Preview
		change     func(w *world)
		want       []string
		outcome    release.Outcome
		exit       int
	}{
		"the first open": {mode: Open, outcome: release.Created,
			want: []string{"check", "create preview-shop-2 of preview, baseline, until 2026-12-03T12:00:00Z", "limit preview-shop-2", "begin preview-shop-2", deployed, "ended at http://preview: <nil>"}},
		"a further open": {mode: Open, outcome: release.Created, namespaces: map[string]*release.Preview{"preview-shop-2": previewOf(2, past)},
			want: []string{"check", "extend preview-shop-2 (uid-2) until 2026-12-03T12:00:00Z", "limit preview-shop-2", "begin preview-shop-2", deployed, "ended at http://preview: <nil>"}},
		"an open while it is deleted": {mode: Open, outcome: release.Created, namespaces: map[string]*release.Preview{"preview-shop-2": deleting},
			want: []string{"check", "wait for the end of preview-shop-2 (uid-2)", "create preview-shop-2 of preview, baseline, until 2026-12-03T12:00:00Z", "limit preview-shop-2", "begin preview-shop-2", deployed, "ended at http://preview: <nil>"}},
		"an open that fails": {mode: Open, outcome: release.Created, exit: release.ExitFailed, change: func(w *world) { w.deploy = &release.Failure{What: "it crashes"} },
			want: []string{"check", "create preview-shop-2 of preview, baseline, until 2026-12-03T12:00:00Z", "limit preview-shop-2", "begin preview-shop-2", deployed, "ended at http://preview: it crashes"}},
		"somebody's namespace":        {mode: Open, outcome: release.Unchanged, exit: release.ExitFailed, namespaces: map[string]*release.Preview{"preview-shop-2": nil}, want: []string{"check"}},
		"another repository's":        {mode: Open, outcome: release.Unchanged, exit: release.ExitFailed, namespaces: map[string]*release.Preview{"preview-shop-2": foreign}, want: []string{"check"}},
		"close":                       {mode: Close, outcome: Removed, namespaces: map[string]*release.Preview{"preview-shop-2": previewOf(2, later)}, want: removal(2)},
		"close twice":                 {mode: Close, outcome: release.Unchanged, want: []string{"tell that preview-shop-2 is gone"}},
		"close somebody's namespace":  {mode: Close, outcome: release.Unchanged, exit: release.ExitFailed, namespaces: map[string]*release.Preview{"preview-shop-2": nil}},
		"close another repository's":  {mode: Close, outcome: release.Unchanged, exit: release.ExitFailed, namespaces: map[string]*release.Preview{"preview-shop-2": foreign}},
		"close what is being deleted": {mode: Close, outcome: Removed, namespaces: map[string]*release.Preview{"preview-shop-2": deleting}, want: []string{"wait for the end of preview-shop-2 (uid-2)", "tell that preview-shop-2 is gone"}},
		"close what cannot be uninstalled": {mode: Close, outcome: release.Unchanged, exit: release.ExitFault, namespaces: map[string]*release.Preview{"preview-shop-2": previewOf(2, later)},
			change: func(w *world) { w.uninstall = release.NewFault("cluster", "", errors.New("gone"), "uninstalling") }, want: []string{"hold shop in preview-shop-2", "uninstall shop from preview-shop-2", "release the Lease"}},
		"sweep": {mode: Sweep, outcome: Removed, namespaces: map[string]*release.Preview{"preview-shop-1": previewOf(1, past), "preview-shop-2": previewOf(2, later), "preview-shop-3": previewOf(3, time.Time{}), "preview-shop-4": previewOf(4, now)},
			want: append(removal(1), removal(4)...)},
		"sweep leaves another repository's": {mode: Sweep, outcome: release.Unchanged, namespaces: map[string]*release.Preview{"preview-shop-2": foreign}},
		"a sweep during a deploy": {mode: Sweep, outcome: release.Unchanged, namespaces: map[string]*release.Preview{"preview-shop-2": previewOf(2, past)},
			change: func(w *world) { w.onLease = func() error { w.extend("preview-shop-2", later); return nil } }, want: []string{"hold shop in preview-shop-2", "release the Lease"}},
		"a sweep while it is made anew": {mode: Sweep, outcome: release.Unchanged, namespaces: map[string]*release.Preview{"preview-shop-2": previewOf(2, past)},
			change: func(w *world) {
				w.onLease = func() error { w.namespaces["preview-shop-2"].UID = "another"; return nil }
			}, want: []string{"hold shop in preview-shop-2", "release the Lease"}},
		"a sweep during whose uninstall it is extended": {mode: Sweep, outcome: release.Unchanged, namespaces: map[string]*release.Preview{"preview-shop-2": previewOf(2, past)},
			change: func(w *world) { w.onRemoval = func() { w.extend("preview-shop-2", later) } },
			want:   []string{"hold shop in preview-shop-2", "uninstall shop from preview-shop-2", "delete preview-shop-2 (uid-2)", "release the Lease"}},
		"a sweep during whose uninstall its namespace changes otherwise": {mode: Sweep, outcome: Removed, namespaces: map[string]*release.Preview{"preview-shop-2": previewOf(2, past)},
			change: func(w *world) { w.onRemoval = func() { w.extend("preview-shop-2", past) } },
			want: []string{"hold shop in preview-shop-2", "uninstall shop from preview-shop-2", "delete preview-shop-2 (uid-2)", "delete preview-shop-2 (uid-2)", "release the Lease",
				"wait for the end of preview-shop-2 (uid-2)", "tell that preview-shop-2 is gone"}},
		"a close during whose uninstall it is extended": {mode: Close, outcome: Removed, namespaces: map[string]*release.Preview{"preview-shop-2": previewOf(2, past)},
			change: func(w *world) { w.onRemoval = func() { w.extend("preview-shop-2", later) } },
			want: []string{"hold shop in preview-shop-2", "uninstall shop from preview-shop-2", "delete preview-shop-2 (uid-2)", "delete preview-shop-2 (uid-2)", "release the Lease",
				"wait for the end of preview-shop-2 (uid-2)", "tell that preview-shop-2 is gone"}},
		"a sweep while another run deletes it": {mode: Sweep, outcome: Removed, namespaces: map[string]*release.Preview{"preview-shop-2": previewOf(2, past)},
			change: func(w *world) {
				w.onLease = func() error {
					w.namespaces["preview-shop-2"].Deleting = true
					return errors.New("the namespace is being deleted")
				}
			}, want: []string{"hold shop in preview-shop-2", "wait for the end of preview-shop-2 (uid-2)", "tell that preview-shop-2 is gone"}},
		"a close that gets the Lease of a run that has deleted it": {mode: Close, outcome: Removed, namespaces: map[string]*release.Preview{"preview-shop-2": previewOf(2, later)},
			change: func(w *world) {
				w.onLease = func() error { w.namespaces["preview-shop-2"].Deleting = true; return nil }
			}, want: []string{"hold shop in preview-shop-2", "release the Lease", "wait for the end of preview-shop-2 (uid-2)", "tell that preview-shop-2 is gone"}},
		"a close after another run has deleted it": {mode: Close, outcome: Removed, namespaces: map[string]*release.Preview{"preview-shop-2": previewOf(2, later)},
			change: func(w *world) {
				w.onLease = func() error {
					delete(w.namespaces, "preview-shop-2")
					return errors.New("namespace does not exist")
				}
			}, want: []string{"hold shop in preview-shop-2", "tell that preview-shop-2 is gone"}},
		"a close while it is made anew": {mode: Close, outcome: release.Unchanged, namespaces: map[string]*release.Preview{"preview-shop-2": previewOf(2, later)},
			change: func(w *world) {
				w.onLease = func() error {
					w.namespaces["preview-shop-2"].UID = "another"
					return errors.New("the namespace is being deleted")
				}
			}, want: []string{"hold shop in preview-shop-2"}},
		"a sweep whose deletion comes second": {mode: Sweep, outcome: Removed, namespaces: map[string]*release.Preview{"preview-shop-2": previewOf(2, past)},
			change: func(w *world) {
				w.onDelete = func() { w.namespaces["preview-shop-2"].Deleting = true }
			}, want: removal(2)},
		"a sweep that does not get the Lease": {mode: Sweep, outcome: release.Unchanged, exit: release.ExitFault, namespaces: map[string]*release.Preview{"preview-shop-2": previewOf(2, past)},
			change: func(w *world) {
				w.onLease = func() error { return release.NewFault("cluster", "", errors.New("no"), "acquiring") }
			}, want: []string{"hold shop in preview-shop-2"}},
		"an open that extends what a run has deleted": {mode: Open, outcome: release.Created, namespaces: map[string]*release.Preview{"preview-shop-2": previewOf(2, past)},
			change: func(w *world) { w.onExtend = func() { w.namespaces["preview-shop-2"].Deleting = true } },
			want: []string{"check", "extend preview-shop-2 (uid-2) until 2026-12-03T12:00:00Z", "wait for the end of preview-shop-2 (uid-2)",
				"create preview-shop-2 of preview, baseline, until 2026-12-03T12:00:00Z", "limit preview-shop-2", "begin preview-shop-2", deployed, "ended at http://preview: <nil>"}},
		"an open of what is gone before it is extended": {mode: Open, outcome: release.Created, namespaces: map[string]*release.Preview{"preview-shop-2": previewOf(2, past)},
			change: func(w *world) { w.onExtend = func() { delete(w.namespaces, "preview-shop-2") } },
			want: []string{"check", "extend preview-shop-2 (uid-2) until 2026-12-03T12:00:00Z",
				"create preview-shop-2 of preview, baseline, until 2026-12-03T12:00:00Z", "limit preview-shop-2", "begin preview-shop-2", deployed, "ended at http://preview: <nil>"}},
		"an open of what is deleted before it is limited": {mode: Open, outcome: release.Created, namespaces: map[string]*release.Preview{"preview-shop-2": previewOf(2, past)},
			change: func(w *world) {
				w.onLimit = func() error {
					w.namespaces["preview-shop-2"].Deleting, w.onLimit = true, nil
					return errors.New("forbidden: the namespace is being terminated")
				}
			},
			want: []string{"check", "extend preview-shop-2 (uid-2) until 2026-12-03T12:00:00Z", "limit preview-shop-2", "wait for the end of preview-shop-2 (uid-2)",
				"create preview-shop-2 of preview, baseline, until 2026-12-03T12:00:00Z", "limit preview-shop-2", "begin preview-shop-2", deployed, "ended at http://preview: <nil>"}},
		"an open that may not limit": {mode: Open, outcome: release.Unchanged, exit: release.ExitFault, namespaces: map[string]*release.Preview{"preview-shop-2": previewOf(2, past)},
			change: func(w *world) {
				w.onLimit = func() error { return release.NewFault("cluster", "", errors.New("forbidden"), "limiting") }
			},
			want: []string{"check", "extend preview-shop-2 (uid-2) until 2026-12-03T12:00:00Z", "limit preview-shop-2"}},
		"a sweep of one that cannot be removed": {mode: Sweep, outcome: release.Unchanged, exit: release.ExitFault, namespaces: map[string]*release.Preview{"preview-shop-1": previewOf(1, past), "preview-shop-2": previewOf(2, past)},
			change: func(w *world) { w.uninstall = release.NewFault("cluster", "", errors.New("gone"), "uninstalling") },
			want:   []string{"hold shop in preview-shop-1", "uninstall shop from preview-shop-1", "release the Lease", "hold shop in preview-shop-2", "uninstall shop from preview-shop-2", "release the Lease"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{namespaces: test.namespaces}
			copied := map[string]*release.Preview{}
			for name, one := range test.namespaces {
				if copied[name] = nil; one != nil {
					own := *one
					copied[name] = &own
				}
			}
			w.namespaces = copied
			if test.change != nil {
				test.change(w)
			}
			result, err := w.run(t, test.mode)
			if got := release.ExitCode(err); result.Outcome != test.outcome || (err == nil) != (test.exit == 0) || err != nil && got != test.exit {
				t.Errorf("got %q, exit code %d, %v", result.Outcome, got, err)
			}
			if diff := cmp.Diff(test.want, w.did); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestSettingsOfModes: what a mode lacks is refused, all together.
func TestSettingsOfModes(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]int{Open: 3, Close: 2, Sweep: 0} {
		var settings Settings
		err := settings.Declare().ApplyDefaults(func() { settings.Mode, settings.Repository = mode, "octo/shop" })
		var input *release.InputError
		if got := errors.As(err, &input); got != (want > 0) || got && len(input.Problems) != want {
			t.Errorf("%s: %v", mode, err)
		}
	}
	var long Settings
	if err := long.Declare().ApplyDefaults(func() {
		long.Mode, long.Repository, long.PullRequest, long.Release = Close, "octo/shop", 123, strings.Repeat("a", 53)
	}); err == nil || !strings.Contains(err.Error(), "more than 63 characters") {
		t.Errorf("a long name: %v", err)
	}
	for _, bad := range []string{"", "octo", "octo/", "-o/x", "a/b/c", "a b/c", "octo/shop\n"} {
		if _, err := parseRepository(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	for _, bad := range []string{"", "0", "-1", "017", "1234567890", "1e3", "1 "} {
		if _, err := parseNumber(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
