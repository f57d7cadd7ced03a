package status

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting"
)

// world is clusters, by their contexts, and a registry.
type world struct {
	t         *testing.T
	clusters  map[string]*cluster
	standing  map[release.Environment]policy.Standing
	records   []fact.Record
	tags      map[release.Tag]release.Digest
	builtFrom string // commit that the images' labels name
	recorded  error  // of reading records
	label     string // the revision of images, as Describe tells it
}

// cluster is a cluster that has the same release in every namespace.
type cluster struct {
	name      string // in records
	revisions []release.Revision
	pin       *release.Pin
	running   release.Running
	missing   []release.Permission
	err       error
	unread    error // of the pods
	argoCD    release.ByArgoCD
	hangs     bool
	meets     *meeting
}

// meeting is where readers wait for each other.
type meeting struct {
	need    int32
	arrived atomic.Int32
	all     chan struct{}
}

func (m *meeting) arrive(ctx context.Context) error {
	if m == nil {
		return nil
	}
	if m.arrived.Add(1) == m.need {
		close(m.all)
	}
	select {
	case <-m.all:
		return nil
	case <-ctx.Done():
		return errors.New("the others are not read at the same time")
	}
}

var rules = []release.Permission{{Resource: "secrets", Verbs: []string{"get", "list"}}, {Group: "coordination.k8s.io", Resource: "leases", Verbs: []string{"get"}, Without: "no pin"}, {Resource: "pods", Verbs: []string{"list"}, Without: "no pods"}}

func (c *cluster) Rules() []release.Permission { return rules }

func (c *cluster) Missing(context.Context, string, []release.Permission) ([]release.Permission, bool, error) {
	return c.missing, true, nil
}

func (c *cluster) Revisions(ctx context.Context, _, _ string) ([]release.Revision, error) {
	if c.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err := c.meets.arrive(ctx); err != nil {
		return nil, err
	}
	return c.revisions, c.err
}

func (c *cluster) Pin(context.Context, string, string) (*release.Pin, error) {
	if slices.ContainsFunc(c.missing, func(p release.Permission) bool { return p.Resource == "leases" }) {
		return nil, errors.New("a Lease was read that may not be read")
	}
	return c.pin, nil
}

func (c *cluster) Running(context.Context, string, string, release.Image) (release.Running, error) {
	return c.running, c.unread
}

func (c *cluster) ByArgoCD(context.Context, string, string) (release.ByArgoCD, error) {
	return c.argoCD, nil
}

func (c *cluster) Target(namespace, name string) release.Target {
	return release.Target{Cluster: c.name, Namespace: namespace, Release: name}
}

func (c *cluster) NodePlatform(context.Context, string) (release.Platform, error) {
	return release.Platform{OS: "linux", Architecture: "amd64"}, nil
}

func (w *world) Find(_ context.Context, _ release.Repository, tag release.Tag) (release.ImageInfo, bool, error) {
	digest, found := w.tags[tag]
	return release.ImageInfo{Digest: digest, Revision: w.builtFrom}, found, nil
}

func (w *world) Describe(_ context.Context, image release.Image) (release.ImageInfo, bool, error) {
	return release.ImageInfo{Digest: image.Digest, Revision: w.label}, w.label != "", w.recorded
}

func (w *world) Platforms(context.Context, release.Image) ([]release.PlatformImage, bool, error) {
	return nil, false, nil
}

func (w *world) Overview(context.Context, release.Image, []policy.Rung) (policy.Overview, error) {
	return policy.Overview{Records: w.records, Standings: w.standing}, w.recorded
}

const repository = release.Repository("registry.example.com/shop")

// newWorld is a registry, and a cluster that runs its image as revision 3.
func newWorld(t *testing.T) *world {
	t.Helper()
	digest := releasetest.Digest(t, "1")
	return &world{t: t, tags: map[release.Tag]release.Digest{},
		clusters: map[string]*cluster{"": {revisions: []release.Revision{{Number: 3, Status: "deployed", At: at, Commit: releasetest.Commit, Digest: digest, Image: repository.At(digest), Actor: "octo", Mark: release.MarkProved}}}},
		standing: map[release.Environment]policy.Standing{"staging": {Entry: policy.Decision{Opens: true}}, "production": {Entry: policy.Decision{Lines: []policy.Line{{Found: "no smoke is recorded"}}}}}}
}

