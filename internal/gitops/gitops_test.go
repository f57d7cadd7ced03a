package gitops_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/git/configrepo"
	"github.com/onedigest/onedigest/internal/gitops"
	"github.com/onedigest/onedigest/internal/kube/argocd"
	"github.com/onedigest/onedigest/internal/release"
)

// place is a configuration repository with a release of it, whose Application and renderer are in the test.
type place struct {
	applied   []string // objects and kinds that were told
	t         *testing.T
	bare, dir string
	release   *gitops.Release
	lines     []string

	expected argocd.Expected
	syncErr  error
	waitErr  error
	onSync   func(argocd.Watch) error
	rendered []string // what each rendering's pods run
}

const file = "shop/production.yaml"

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{t: t, bare: filepath.Join(t.TempDir(), "config.git"), dir: t.TempDir()}
	p.git("init", "--quiet", "--initial-branch=main")
	p.write("image:\n  repository: registry.example.com/shop\n  digest: \"\" # the build's\nreplicas: 1\n")
	p.git("add", "--all")
	p.git("commit", "--quiet", "--message", "the environment")
	p.git("clone", "--quiet", "--bare", p.dir, p.bare)
	p.git("remote", "add", "origin", p.bare)
	p.open()
	return p
}

// open makes the release of a new run.
func (p *place) open() {
	p.t.Helper()
	dir, err := filepath.EvalSymlinks(p.t.TempDir())
	if err != nil {
		p.t.Fatal(err)
	}
	repository, err := configrepo.Clone(p.t.Context(), p.environ(), dir, "file://"+p.bare, "main")
	if err != nil {
		p.t.Fatal(err)
	}
	p.release, err = gitops.New(gitops.Options{Repository: repository, File: filepath.Join(dir, file), Keys: map[string]string{"": "image.digest"}, Application: application{p}, Renderer: p, Environment: "production",
		Report: func(line string) { p.lines = append(p.lines, line) }, Warn: func(line string) { p.lines = append(p.lines, "warning: "+line) },
		Applied: func(objects []release.Object, kinds []string) {
			p.applied = append(p.applied, fmt.Sprint(objects, kinds))
		}})
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) environ() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=person", "GIT_AUTHOR_EMAIL=p@example.com", "GIT_COMMITTER_NAME=person", "GIT_COMMITTER_EMAIL=p@example.com"}
}

