package deploy_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting/settingtest"
)

const (
	commit  = releasetest.Commit
	another = releasetest.Another
)

func image(t *testing.T, c string) release.Image {
	t.Helper()
	i, err := release.ParseImage("localhost:5000/team/shop@sha256:" + strings.Repeat(c, 64))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// fakes are all adapters of a deploy in one; done lists what was called, in order.
type fakes struct {
	mu           sync.Mutex
	done         []string
	lines        []string
	common       bool   // the chart is the program's
	outside      string // the path that is outside the work tree
	checkErr     error
	checked      bool           // whether the chart was
	configCommit release.Commit // of Deploy
	renderErr    error
	absent       bool
	gone         release.Digest            // of an image that is not in the registry
	revision     string                    // label of the image; the commit's if "" and not unlabelled
	labels       map[release.Digest]string // of other images
	labelsOfTags map[release.Tag]string
	unlabelled   bool
	tags         map[release.Tag]release.Digest
	noAccess     error
	onAccess     func()                // while the access is checked
	onRender     func(context.Context) // while the chart is rendered
	onKinds      func()                // while the access to the kinds is checked
	onPlatforms  func()                // while the registry is asked for an image's platforms
	verdict      release.Verdict       // of the newest evidence; "": there is none
	newestErr    error
	against      []policy.Rejection
	policy       policy.Policy
	mayOverride  error
	actor        string
	overrideErr  error
	noKinds      error
	unchangeable error
	rendering    release.Rendering // more of it
	checkedKinds []release.AppliedKind
	declaredErr  error
	platforms    []release.PlatformImage
	unrunnable   []release.UnrunnableTemplate
	addressTime  time.Duration      // that Address was given
	baselines    [][]string         // the namespaces of each
	hooksBefore  [][]release.Object // that each watch of a rollout was told of
	markErr      error
	pods         []release.PodImage
	podsOf       map[string][]release.PodImage // by repository; pods if nil
	podsNow      func() release.PodImage       // of a workload whose status does not judge its pods; pods if nil
	running      func() release.Running        // what the cluster shows; by the fields above if nil
	idle         bool                          // the workloads want no pod
	noWorkloads  string                        // repository's path of an image that no workload of the cluster has
	loose        bool                          // a custom resource names that image, outside of a pod template
	onlyHooks    string                        // the name of an image that no workload runs; "main" for the main one
	inside       bool                          // the chart renders no address outside the cluster
	endpoints    []release.Object              // that the chart renders; a Service named as the release if nil
	leading      []release.Object              // those that lead to pods of the main image
	noURL        bool                          // the cluster knows of no address outside
	announcer    deploy.Announcer              // nil: nobody is told
	addrErr      error                         // of waiting for the address
	behind       func() []release.Route        // what is behind the address; nil: it is not known
	behindErr    error
	podsErr      error // of asking what the pods run
	got          release.Deployment

	proposed         bool            // a proposal is new
	proposal         []string        // its text
	outcome          release.Outcome // of Deploy; changed if ""
	applyErr         error
	watchErr         error // of the first watch; the next is the rollback's
	rollbackWatchErr error // of the rollback's watch
	hookErr          error
	smokeErr         error
	history          []release.Revision
	target           release.RollbackTarget
	targetAfter      *release.RollbackTarget // once something has been applied; target if nil
	onTarget         func()                  // called when the rollback's target is asked for
	targetAfterErr   error
	pending          *release.Healed
	relation         release.Relation // of what is deployed to what is live; ahead if ""
	lost             []release.CommitSummary
	compareErr       error
	blockCompare     bool
	findFails        int                // so many of the next requests for a tag fail
	ran              release.Commit     // whose chart and values the environment before ran
	checkedOut       release.CheckedOut // the image's commit if zero
	checkedOutErr    error
	comparedPaths    []string
	pin              *release.Pin
	pinErr           error
	renewErr         error
	historyErr       error
	renewals         int                             // that no change of the cluster has followed
	block            func(ctx context.Context) error // called by Heal
	leaseErr         error
	knownRelation    release.Relation // of the given commit to the label's; "": unknown
	onLease          func()           // while the Lease is awaited
	planned          release.Plan
	plans            int               // how often it planned
	files            map[string][]byte // of plans
	later            time.Duration     // than when the test began
	chartDigest      release.Digest
	missing          []release.Reference
	missingKeys      []string
	onWatch          func()
	onSettled        func() // before a watch returns
	onRollbackWatch  func()
	leaseEnded       context.CancelCauseFunc
}

func (s *fakes) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, fmt.Sprintf(format, args...))
}