var at = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// run runs the verb with settings as they are given on a command line.
func (w *world) run(rules policy.Policy, matrix string, given map[string][]string) (Result, error) {
	w.t.Helper()
	var settings Settings
	values := setting.Values{}
	for name, texts := range given {
		values[name] = setting.Input{Texts: texts, Origin: "--" + name}
	}
	if err := settings.Declare().Apply(values); err != nil {
		return Result{}, err
	}
	return Run(w.t.Context(), settings, Deps{Connect: func(_ context.Context, ref setting.ClusterRef) (Cluster, error) {
		if found := w.clusters[ref.Context]; found != nil {
			return found, nil
		}
		return nil, release.BadSetting("context", "there is no context", "name one")
	}, Registry: w, Evidence: w, Policy: rules, Matrix: []byte(matrix), Reporter: releasetest.DiscardReporter{}, Now: func() time.Time { return at }})
}

// TestReleasesOfArgoCD: what Argo CD applies is live, with digest and time by the cluster, commit by the image's label, and the rest by the records; what is not known is said.
func TestReleasesOfArgoCD(t *testing.T) {
	t.Parallel()
	digest := releasetest.Digest(t, "1")
	image := repository.At(digest)
	pass := policy.Standing{Smoked: policy.Finding[release.Record]{Found: true, Fact: release.Record{Signer: "key", Evidence: release.Evidence{Verdict: release.Pass}}}, Entry: policy.Decision{Opens: true}}
	for name, test := range map[string]struct {
		change func(w *world)
		given  map[string][]string
		want   []string
		not    []string
		exit   int
	}{
		"by the cluster and the label": {nil, nil, []string{"0123456789ab", digest.Short(), "argo-cd", "2026-03-04 05:06", "yes, signed", `Argo CD applies it, by the Application "shop-staging"`}, []string{"not installed", "another tool"}, release.ExitDone},
		"by its record": {func(w *world) {
			w.records = []fact.Record{{Fact: fact.Fact{Kind: fact.Deployed, Image: image, Environment: "staging", At: at.Add(time.Hour), By: "octo"}}}
		}, nil, []string{"2026-03-04 06:06", "octo"}, []string{"2026-03-04 05:06"}, release.ExitDone},
		"pods that differ": {func(w *world) {
			w.clusters[""].running = releasetest.Running(release.PodImage{Pod: "shop-1", Digest: releasetest.Digest(t, "2"), Ready: true})
		}, nil, []string{"warning: "}, nil, release.ExitDone},
		"no label":     {func(w *world) { w.label = "" }, nil, []string{"unknown", "the commit is not known"}, nil, release.ExitDone},
		"no registry":  {func(w *world) { w.recorded = errors.New("the registry is away") }, nil, []string{"argo-cd"}, nil, release.ExitFault},
		"cluster-only": {func(w *world) { w.recorded = errors.New("the registry is away") }, map[string][]string{"cluster-only": {"true"}}, []string{"argo-cd", digest.Short()}, nil, release.ExitDone},
		"images without a digest": {func(w *world) { w.clusters[""].argoCD.References = []string{"nginx:1"} }, nil,
			[]string{"its workloads do not name one image of its own by a digest", `the Application "shop-staging"`}, []string{"another tool"}, release.ExitDone},
		"kinds that may not be listed": {func(w *world) { w.clusters[""].argoCD = release.ByArgoCD{Unread: []string{"deployments"}} }, nil,
			[]string{"not installed", `whether Argo CD applies it is not known: may not list deployments in namespace "staging"`}, nil, release.ExitDone},
		"nothing": {func(w *world) { w.clusters[""].argoCD = release.ByArgoCD{} }, nil, []string{"not installed"}, []string{"Argo CD"}, release.ExitDone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.label, w.standing["staging"] = releasetest.Commit.String(), pass
			w.clusters[""].revisions, w.clusters[""].running = nil, releasetest.Running(release.PodImage{Pod: "shop-1", Digest: digest, Ready: true})
			w.clusters[""].argoCD = release.ByArgoCD{Application: "shop-staging", Since: at, References: []string{"envoy:1", image.Repository.String() + ":v1@" + digest.String()}}
			if test.change != nil {
				test.change(w)
			}
			given := map[string][]string{"release": {"shop"}, "environments": {"staging"}}
			maps.Copy(given, test.given)
			result, err := w.run(policy.Policy{}, "", given)
			table := strings.Join(result.Table(), "\n")
			if release.ExitCode(err) != test.exit {
				t.Errorf("exit code %d: %v", release.ExitCode(err), err)
			}
			for _, want := range test.want {
				if !strings.Contains(table, want) {
					t.Errorf("no %q in\n%s", want, table)
				}
			}
			for _, not := range test.not {
				if strings.Contains(table, not) {
					t.Errorf("%q is in\n%s", not, table)
				}
			}
		})
	}
}