func (p *place) git(args ...string) string {
	p.t.Helper()
	command := exec.CommandContext(p.t.Context(), "git", args...)
	command.Dir, command.Env = p.dir, p.environ()
	out, err := command.CombinedOutput()
	if err != nil {
		p.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (p *place) write(content string) {
	p.t.Helper()
	p.put(file, content)
}

func (p *place) put(name, content string) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Join(p.dir, filepath.Dir(name)), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// person changes the file's text on the branch.
func (p *place) person(before, after string) {
	p.t.Helper()
	p.git("pull", "--quiet", "--rebase", "origin", "main")
	content, err := os.ReadFile(filepath.Join(p.dir, file))
	if err != nil || !strings.Contains(string(content), before) {
		p.t.Fatalf("%v in %s", err, content)
	}
	p.write(strings.Replace(string(content), before, after, 1))
	p.git("commit", "--quiet", "--all", "--message", "by hand")
	p.git("push", "--quiet", "origin", "HEAD:main")
}

func (p *place) branch() string {
	p.t.Helper()
	p.git("fetch", "--quiet", "origin", "main")
	return p.git("show", "FETCH_HEAD:"+file)
}

func (*place) String() string { return "argocd/shop" }

func (p *place) Check(deployment release.Deployment) error { return nil }

func (p *place) MissingKeys(release.Deployment, []string) ([]string, error) { return nil, nil }

func (p *place) Render(_ context.Context, deployment release.Deployment) (release.Rendering, error) {
	images := []string{"registry.example.com/shop@" + deployment.Main().Image.Digest.String()}
	if len(deployment.Images) == 0 {
		images = p.rendered
	}
	return release.Rendering{Templates: []release.PodTemplate{{Object: release.Object{Kind: "Deployment", Name: "shop"}, Images: images}},
		Images: []release.ImageUse{{Workloads: []release.Object{{APIVersion: "apps/v1", Kind: "Deployment"}, {APIVersion: "example.com/v1", Kind: "Widget"}}, Loose: []release.Object{{APIVersion: "argoproj.io/v1alpha1", Kind: "Workflow"}}}},
		Kinds:  []release.AppliedKind{{Group: "apps", Resource: "deployments", Namespace: "production"}, {Group: "batch", Resource: "jobs", Use: release.UseHook}}}, nil
}

// application is the place as the Application of Argo CD.
type application struct{ *place }

func (a application) Check(_ context.Context, expected argocd.Expected) ([]string, error) {
	a.expected = expected
	return []string{"a limit"}, nil
}

func (p *place) Synced(_ context.Context, watch argocd.Watch) ([]release.Object, error) {
	if p.onSync != nil {
		if err := p.onSync(watch); err != nil {
			return nil, err
		}
	}
	return []release.Object{{Kind: "Deployment", Name: "shop"}}, p.syncErr
}

func (*place) Healthy(context.Context, func(string)) error { return nil }

func (p *place) wait(context.Context, release.Phase, []release.Object) error { return p.waitErr }

func deployment(t *testing.T, digit string) release.Deployment {
	t.Helper()
	image, err := release.ParseImage("registry.example.com/shop@sha256:" + strings.Repeat(digit, 64))
	if err != nil {
		t.Fatal(err)
	}
	return release.Deployment{Name: "shop", Namespace: "production", Commit: release.Commit(strings.Repeat(digit, 40)), RunURL: "https://ci.example.com/" + digit,
		Images: []release.BuiltImage{{Image: image}}}
}

// deploy deploys as a run of its own, and marks what became ready.
func (p *place) deploy(digit string) release.Deployed {
	p.t.Helper()
	p.open()
	next := deployment(p.t, digit)
	if err := p.release.Check(next); err != nil {
		p.t.Fatal(err)
	}
	deployed, err := p.release.Deploy(p.t.Context(), next, p.wait)
	if err != nil && p.waitErr == nil {
		p.t.Fatal(err)
	}
	if err == nil {
		if err := p.release.Mark(p.t.Context(), "shop", deployed.Revision, release.MarkReady); err != nil {
			p.t.Fatal(err)
		}
	}
	return deployed
}

// history writes the revisions, newest first.
func (p *place) history() (lines []string) {
	p.t.Helper()
	found, err := p.release.History(p.t.Context(), "shop")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, revision := range found {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%d %s commit %.1s digest %.1s %s", revision.Number, revision.Status, revision.Commit, strings.TrimPrefix(revision.Digest.String(), "sha256:"), revision.Mark)))
	}
	return lines
}

func TestRevisionsAreTheChangesOfTheValuesFile(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	if lines := p.history(); len(lines) > 0 {
		t.Errorf("before the first deploy: %q", lines)
	}
	if first := p.deploy("a"); first.Outcome != release.Created || first.Revision != 2 {
		t.Errorf("got %+v", first)
	}
	if again := p.deploy("a"); again.Outcome != release.Unchanged || again.Revision != 2 {
		t.Errorf("got %+v", again)
	}
	p.person("replicas: 1", "replicas: 2")
	if second := p.deploy("b"); second.Outcome != release.Changed || second.Revision != 4 {
		t.Errorf("got %+v", second)
	}
	if diff := cmp.Diff([]string{"4 deployed commit b digest b ready", "3 superseded commit a digest a", "2 superseded commit a digest a ready"}, p.history()); diff != "" {
		t.Error(diff)
	}
	target, err := p.release.RollbackTarget(t.Context(), deployment(t, "c"))
	if err != nil || target.Revision != 4 || target.Mark != release.MarkReady || len(target.Images) != 1 || target.Images[0] != deployment(t, "b").Main().Image {
		t.Errorf("got %+v, %v", target, err)
	}
	if err := p.release.Mark(t.Context(), "shop", 2, release.MarkProved); err != nil {
		t.Fatal(err)
	}
	if target, err = p.release.RollbackTarget(t.Context(), deployment(t, "c")); err != nil || target.Revision != 2 {
		t.Errorf("what was proved is preferred: got %+v, %v", target, err)
	}
	p.person(strings.Repeat("b", 64), strings.Repeat("d", 64))
	found, err := p.release.History(t.Context(), "shop")
	if err != nil || found[0].Commit != "" || len(found[0].References) != 1 || !strings.HasSuffix(found[0].References[0], strings.Repeat("d", 64)) {
		t.Errorf("a person's digest: %+v, %v", found, err)
	}
}

func TestARollbackIsTheRevert(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.deploy("a")
	p.waitErr = &release.BadRelease{Err: errors.New("it crashes")}
	failed := p.deploy("b")
	if failed.Revision != 3 {
		t.Errorf("got %+v", failed)
	}
	p.person("replicas: 1", "replicas: 2") // other values are somebody else's
	target, err := p.release.LiveRollbackTarget(t.Context(), deployment(t, "b"))
	if err != nil || target.Revision != 2 {
		t.Fatalf("got %+v, %v", target, err)
	}
	p.waitErr = nil
	back, err := p.release.Rollback(t.Context(), "shop", target.Revision, p.wait)
	if err != nil || back.Outcome != release.RolledBack || back.Revision != 5 {
		t.Errorf("got %+v, %v", back, err)
	}
	want := "image:\n  repository: registry.example.com/shop\n  digest: \"sha256:" + strings.Repeat("a", 64) + "\" # the build's\nreplicas: 2"
	if diff := cmp.Diff(want, p.branch()); diff != "" {
		t.Error(diff)
	}
	message := p.git("log", "-1", "--format=%B", "FETCH_HEAD")
	for _, want := range []string{`Revert "Deploy shop bbbbbbbbbbbb to production"`, "This reverts commit " + failed.ConfigCommit.String(), "Onedigest-Commit: " + strings.Repeat("a", 40), "Onedigest-Run: https://ci.example.com/b"} {
		if !strings.Contains(message, want) {
			t.Errorf("no %q in\n%s", want, message)
		}
	}
	if diff := cmp.Diff("5 deployed commit a digest a", p.history()[0]); diff != "" {
		t.Error(diff)
	}
}

// opened are the pull requests that a test asks for.
type opened []string

func (o *opened) Open(_ context.Context, base, head, title string, lines []string) (string, error) {
	*o = append(*o, strings.Join(append([]string{base, head, title}, lines...), "|"))
	return "https://git.example.com/pull/1", nil
}

// TestAProposalWaitsForItsMerge: it is pushed beside the branch, stays the same if it is made again, and ends once the branch has the digest.
func TestAProposalWaitsForItsMerge(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.deploy("a")
	before := p.branch()
	var pulls opened
	propose := func(digit string) (release.Proposal, bool) {
		t.Helper()
		p.open()
		p.release.PullRequests = &pulls
		found, proposed, err := p.release.Propose(t.Context(), deployment(t, digit), []string{"a line"})
		if err != nil {
			t.Fatal(err)
		}
		return found, proposed
	}
	first, proposed := propose("b")
	again, _ := propose("b")
	if !proposed || first != again || first.Branch != "onedigest/shop-production" || first.URL != "https://git.example.com/pull/1" || p.branch() != before {
		t.Errorf("got %+v, then %+v", first, again)
	}
	newer, _ := propose("c")
	p.git("fetch", "--quiet", "origin", newer.Branch)
	if newer.Commit == first.Commit || p.git("rev-parse", "FETCH_HEAD") != newer.Commit.String() || !strings.Contains(p.git("show", "FETCH_HEAD:"+file), strings.Repeat("c", 64)) {
		t.Errorf("got %+v", newer)
	}
	if diff := cmp.Diff("main|onedigest/shop-production|Deploy shop cccccccccccc to production|a line", pulls[2]); diff != "" {
		t.Error(diff)
	}
	p.git("push", "--quiet", "origin", "FETCH_HEAD:main")
	if found, proposed := propose("c"); proposed {
		t.Errorf("after the merge: got %+v", found)
	}
	if merged := p.deploy("c"); merged.Outcome != release.Changed || merged.ConfigCommit != newer.Commit {
		t.Errorf("got %+v", merged)
	}
}

// TestAKilledRunIsContinued: the digest is on the branch, and nothing is known of it.
func TestAKilledRunIsContinued(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.deploy("a")
	p.person(strings.Repeat("a", 64), strings.Repeat("b", 64))
	p.waitErr = &release.BadRelease{Err: errors.New("it crashes")}
	if failed := p.deploy("b"); failed.Outcome != release.Changed || failed.Revision != 3 {
		t.Errorf("got %+v", failed)
	}
	p.waitErr = nil
	if back, err := p.release.Rollback(t.Context(), "shop", 2, p.wait); err != nil || back.Revision != 4 || !strings.Contains(p.branch(), strings.Repeat("a", 64)) {
		t.Errorf("got %+v, %v", back, err)
	}
	p.deploy("b")
	if again := p.deploy("b"); again.Outcome != release.Unchanged {
		t.Errorf("got %+v", again)
	}
}

// TestTheDigestThatFailsIsNoTarget: neither of an older revision with it, nor of one that is named.
func TestTheDigestThatFailsIsNoTarget(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.deploy("a")
	first := p.deploy("b")
	if err := p.release.Mark(t.Context(), "shop", first.Revision, release.MarkProved); err != nil {
		t.Fatal(err)
	}
	p.deploy("c")
	p.waitErr = &release.BadRelease{Err: errors.New("it crashes")}
	p.deploy("b")
	if target, err := p.release.RollbackTarget(t.Context(), deployment(t, "b")); err != nil || target.Revision != 4 {
		t.Errorf("got %+v, %v", target, err)
	}
	p.waitErr = nil
	before := p.branch()
	if back, err := p.release.Rollback(t.Context(), "shop", first.Revision, p.wait); release.ExitCode(err) != release.ExitFailed || back.Revision != 0 || p.branch() != before {
		t.Errorf("got %+v, %v", back, err)
	}
}

// TestWhatIsPushedStays: a run whose time is up, or that is stopped, says so.
func TestWhatIsPushedStays(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	ctx, stop := context.WithCancel(t.Context())
	p.onSync = func(argocd.Watch) error {
		stop()
		return ctx.Err()
	}
	deployed, err := p.release.Deploy(ctx, deployment(t, "a"), p.wait)
	if want := "commit " + deployed.ConfigCommit.Short() + ` stays on branch "main"; Argo CD applies it`; deployed.ConfigCommit == "" || err == nil || !strings.Contains(err.Error(), want) || release.ExitCode(err) != release.ExitFailed {
		t.Errorf("got %+v, %v", deployed, err)
	}
}

func TestSomebodyElsesDigestStays(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.deploy("a")
	p.waitErr = &release.BadRelease{Err: errors.New("it crashes")}
	p.deploy("b")
	p.person(strings.Repeat("b", 64), strings.Repeat("c", 64))
	_, err := p.release.Rollback(t.Context(), "shop", 2, p.wait)
	if refusal := new(release.Refusal); !errors.As(err, &refusal) || !strings.Contains(p.branch(), strings.Repeat("c", 64)) {
		t.Errorf("got %v", err)
	}
	p.waitErr = nil
	p.onSync = func(watch argocd.Watch) error {
		p.person(strings.Repeat("d", 64), strings.Repeat("e", 64))
		newest, err := release.ParseCommit(p.git("rev-parse", "HEAD"))
		if err != nil {
			return err
		}
		if includes, err := watch.Includes(t.Context(), newest, watch.Commit); err != nil || !includes {
			return fmt.Errorf("it includes the deploy's: %t, %w", includes, err)
		}
		return watch.Changed(t.Context(), newest)
	}
	p.open()
	if _, err := p.release.Deploy(t.Context(), deployment(t, "d"), p.wait); release.ExitCode(err) != release.ExitFailed || release.IsBadRelease(err) || !strings.Contains(err.Error(), "has replaced the digest") {
		t.Errorf("got %v", err)
	}
}

func TestTheChartMustTakeTheDigest(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	next := deployment(t, "a")
	if err := p.release.Check(next); err != nil {
		t.Fatal(err)
	}
	options := p.release
	options.Application = application{p}
	options.Chart.Chart, next.ValuesFiles = "./charts/service", []string{options.File}
	p.rendered = []string{"registry.example.com/shop@" + next.Main().Image.Digest.String()}
	rendering, err := p.release.Render(t.Context(), next)
	if err != nil || len(rendering.Kinds) != 1 || rendering.Kinds[0].Use != release.UseWatch {
		t.Errorf("got %+v, %v", rendering.Kinds, err)
	}
	if diff := cmp.Diff([]string{"charts/service", file}, append([]string{p.expected.Chart}, p.expected.Values...)); diff != "" || !p.expected.SameRepository("file://"+strings.TrimSuffix(p.bare, ".git")+"/") {
		t.Error(diff)
	}
	if options.Chart.Chart = "oci://registry.example.com/charts/service:1.0.0"; p.expected.HasFile("absent") {
		t.Error("an absent file is found")
	}
	if _, err = p.release.Render(t.Context(), next); err != nil || p.expected.Chart != "" || p.expected.Elsewhere != "registry.example.com/charts/service:1.0.0" {
		t.Errorf("got %+v, %v", p.expected, err)
	}
	p.rendered = []string{"registry.example.com/shop:v1"}
	_, err = p.release.Render(t.Context(), next)
	if refusal := new(release.Refusal); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "takes its image from elsewhere") {
		t.Errorf("got %v", err)
	}
	plan, err := p.release.Plan(t.Context(), next)
	if err != nil || plan.Outcome != release.Changed || len(plan.Changes) != 1 || plan.Changes[0].Fields[0].After != next.Main().Image.Digest.String() {
		t.Errorf("got %+v, %v", plan, err)
	}
	next.Images = append(next.Images, release.BuiltImage{Name: "web", Image: next.Main().Image})
	if err := p.release.Check(next); release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), `missing for image "web"`) {
		t.Errorf("got %v", err)
	}
}

// TestWhatIsAppliedIsTold: the pods of custom resources are found among the objects of the Application, also of those that a rollback brings back.
func TestWhatIsAppliedIsTold(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.deploy("a")
	p.open()
	next := deployment(t, "b")
	if err := p.release.Check(next); err != nil {
		t.Fatal(err)
	}
	p.rendered = []string{next.Main().Image.String()}
	if _, err := p.release.Render(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if _, err := p.release.Deploy(t.Context(), next, p.wait); err != nil {
		t.Fatal(err)
	}
	if _, err := p.release.Rollback(t.Context(), "shop", 2, p.wait); err != nil {
		t.Fatal(err)
	}
	want := "[Deployment/shop] [argoproj.io/Workflow example.com/Widget]"
	if diff := cmp.Diff([]string{"[Deployment/shop] []", want, want}, p.applied); diff != "" {
		t.Error(diff)
	}
}