func (s *fakes) Absolute(path string) string { return "/tree/" + path }

func (s *fakes) Inside(path string) (string, error) {
	if path == s.outside {
		return "", fmt.Errorf("%q is outside the work tree", path)
	}
	return "/tree/" + path, nil
}

// proposals proposes every deploy.
type proposals struct{ *fakes }

func (p proposals) Propose(_ context.Context, _ release.Deployment, lines []string) (release.Proposal, bool, error) {
	p.proposal = lines
	return release.Proposal{Branch: "onedigest/shop", URL: "https://example.com/1"}, p.proposed, nil
}

func (s *fakes) Locate(_ context.Context, ref release.ChartRef) (release.LocatedChart, error) {
	if ref.Chart == "" {
		ref.Chart = "charts/service"
	}
	if ref.Chart == s.outside {
		return release.LocatedChart{}, release.BadSetting("chart", fmt.Sprintf("%q is outside the work tree", ref.Chart), "")
	}
	if s.common {
		return release.LocatedChart{Path: "/program/service", Source: "the common chart"}, nil
	}
	return release.LocatedChart{Path: "/tree/" + ref.Chart, Source: ref.Chart, Digest: s.chartDigest}, nil
}

func (s *fakes) Describe(_ context.Context, image release.Image) (release.ImageInfo, bool, error) {
	if label, found := s.labels[image.Digest]; found {
		return release.ImageInfo{Revision: label}, true, nil
	}
	return release.ImageInfo{Revision: s.revision}, !s.absent && (s.gone.IsZero() || image.Digest != s.gone), nil
}

// Facts returns the evidence of the environment that must have proved the image.
func (s *fakes) Facts(_ context.Context, image release.Image, rung policy.Rung) (facts policy.Facts, err error) {
	facts.Against = s.against
	unreadable := new(release.UnreadableRecordError)
	if s.newestErr != nil && !errors.As(s.newestErr, &unreadable) {
		return facts, s.newestErr
	}
	if smoked := rung.Requires.Smoked; smoked != nil {
		facts.Smoked = policy.Finding[release.Record]{Found: s.verdict != "", Err: s.newestErr, Fact: release.Record{Evidence: release.Evidence{Image: image,
			Environment: smoked.In, Verdict: s.verdict, Checks: []string{"/"}, Rounds: 3, At: time.Now().Add(-time.Hour)}}}
	}
	if source := rung.Requires.Source; source != nil {
		facts.Source = policy.Finding[policy.Deploy]{Found: source.Commit == s.ran}
	}
	return facts, nil
}

func (s *fakes) Against(context.Context, release.Image, policy.Rung) ([]policy.Rejection, error) {
	return s.against, nil
}

func (s *fakes) MayOverride(context.Context, policy.Rung) error { return s.mayOverride }

func (s *fakes) Override(_ context.Context, image release.Image, overriding policy.Overriding) (release.Digest, error) {
	s.note("override %s by %s", overriding.Environment, overriding.Actor)
	return image.Digest, s.overrideErr
}

func (s *fakes) Find(_ context.Context, _ release.Repository, tag release.Tag) (release.ImageInfo, bool, error) {
	if s.findFails > 0 {
		s.findFails--
		return release.ImageInfo{}, false, errors.New("HTTP 503")
	}
	if label, found := s.labelsOfTags[tag]; found {
		return release.ImageInfo{Revision: label}, true, nil
	}
	digest, found := s.tags[tag]
	if !found {
		return release.ImageInfo{}, false, nil
	}
	return release.ImageInfo{Revision: s.revision, Digest: digest}, true, nil
}

func (s *fakes) Platforms(context.Context, release.Image) ([]release.PlatformImage, bool, error) {
	if s.onPlatforms != nil {
		s.onPlatforms()
	}
	return s.platforms, s.platforms != nil, nil
}

func (s *fakes) Compare(ctx context.Context, _, _ release.Commit) (release.Comparison, error) {
	if s.blockCompare {
		<-ctx.Done()
		return release.Comparison{}, ctx.Err()
	}
	if s.relation == "" {
		return release.Comparison{Relation: release.RelationAhead}, s.compareErr
	}
	return release.Comparison{Relation: s.relation, Lost: s.lost, LostCount: len(s.lost)}, s.compareErr
}