// targetVerdict is a verdict of the release shop in the namespace staging of a cluster; of no target if that is "".
func targetVerdict(cluster string, verdict release.Verdict) release.Record {
	of := release.Evidence{Verdict: verdict, At: at}
	if cluster != "" {
		of.Target = release.Target{Cluster: cluster, Namespace: "staging", Release: "shop"}
	}
	return release.Record{Evidence: of}
}

func TestRows(t *testing.T) {
	t.Parallel()
	shop := map[string][]string{"release": {"shop"}, "environments": {"staging"}}
	digest := releasetest.Digest(t, "1")
	proved := func(digest release.Digest) release.Running {
		return releasetest.Running(release.PodImage{Pod: "shop-1", Digest: digest, Ready: true})
	}
	for name, test := range map[string]struct {
		change func(w *world)
		given  map[string][]string
		want   []string // in the table
		exit   int
	}{
		"live":          {nil, shop, []string{"3 proved", "2026-03-04 05:06", "octo", "may not go to production: no smoke is recorded"}, release.ExitDone},
		"not installed": {func(w *world) { w.clusters[""].revisions = nil }, shop, []string{"not installed"}, release.ExitDone},
		"a failed revision": {func(w *world) {
			w.clusters[""].revisions = append([]release.Revision{{Number: 4, Status: "failed", At: at}}, w.clusters[""].revisions...)
		}, shop, []string{"3 proved", "revision 4, of commit unknown, is failed"}, release.ExitDone},
		"none is deployed": {func(w *world) { w.clusters[""].revisions[0].Status = "failed" }, shop, []string{"not deployed", "revision 3"}, release.ExitDone},
		"pinned":           {func(w *world) { w.clusters[""].pin = &release.Pin{Commit: releasetest.Commit, Actor: "ops", At: at} }, shop, []string{"PINNED", "at 0123456789ab", "by ops"}, release.ExitDone},
		"another tool": {func(w *world) {
			w.clusters[""].revisions = []release.Revision{{Number: 1, Status: "deployed", At: at, References: []string{"nginx:1"}}}
		}, shop, []string{"unknown", "another tool deployed it: nginx:1", "what the pods run is not compared, and no record of the image is read: revision 1 names no digest"}, release.ExitDone},
		"no object names the digest": {func(w *world) { w.clusters[""].revisions[0].Image = release.Image{} }, shop, []string{"revision 3 has no object that names an image by the digest sha256:1111"}, release.ExitDone},
		"verified": {func(w *world) {
			w.standing["staging"] = policy.Standing{Smoked: policy.Finding[release.Record]{Found: true, Fact: release.Record{Signer: "key", Evidence: release.Evidence{Verdict: release.Pass}}}}
			w.standing["production"] = policy.Standing{Entry: policy.Decision{Opens: true}}
		}, shop, []string{"yes, signed", "may go to production"}, release.ExitDone},
		"failed here, passed elsewhere": {func(w *world) {
			w.clusters[""].name = "eu"
			w.standing["staging"] = policy.Standing{Targets: []release.Record{targetVerdict("", release.Pass), targetVerdict("eu", release.Fail), targetVerdict("us", release.Pass)},
				Smoked: policy.Finding[release.Record]{Found: true, Fact: targetVerdict("us", release.Pass)}}
		}, shop, []string{" fail "}, release.ExitDone},
		"passed here, failed elsewhere": {func(w *world) {
			w.clusters[""].name = "us"
			w.standing["staging"] = policy.Standing{Targets: []release.Record{targetVerdict("", release.Fail), targetVerdict("eu", release.Fail), targetVerdict("us", release.Pass)},
				Smoked: policy.Finding[release.Record]{Found: true, Fact: targetVerdict("eu", release.Fail)}}
		}, shop, []string{" yes "}, release.ExitDone},
		"smoked elsewhere only": {func(w *world) {
			w.clusters[""].name = "us"
			w.standing["staging"] = policy.Standing{Targets: []release.Record{targetVerdict("eu", release.Pass)}, Smoked: policy.Finding[release.Record]{Found: true, Fact: targetVerdict("eu", release.Pass)}}
		}, shop, []string{" no "}, release.ExitDone},
		"promoted to the next": {func(w *world) {
			w.standing["production"] = policy.Standing{Entry: policy.Decision{Opens: true}}
			w.tags[tagOf("production", releasetest.Commit)] = digest
		}, shop, []string{"promoted to production"}, release.ExitDone},
		"promoted as of the commit that it was built from": {func(w *world) {
			w.standing["production"] = policy.Standing{Entry: policy.Decision{Opens: true}}
			w.builtFrom = strings.Repeat("c", 40)
			w.tags[release.Tag(releasetest.Commit)] = digest
			w.tags[tagOf("production", release.Commit(w.builtFrom))] = digest
		}, shop, []string{"promoted to production"}, release.ExitDone},
		"another image of the commit that it was built from": {func(w *world) {
			w.standing["production"] = policy.Standing{Entry: policy.Decision{Opens: true}}
			w.builtFrom = strings.Repeat("c", 40)
			w.tags[release.Tag(releasetest.Commit)] = digest
			w.tags[tagOf("production", release.Commit(w.builtFrom))] = releasetest.Digest(t, "2")
		}, shop, []string{"may go to production"}, release.ExitDone},
		"the tag of another image": {func(w *world) {
			w.standing["production"] = policy.Standing{Entry: policy.Decision{Opens: true}}
			w.tags[tagOf("production", releasetest.Commit)] = releasetest.Digest(t, "2")
		}, shop, []string{"may go to production"}, release.ExitDone},
		"rejected": {func(w *world) {
			w.standing["staging"] = policy.Standing{Against: []policy.Rejection{{Reason: "recalled"}}}
		}, shop, []string{"rejected", "the image is rejected: recalled"}, release.ExitDone},
		"smoke failed": {func(w *world) {
			w.standing["staging"] = policy.Standing{Against: []policy.Rejection{{Failed: true, Environment: "staging", Why: `, check "ready" failed`}}}
		}, shop, []string{`smoke of the image failed in "staging" at an unknown time, check "ready" failed`}, release.ExitDone},
		"a pod that stays at the old digest": {func(w *world) {
			w.clusters[""].running = releasetest.Running(release.PodImage{Pod: "shop-1", Digest: digest, Ready: true},
				release.PodImage{Pod: "shop-0", Digest: releasetest.Digest(t, "2"), Ready: true, HeldBack: "the StatefulSet's partition is 1"})
		}, shop, []string{`warning: pod "shop-0" of Deployment/shop stays at an older revision: the StatefulSet's partition is 1`}, release.ExitDone},
		"went back from it":    {func(w *world) { w.clusters[""].revisions[0].Mark = release.MarkRolledBack }, shop, []string{"3 rolled back"}, release.ExitDone},
		"both run it":          {func(w *world) { w.clusters[""].running = proved(digest) }, map[string][]string{"release": {"shop"}}, []string{"production runs it", "PROMOTED", "the rules would not let it in now"}, release.ExitDone},
		"no leases":            {func(w *world) { w.clusters[""].missing = rules[1:] }, shop, []string{"no pin", "no pods", "may not get leases.coordination.k8s.io"}, release.ExitDone},
		"no secrets":           {func(w *world) { w.clusters[""].missing = rules[:1] }, shop, []string{"unread"}, release.ExitFault},
		"a cluster that hangs": {func(w *world) { w.clusters[""].hangs = true }, map[string][]string{"release": {"shop"}, "environments": {"staging"}, "timeout": {"50ms"}}, []string{"unread"}, release.ExitFault},
		"no records":           {func(w *world) { w.recorded = errors.New("the registry is away") }, shop, []string{"3 proved"}, release.ExitFault},
		"cluster-only":         {func(w *world) { w.recorded = errors.New("the registry is away") }, map[string][]string{"release": {"shop"}, "environments": {"staging"}, "cluster-only": {"true"}}, []string{"3 proved"}, release.ExitDone},
		"no such context":      {nil, map[string][]string{"release": {"shop"}, "context": {"none"}}, []string{"unread"}, release.ExitFault},
		"no release":           {nil, nil, nil, release.ExitInput},
		"one namespace of two": {nil, map[string][]string{"release": {"shop"}, "namespace": {"a"}}, nil, release.ExitInput},
		"other environments":   {nil, map[string][]string{"repository": {"r.example.com/team/shop"}, "environments": {"qa", "live"}}, []string{"qa", "live"}, release.ExitDone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if test.change != nil {
				test.change(w)
			}
			result, err := w.run(policy.Policy{}, "", test.given)
			if code := release.ExitCode(err); code != test.exit {
				t.Errorf("exit code %d, want %d: %v", code, test.exit, err)
			}
			table := strings.Join(result.Table(), "\n")
			for _, want := range test.want {
				if !strings.Contains(table, want) {
					t.Errorf("%q is not in\n%s", want, table)
				}
			}
			if test.exit == release.ExitFault && (result.Unread == 0 || result.Releases[0].Error == "") {
				t.Errorf("got %+v", result)
			}
		})
	}
}

// TestInOrder: nothing is in order that was not read, or that needs a look.
func TestInOrder(t *testing.T) {
	t.Parallel()
	digest := releasetest.Digest(t, "1")
	standing := func(standing policy.Standing) func(*world) {
		return func(w *world) { w.standing["staging"] = standing }
	}
	for name, test := range map[string]struct {
		change func(w *world)
		want   bool
	}{
		"all is as it should be": {nil, true},
		"smoke passed":           {standing(policy.Standing{Entry: policy.Decision{Opens: true}, Smoked: policy.Finding[release.Record]{Found: true, Fact: release.Record{Evidence: release.Evidence{Verdict: release.Pass}}}}), true},
		"smoke failed":           {standing(policy.Standing{Entry: policy.Decision{Opens: true}, Smoked: policy.Finding[release.Record]{Found: true, Fact: release.Record{Evidence: release.Evidence{Verdict: release.Fail}}}}), false},
		"the revision is marked": {func(w *world) { w.clusters[""].revisions[0].Mark = release.MarkFailed }, false},
		"rejected":               {standing(policy.Standing{Entry: policy.Decision{Opens: true}, Against: []policy.Rejection{{Reason: "recalled"}}}), false},
		"failed for another":     {standing(policy.Standing{Entry: policy.Decision{Opens: true}, Against: []policy.Rejection{{Failed: true}}}), false},
		"an unreadable verdict":  {standing(policy.Standing{Entry: policy.Decision{Opens: true}, Smoked: policy.Finding[release.Record]{Err: &release.UnreadableRecordError{Verdict: release.Pass}}}), false},
		"an entry that is shut":  {standing(policy.Standing{Entry: policy.Decision{Lines: []policy.Line{{Found: "the pass is too old"}}}}), false},
		"a failed revision": {func(w *world) {
			w.clusters[""].revisions = append([]release.Revision{{Number: 4, Status: "failed", At: at}}, w.clusters[""].revisions...)
		}, false},
		"a pending revision": {func(w *world) {
			w.clusters[""].revisions = append([]release.Revision{{Number: 4, Status: "pending-upgrade", At: at}}, w.clusters[""].revisions...)
		}, false},
		"pods that may not be read":  {func(w *world) { w.clusters[""].missing = rules[2:] }, false},
		"a pin that may not be read": {func(w *world) { w.clusters[""].missing = rules[1:2] }, false},
		"pods that differ":           {func(w *world) { w.clusters[""].running = release.Running{} }, false},
		"no digest":                  {func(w *world) { w.clusters[""].revisions[0].Digest = release.Digest{} }, false},
		"not installed":              {func(w *world) { w.clusters[""].revisions = nil }, false},
		"records that are not read":  {func(w *world) { w.recorded = errors.New("the registry is away") }, false},
	} {
		w := newWorld(t)
		w.clusters[""].running = releasetest.Running(release.PodImage{Pod: "shop-1", Digest: digest, Ready: true})
		if test.change != nil {
			test.change(w)
		}
		result, _ := w.run(policy.Policy{}, "", map[string][]string{"release": {"shop"}, "environments": {"staging"}})
		if len(result.Releases) != 1 || result.Releases[0].InOrder() != test.want {
			t.Errorf("%s: want %t of %+v", name, test.want, result.Releases)
		}
	}
}