func (s *fakes) KnownRelation(context.Context, release.Commit, release.Commit) (release.Relation, bool) {
	return s.knownRelation, s.knownRelation != ""
}

func (s *fakes) CheckedOut(_ context.Context, paths []string, commit release.Commit) (release.CheckedOut, error) {
	found := s.checkedOut
	if found.Commit == "" {
		found.Commit = commit
	}
	s.mu.Lock()
	s.comparedPaths = paths
	s.mu.Unlock()
	return found, s.checkedOutErr
}

type plans struct{ *fakes }

func (p plans) Read(path string) ([]byte, error) {
	if content, found := p.files[path]; found {
		return content, nil
	}
	return nil, release.BadSetting("plan", fmt.Sprintf("%q does not exist", path), "")
}

func (p plans) CheckWritable(path string) error {
	if path == p.outside {
		return release.BadSetting("plan-out", fmt.Sprintf("%q is outside the work tree", path), "")
	}
	return nil
}

func (p plans) Write(path string, content []byte) error {
	if p.files == nil {
		p.files = map[string][]byte{}
	}
	p.files[path] = content
	return nil
}

func (plans) Redact(json string) string { return strings.ReplaceAll(json, "hunter2", "***") }

func (p plans) Now() time.Time { return time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC).Add(p.later) }

type smokeRunner struct{ *fakes }

func (s smokeRunner) Check(file string) error {
	if file == "none.yaml" {
		return release.BadInput("--checks", "does not exist", "")
	}
	return nil
}

func (s smokeRunner) Smoke(_ context.Context, request deploy.SmokeRequest) error {
	s.note("smoke %s with %q", cmp.Or(request.URL, "pods"), request.Checks)
	return s.smokeErr
}

type chart struct{ *fakes }

func (c chart) Check(release.Deployment) error {
	c.checked = true
	return c.checkErr
}

func (c chart) Render(ctx context.Context, deployment release.Deployment) (release.Rendering, error) {
	if c.onRender != nil {
		c.onRender(ctx)
	}
	rendering := c.rendering
	if rendering.Kinds == nil {
		rendering.Kinds = []release.AppliedKind{{Group: "apps", Resource: "deployments", Namespace: "staging"}}
	}
	for _, image := range deployment.Images {
		use := release.ImageUse{Name: image.Name, Workloads: []release.Object{{Kind: "Deployment", Name: "shop"}}}
		if c.onlyHooks != "" && c.onlyHooks == cmp.Or(image.Name, "main") {
			use.Workloads = nil
			if c.loose {
				use.Loose = []release.Object{{Kind: "Workflow", Name: "shop"}}
			}
		}
		rendering.Images = append(rendering.Images, use)
	}
	switch {
	case c.inside:
	case c.endpoints != nil:
		rendering.Endpoints, rendering.Leading = c.endpoints, c.leading
	default:
		rendering.Endpoints = []release.Object{{APIVersion: "v1", Kind: "Service", Name: "shop"}}
	}
	return rendering, c.renderErr
}

func (c chart) MissingKeys(release.Deployment, []string) ([]string, error) { return c.missingKeys, nil }

func (c chart) Plan(context.Context, release.Deployment) (release.Plan, error) {
	c.plans++
	return c.planned, nil
}

func (c chart) CheckChangeable(context.Context, release.Deployment) error { return c.unchangeable }

func (c chart) History(context.Context, string) ([]release.Revision, error) {
	return c.history, c.historyErr
}

func (c chart) Heal(ctx context.Context, _ string, _ func(string)) (*release.Healed, error) {
	if c.block != nil {
		return nil, c.block(ctx)
	}
	return c.pending, nil
}

func (c chart) RollbackTarget(context.Context, release.Deployment) (release.RollbackTarget, error) {
	if c.onTarget != nil {
		c.onTarget()
	}
	return c.target, nil
}

func (c chart) LiveRollbackTarget(context.Context, release.Deployment) (release.RollbackTarget, error) {
	if c.targetAfter != nil {
		return *c.targetAfter, c.targetAfterErr
	}
	return c.target, c.targetAfterErr
}

var objects = []release.Object{{Kind: "Deployment", Name: "shop"}}

func (c chart) Deploy(ctx context.Context, deployment release.Deployment, wait release.Wait) (release.Deployed, error) {
	c.change("deploy")
	c.mu.Lock()
	c.got = deployment
	c.mu.Unlock()
	applied := release.Deployed{Outcome: release.Changed, Revision: 7, Objects: objects, ConfigCommit: c.configCommit}
	if c.outcome != "" {
		applied.Outcome = c.outcome
	}
	if c.applyErr != nil || applied.Outcome == release.Unchanged {
		return applied, c.applyErr
	}
	if err := wait(ctx, release.PhaseHooks, []release.Object{{Kind: "Job", Name: "migrate"}}); err != nil {
		return applied, err
	}
	return applied, wait(ctx, release.PhaseRollout, objects)
}

func (c chart) Rollback(ctx context.Context, _ string, to int, wait release.Wait) (release.Deployed, error) {
	c.change("rollback to %d", to)
	c.watchErr, c.onWatch = c.rollbackWatchErr, c.onRollbackWatch
	return release.Deployed{Outcome: release.RolledBack, Revision: 8, Objects: objects}, wait(ctx, release.PhaseRollout, objects)
}

func (c chart) Mark(_ context.Context, _ string, revision int, mark release.Mark) error {
	c.note("mark %d %s", revision, mark)
	return c.markErr
}

func (c chart) Uninstall(context.Context, string) error {
	c.change("uninstall")
	return nil
}

type cluster struct{ *fakes }

func (c cluster) Check(context.Context, string, bool) ([]string, error) {
	if c.onAccess != nil {
		c.onAccess()
	}
	return nil, c.noAccess
}

func (c cluster) CheckKinds(_ context.Context, _ string, kinds []release.AppliedKind) ([]string, error) {
	if c.onKinds != nil {
		c.onKinds()
	}
	c.checkedKinds = kinds
	return nil, c.noKinds
}

func (c cluster) CheckDeclared(context.Context, []release.Declared) error { return c.declaredErr }

func (c cluster) UnrunnableTemplates(context.Context, []release.PodTemplate, []release.Platform) ([]release.UnrunnableTemplate, error) {
	return c.unrunnable, nil
}

func (c cluster) CreateNamespace(context.Context, string, release.Environment, release.PodSecurity) (bool, error) {
	c.note("create namespace")
	return true, nil
}

func (c cluster) AcquireLease(context.Context, release.LeaseRequest, func(string)) (release.Lease, error) {
	if c.leaseErr != nil {
		return nil, c.leaseErr
	}
	if c.onLease != nil {
		c.onLease()
	}
	c.note("acquire Lease")
	return lease(c), nil
}

func (c cluster) Pin(context.Context, string, string) (*release.Pin, error) { return c.pin, c.pinErr }

func (c cluster) MissingReferences(context.Context, string, []release.Reference) (missing, unchecked []release.Reference, err error) {
	return c.missing, nil, nil
}

func (c cluster) Baseline(_ context.Context, namespaces []string) release.Baseline {
	c.baselines = append(c.baselines, namespaces)
	return release.Baseline{}
}

func (c cluster) Watch(ctx context.Context, _ string, objects []release.Object, before release.Baseline, report func(release.RolloutStep)) error {
	c.hooksBefore = append(c.hooksBefore, before.Hooks)
	c.note("watch %s", objects[0])
	report(release.RolloutStep{Object: objects[0], Ready: 1, Desired: 2})
	if c.onSettled != nil {
		c.onSettled()
	}
	if c.onWatch != nil {
		c.onWatch()
		<-ctx.Done()
		return ctx.Err()
	}
	return c.watchErr
}

func (c cluster) WatchHook(_ context.Context, _ string, objects []release.Object, _ release.Baseline, _ func(release.RolloutStep)) error {
	c.note("hook %s", objects[0])
	return c.hookErr
}

func (c cluster) Address(ctx context.Context, _, _ string, address release.Address, _ func(string)) (string, error) {
	c.note("address %s", address)
	if until, limited := ctx.Deadline(); limited {
		c.addressTime = time.Until(until)
	}
	if c.noURL || c.addrErr != nil {
		return "", c.addrErr
	}
	return "http://127.0.0.1", nil
}

func (c cluster) RecentlyBehind(context.Context, string, string, string, release.Address) ([]release.Route, error) {
	if c.behind == nil {
		return nil, c.behindErr
	}
	return c.behind(), c.behindErr
}