// TestNextRunsOnlyWhatItsPodsRun: the record of the next environment alone does not say that it runs the image.
func TestNextRunsOnlyWhatItsPodsRun(t *testing.T) {
	t.Parallel()
	digest := releasetest.Digest(t, "1")
	matrix := "services: [{name: shop, repository: registry.example.com/shop}]\nenvironments:\n- {name: staging, clusters: [{context: a}]}\n- {name: production, clusters: [{context: b}, {context: c}]}\n"
	for name, test := range map[string]struct {
		change func(c *cluster)
		want   bool
	}{
		"the pods run it":             {func(*cluster) {}, true},
		"the pods differ":             {func(c *cluster) { c.running = release.Running{} }, false},
		"the pods may not be read":    {func(c *cluster) { c.missing = rules[2:] }, false},
		"the pods cannot be read":     {func(c *cluster) { c.unread = errors.New("it is away") }, false},
		"it runs another image":       {func(c *cluster) { c.revisions[0].Digest = releasetest.Digest(t, "2") }, false},
		"the cluster does not answer": {func(c *cluster) { c.err = errors.New("it is away") }, false},
	} {
		w := newWorld(t)
		for _, context := range []string{"a", "b", "c"} {
			one := *w.clusters[""]
			one.revisions, one.running = slices.Clone(one.revisions), releasetest.Running(release.PodImage{Pod: "shop-1", Digest: digest, Ready: true})
			w.clusters[context] = &one
		}
		test.change(w.clusters["c"])
		result, _ := w.run(policy.Policy{}, matrix, map[string][]string{"matrix": {"m.yaml"}})
		if len(result.Releases) != 3 || len(result.Releases[0].Next) != 1 || result.Releases[0].Next[0].Runs != test.want {
			t.Errorf("%s: want %t of %+v", name, test.want, result.Releases)
		}
	}
}