func (cluster) NodePlatform(context.Context, string) (release.Platform, error) {
	return release.Platform{}, nil
}

func (c cluster) Running(_ context.Context, _, _ string, image release.Image) (release.Running, error) {
	if c.running != nil {
		return c.running(), c.podsErr
	}
	if c.podsNow != nil {
		running := releasetest.Running(c.podsNow())
		running.Workloads[0].ByPods = true
		return running, nil
	}
	if c.noWorkloads == image.Repository.Path() {
		return release.Running{}, nil
	}
	if pods, known := c.podsOf[image.Repository.Path()]; known {
		return releasetest.Running(pods...), c.podsErr
	}
	running := releasetest.Running(c.pods...)
	for i := range running.Workloads {
		running.Workloads[i].WantsPods = !c.idle
	}
	return running, c.podsErr
}

type lease struct{ *fakes }

func (l lease) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaseEnded = cancel
	return ctx, func() { cancel(nil) }
}

func (l lease) Renew(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.renewErr == nil {
		l.renewals++
	}
	return l.renewErr
}

// change notes what changes the cluster; the Lease must have been renewed right before.
func (s *fakes) change(format string, args ...any) {
	s.mu.Lock()
	s.renewals--
	renewed := s.renewals >= 0
	s.mu.Unlock()
	if !renewed {
		s.note("the Lease was not renewed")
	}
	s.note(format, args...)
}

func (lease) Previous() (release.Holder, bool) { return release.Holder{}, false }

func (l lease) Pin() (release.Pin, bool) {
	if l.pin == nil {
		return release.Pin{}, false
	}
	return *l.pin, true
}

func (l lease) SetPin(_ context.Context, pin *release.Pin) error {
	l.pin = pin
	l.note("pin %t", pin != nil)
	return l.pinErr
}

func (l lease) Release(ctx context.Context) error {
	l.note("release Lease")
	return ctx.Err()
}

// recorder is a reporter whose lines can be read back.
type recorder struct{ *fakes }

func (n recorder) tell(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, line)
}

func (n recorder) Infof(format string, args ...any) { n.tell(fmt.Sprintf(format, args...)) }
func (n recorder) Warnf(format string, args ...any) {
	n.tell("warning: " + fmt.Sprintf(format, args...))
}
func (n recorder) Progress(string, release.Progress) {}
func (n recorder) Raw(text string)                   { n.tell("| " + text) }
func (n recorder) Step(step release.RolloutStep) {
	n.tell(fmt.Sprintf("%s %d/%d", step.Object, step.Ready, step.Desired))
}
func (n recorder) Group(title string) func() { n.tell("> " + title); return func() { n.tell("<") } }

func (s *fakes) deps(reporter release.Reporter) deploy.Deps {
	return deploy.Deps{Workspace: s, Charts: s, Plans: plans{s}, Registry: s, Gate: s, Policy: s.policy, Chart: chart{s}, Cluster: cluster{s}, Commits: s, SmokeRunner: smokeRunner{s}, Reporter: reporter,
		Holder: release.Holder{Run: "1", URL: "https://example.com/run/1", Actor: cmp.Or(s.actor, "a person")}, Announcer: s.announcer}
}

func settings(t *testing.T, flags ...string) deploy.Settings {
	t.Helper()
	var settings deploy.Settings
	if !slices.Contains(flags, "--heal") && !slices.Contains(flags, "--rollback-failed-smoke") {
		flags = append([]string{"--image", image(t, "a").String()}, flags...)
	}
	if err := settingtest.Apply(settings.Declare(), append([]string{"--environment", "staging"}, flags...)...); err != nil {
		t.Fatal(err)
	}
	return settings
}

func (s *fakes) run(t *testing.T, flags ...string) (deploy.Result, string, error) {
	t.Helper()
	return s.runWith(t.Context(), t, flags...)
}

func (s *fakes) runWith(ctx context.Context, t *testing.T, flags ...string) (deploy.Result, string, error) {
	t.Helper()
	if s.pods == nil {
		s.pods = []release.PodImage{{Pod: "shop-1", Digest: image(t, "a").Digest}}
	}
	if s.revision == "" && !s.unlabelled {
		s.revision = commit.String()
	}
	result, err := deploy.Run(ctx, settings(t, flags...), s.deps(recorder{s}))
	return result, strings.Join(s.lines, "\n"), err
}