// TestAllAreReadAtTheSameTime: each read waits for all others, and one that fails keeps none from being read.
func TestAllAreReadAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clusters["a"], w.clusters["b"] = w.clusters[""], &cluster{err: &release.Fault{Side: "cluster", Err: errors.New("reading: it is away")}}
	w.clusters["a"].meets = &meeting{need: 4, all: make(chan struct{})}
	w.clusters["b"].meets = w.clusters["a"].meets
	matrix := "services: [{name: shop, repository: r.example.com/shop}, {name: mail, repository: r.example.com/mail}]\nenvironments:\n- {name: staging, clusters: [{context: a}]}\n- {name: production, clusters: [{name: eu, context: b}]}\n"
	result, err := w.run(policy.Policy{}, matrix, map[string][]string{"matrix": {"m.yaml"}, "timeout": {"20s"}})
	if release.ExitCode(err) != release.ExitFault || result.Unread != 2 {
		t.Fatalf("got %v, %+v", err, result)
	}
	var got []string
	for _, row := range result.Releases {
		got = append(got, row.Title()+" "+row.Namespace+" "+row.Release+" "+string(row.State))
	}
	if diff := cmp.Diff([]string{"staging/a/shop staging shop live", "staging/a/mail staging mail live", "production/eu/shop production shop unread", "production/eu/mail production mail unread"}, got); diff != "" {
		t.Error(diff)
	}
	for _, want := range []string{"production/eu/shop is not read", "production/eu/mail is not read"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestTargetsOfAMatrix(t *testing.T) {
	t.Parallel()
	services := "services: [{name: shop, repository: r.example.com/shop}]\nenvironments: [{name: staging}, {name: production}]\n"
	deploys := "waves:\n- deploys:\n  - {environment: staging, release: a}\n  - {environment: production, release: b, namespace: live}\n"
	for name, test := range map[string]struct {
		matrix string
		given  map[string][]string
		want   string
	}{
		"services":                  {services, nil, "staging/shop production/shop"},
		"one environment":           {services, map[string][]string{"environments": {"production"}}, "production/shop"},
		"no such environment":       {services, map[string][]string{"environments": {"qa"}}, "bad"},
		"no such service":           {services, map[string][]string{"services": {"x"}}, "bad"},
		"deploys":                   {deploys, map[string][]string{"repository": {"r.example.com/shop"}, "environments": {"production"}}, "production/b"},
		"deploys, no repository":    {deploys, nil, "bad"},
		"deploys with services":     {deploys, map[string][]string{"repository": {"r.example.com/shop"}, "services": {"shop"}}, "bad"},
		"with a release":            {services, map[string][]string{"release": {"x"}}, "bad"},
		"services without any list": {"services: [{name: shop, repository: r.example.com/shop}]\n", map[string][]string{"environments": {"qa"}}, "qa/shop"},
		"no environments at all":    {"services: [{name: shop, repository: r.example.com/shop}]\n", nil, "bad"},
		"not YAML":                  {"services: [", nil, "bad"},
	} {
		given := map[string][]string{"matrix": {"m.yaml"}}
		for name, texts := range test.given {
			given[name] = texts
		}
		result, err := newWorld(t).run(policy.Policy{}, test.matrix, given)
		var titles []string
		for _, row := range result.Releases {
			titles = append(titles, row.Title())
		}
		got := strings.Join(titles, " ")
		if input := new(release.InputError); errors.As(err, &input) {
			got = "bad"
		}
		if got != test.want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, test.want)
		}
	}
}

// TestAfter: an environment is followed by those whose rules ask for it, or by one that asks for none.
func TestAfter(t *testing.T) {
	t.Parallel()
	smoked := func(in release.Environment) policy.Requirements {
		return policy.Requirements{Smoked: &policy.Smoked{In: in}}
	}
	l := ladder{rungs: []policy.Rung{{Environment: "dev"}, {Environment: "staging"}, {Environment: "eu", Requires: smoked("staging")}, {Environment: "us", Requires: policy.Requirements{Deployed: &policy.Deployed{In: "staging"}}}}}
	for environment, want := range map[release.Environment]string{"dev": "staging", "staging": "eu us", "eu": "", "us": "", "preview": ""} {
		var got []string
		for _, rung := range l.after(environment) {
			got = append(got, rung.Environment.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %q", environment, got, want)
		}
	}
}
