package gitops_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/git/configrepo"
	"github.com/onedigest/onedigest/internal/gitops"
	"github.com/onedigest/onedigest/internal/kube/argocd"
	"github.com/onedigest/onedigest/internal/release"
)

// rendering is what a chart renders for a deployment, as a test changes it.
type rendering struct {
	*place
	manifest string // DIGEST is the main image's, RUN the run's
	kinds    []release.AppliedKind
}

const plain = `---
apiVersion: apps/v1
kind: Deployment
metadata:
  annotations:
    run: "RUN"
  name: shop
spec:
  image: registry.example.com/shop@DIGEST
---
apiVersion: v1
kind: Service
metadata:
  name: shop
`

func (r *rendering) Render(_ context.Context, deployment release.Deployment) (release.Rendering, error) {
	if !deployment.HideSecrets {
		return release.Rendering{}, errors.New("Secrets may be read")
	}
	return release.Rendering{Manifest: strings.NewReplacer("DIGEST", deployment.Main().Image.Digest.String(), "RUN", deployment.RunURL+deployment.Actor).Replace(r.manifest), Kinds: r.kinds}, nil
}

// manifests makes a release of the place whose manifests are committed.
func (p *place) manifests(manifest string) *rendering {
	p.t.Helper()
	r := &rendering{place: p, manifest: manifest}
	p.openManifests(r)
	return r
}

func (p *place) openManifests(r *rendering) {
	p.t.Helper()
	dir, err := filepath.EvalSymlinks(p.t.TempDir())
	if err != nil {
		p.t.Fatal(err)
	}
	repository, err := configrepo.Clone(p.t.Context(), p.environ(), dir, "file://"+p.bare, "main")
	if err != nil {
		p.t.Fatal(err)
	}
	keys, err := gitops.LockKeys(deployment(p.t, "a").Images)
	if err != nil {
		p.t.Fatal(err)
	}
	p.release, err = gitops.New(gitops.Options{Repository: repository, Manifests: true, File: filepath.Join(dir, "live/production", gitops.LockFile), Keys: keys, Application: application{p}, Renderer: r, Environment: "production",
		HasSecret: func(text string) bool { return strings.Contains(text, "canary-") },
		Report:    func(line string) { p.lines = append(p.lines, line) }, Warn: func(line string) { p.lines = append(p.lines, "warning: "+line) }})
	if err != nil {
		p.t.Fatal(err)
	}
}

// deploy deploys as a run of its own, and marks what became ready.
func (r *rendering) deploy(digit string) release.Deployed {
	r.t.Helper()
	r.openManifests(r)
	next := deployment(r.t, digit)
	if err := r.release.Check(next); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.release.Render(r.t.Context(), next); err != nil {
		r.t.Fatal(err)
	}
	deployed, err := r.release.Deploy(r.t.Context(), next, r.wait)
	if err != nil && r.waitErr == nil {
		r.t.Fatal(err)
	}
	if err == nil {
		if err := r.release.Mark(r.t.Context(), "shop", deployed.Revision, release.MarkReady); err != nil {
			r.t.Fatal(err)
		}
	}
	return deployed
}

func (r *rendering) list() []string {
	r.t.Helper()
	r.git("fetch", "--quiet", "origin", "main")
	return strings.Fields(r.git("ls-tree", "-r", "--name-only", "FETCH_HEAD:live/production"))
}

func (r *rendering) show(name string) string {
	r.t.Helper()
	r.git("fetch", "--quiet", "origin", "main")
	return r.git("show", "FETCH_HEAD:live/production/"+name)
}

// byHand commits a change of one file of the directory on the branch, and not of its lock file.
func (r *rendering) byHand(name, content string) release.Commit {
	r.t.Helper()
	r.git("reset", "--quiet", "--hard")
	r.git("fetch", "--quiet", "origin", "main")
	r.git("checkout", "--quiet", "--detach", "FETCH_HEAD")
	r.put("live/production/"+name, content)
	r.git("add", "--all")
	r.git("commit", "--quiet", "--message", "by hand")
	r.git("push", "--quiet", "origin", "HEAD:main")
	return release.Commit(r.git("rev-parse", "HEAD"))
}

func digest(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

func TestManifestsAreCommittedAsFiles(t *testing.T) {
	t.Parallel()
	r := newPlace(t).manifests(plain)
	if first := r.deploy("a"); first.Outcome != release.Created || first.Revision != 1 {
		t.Errorf("got %+v", first)
	}
	if diff := cmp.Diff([]string{"deployment-shop.yaml", "onedigest.lock", "service-shop.yaml"}, r.list()); diff != "" {
		t.Error(diff)
	}
	want := "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  annotations:\n    run: \"\"\n  name: shop\nspec:\n  image: registry.example.com/shop@" + digest("a")
	if diff := cmp.Diff(want, r.show("deployment-shop.yaml")); diff != "" {
		t.Errorf("what differs from run to run, or more than one object: %s", diff)
	}
	if lock := r.show("onedigest.lock"); !strings.Contains(lock, `image: {digest: "`+digest("a")+`"}`) || !strings.Contains(lock, "files:\n  - \"deployment-shop.yaml\"\n  - \"service-shop.yaml\"\n") {
		t.Errorf("the lock file is\n%s", lock)
	}
	if again := r.deploy("a"); again.Outcome != release.Unchanged || again.Revision != 1 {
		t.Errorf("got %+v", again)
	}
	r.manifest = strings.Replace(plain, "kind: Service", "kind: ConfigMap", 1)
	if changed := r.deploy("a"); changed.Outcome != release.Changed || changed.Revision != 2 {
		t.Errorf("another chart with the same digest: got %+v", changed)
	}
	if diff := cmp.Diff([]string{"configmap-shop.yaml", "deployment-shop.yaml", "onedigest.lock"}, r.list()); diff != "" {
		t.Errorf("what the chart lacks stays: %s", diff)
	}
	if diff := cmp.Diff([]string{"2 deployed commit a digest a ready", "1 superseded commit a digest a ready"}, r.history()); diff != "" {
		t.Error(diff)
	}
	if r.expected.Manifests != "live/production" || r.expected.Chart != "" || len(r.expected.Values) > 0 {
		t.Errorf("expected of the Application: %+v", r.expected)
	}
	if got := r.git("show", "FETCH_HEAD:"+file); !strings.Contains(got, `digest: ""`) {
		t.Errorf("the values file was changed: %s", got)
	}
}

func TestARollbackOfManifestsBringsThemBack(t *testing.T) {
	t.Parallel()
	r := newPlace(t).manifests(plain)
	r.deploy("a")
	before := r.list()
	r.manifest = strings.Replace(plain, "kind: Service", "kind: ConfigMap", 1)
	r.waitErr = &release.BadRelease{Err: errors.New("it crashes")}
	r.deploy("a") // the same digest, and a chart that fails
	target, err := r.release.LiveRollbackTarget(t.Context(), deployment(t, "a"))
	if err != nil || target.Revision != 1 {
		t.Fatalf("got %+v, %v", target, err)
	}
	r.deploy("b")
	if target, err = r.release.RollbackTarget(t.Context(), deployment(t, "b")); err != nil || target.Revision != 1 {
		t.Fatalf("got %+v, %v", target, err)
	}
	r.waitErr = nil
	back, err := r.release.Rollback(t.Context(), "shop", target.Revision, r.wait)
	if err != nil || back.Outcome != release.RolledBack || back.Revision != 4 {
		t.Fatalf("got %+v, %v", back, err)
	}
	if diff := cmp.Diff(before, r.list()); diff != "" {
		t.Error(diff)
	}
	if got := r.show("deployment-shop.yaml"); !strings.Contains(got, digest("a")) {
		t.Errorf("the branch has\n%s", got)
	}
	message := r.git("log", "-1", "--format=%B", "FETCH_HEAD")
	for _, want := range []string{`Revert "Deploy shop bbbbbbbbbbbb to production"`, "Onedigest-Image: registry.example.com/shop@" + digest("a")} {
		if !strings.Contains(message, want) {
			t.Errorf("no %q in\n%s", want, message)
		}
	}
}

func TestManifestsThatSomebodyElseReplaces(t *testing.T) {
	t.Parallel()
	r := newPlace(t).manifests(plain)
	r.deploy("a")
	r.waitErr = &release.BadRelease{Err: errors.New("it crashes")}
	r.deploy("b")
	failed := r.release
	r.waitErr = nil
	r.deploy("c")
	var refusal *release.Refusal
	if _, err := failed.Rollback(t.Context(), "shop", 1, r.wait); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "somebody else has changed the manifests") {
		t.Errorf("got %v", err)
	}
}

// TestManifestsThatSomebodyChangesByHand: the lock file is the same, and its sum is not theirs.
func TestManifestsThatSomebodyChangesByHand(t *testing.T) {
	t.Parallel()
	r := newPlace(t).manifests(plain)
	r.deploy("a")
	edited := strings.Replace(r.show("deployment-shop.yaml"), digest("a"), digest("f"), 1)
	r.onSync = func(watch argocd.Watch) error {
		newest := r.byHand("deployment-shop.yaml", edited)
		if includes, err := watch.Includes(t.Context(), newest, watch.Commit); err != nil || !includes {
			return fmt.Errorf("it includes the deploy's: %t, %w", includes, err)
		}
		return watch.Changed(t.Context(), newest)
	}
	r.openManifests(r)
	next := deployment(t, "b")
	if err := r.release.Check(next); err != nil {
		t.Fatal(err)
	}
	if _, err := r.release.Render(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if _, err := r.release.Deploy(t.Context(), next, r.wait); err == nil || !strings.Contains(err.Error(), "has replaced the manifests") {
		t.Errorf("while it is followed: %v", err)
	}
	var refusal *release.Refusal
	if _, err := r.release.Rollback(t.Context(), "shop", 1, r.wait); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "somebody else has changed the manifests") {
		t.Errorf("the rollback: %v", err)
	}
	if diff := cmp.Diff([]string{"2 deployed commit  digest b", "1 superseded commit a digest a ready"}, r.history()); diff != "" {
		t.Error(diff)
	}
	found, err := r.release.History(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"registry.example.com/shop@" + digest("f")}, found[0].References); diff != "" {
		t.Errorf("what never-backwards asks the registry about: %s", diff)
	}
	if lines := strings.Join(r.lines, "\n"); !strings.Contains(lines, "somebody has changed them by hand") {
		t.Errorf("got %s", lines)
	}
	r.onSync = nil
	if again := r.deploy("b"); again.Outcome != release.Changed {
		t.Errorf("got %+v", again)
	}
	if diff := cmp.Diff([]string{"2 deployed commit b digest b ready", "1 superseded commit a digest a ready"}, r.history()); diff != "" {
		t.Errorf("a deploy replaces what was changed by hand: %s", diff)
	}
}

// TestARevisionWhoseManifestsAreNotItsOwn: it was committed with another lock file, so no rollback goes there.
func TestARevisionWhoseManifestsAreNotItsOwn(t *testing.T) {
	t.Parallel()
	r := newPlace(t).manifests(plain)
	r.deploy("a")
	r.byHand(gitops.LockFile, strings.Replace(r.show(gitops.LockFile), digest("a"), digest("e"), 1)+"\n# by hand\nmore: 1\n")
	r.byHand("service-shop.yaml", "kind: Service\n")
	r.byHand(gitops.LockFile, strings.Replace(r.show(gitops.LockFile), "more: 1", "more: 2", 1))
	for number := range 3 {
		if err := r.release.Mark(t.Context(), "shop", number+1, release.MarkReady); err != nil {
			t.Fatal(err)
		}
	}
	r.waitErr = &release.BadRelease{Err: errors.New("it crashes")}
	r.deploy("b")
	target, err := r.release.RollbackTarget(t.Context(), deployment(t, "b"))
	if err != nil || target.Revision != 2 {
		t.Errorf("got %+v, %v", target, err)
	}
	r.waitErr = nil
	if _, err := r.release.Rollback(t.Context(), "shop", 3, r.wait); release.ExitCode(err) != release.ExitFailed || !strings.Contains(err.Error(), "does not have the manifests of its deploy") {
		t.Errorf("got %v", err)
	}
}

func TestManifestsThatAreRefused(t *testing.T) {
	t.Parallel()
	const canary = "c2VjcmV0LWNhbmFyeQ=="
	secret := "---\napiVersion: v1\ndata:\n  password: " + canary + "\nkind: Secret\nmetadata:\n  name: shop-db\n"
	listed := "---\napiVersion: v1\nitems:\n- apiVersion: v1\n  data:\n    password: " + canary + "\n  kind: Secret\n  metadata:\n    name: inner\nkind: List\nmetadata:\n  name: many\n"
	for name, test := range map[string]struct {
		manifest string
		kinds    []release.AppliedKind
		wants    []string
	}{
		"Secrets": {manifest: plain + secret + strings.Replace(secret, "shop-db", "another", 1), wants: []string{"renders Secret/another, Secret/shop-db", "External Secrets"}},
		"a list":  {manifest: plain + listed, wants: []string{"renders List/many"}},
		"a Secret in another object": {manifest: plain + "---\napiVersion: kubernetes.crossplane.io/v1alpha2\nkind: Object\nmetadata:\n  name: db\nspec:\n  forProvider:\n    manifest:\n      apiVersion: v1\n      kind: Secret\n      data:\n        password: " + canary + "\n",
			wants: []string{"renders Object/db"}},
		"a Secret in a list of another object": {manifest: plain + "---\napiVersion: work.open-cluster-management.io/v1\nkind: ManifestWork\nmetadata:\n  name: db\nspec:\n  workload:\n    manifests:\n    - apiVersion: v1\n      kind: Secret\n      stringData:\n        password: " + canary + "\n",
			wants: []string{"renders ManifestWork/db"}},
		"a Secret that a rule makes": {manifest: plain + "---\napiVersion: kyverno.io/v1\nkind: Policy\nmetadata:\n  name: db\nspec:\n  rules:\n  - generate:\n      apiVersion: v1\n      kind: Secret\n      name: db\n      data:\n        data:\n          password: " + canary + "\n",
			wants: []string{"renders Policy/db"}},
		"a secret elsewhere": {manifest: strings.Replace(plain, "image: ", "image: canary-", 1), wants: []string{"renders a secret value into Deployment/shop"}},
		"hooks": {manifest: plain, kinds: []release.AppliedKind{{Group: "batch", Resource: "jobs", Use: release.UseHook}, {Resource: "configmaps", Use: release.UseHook}},
			wants: []string{"has hooks (configmaps, jobs)", "let Argo CD render the chart"}},
		"a large object": {manifest: plain + "---\nkind: ConfigMap\ndata: " + strings.Repeat("x", configrepo.MaxFile) + "\n", wants: []string{"ConfigMap/ has more than"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newPlace(t).manifests(test.manifest)
			r.kinds = test.kinds
			_, err := r.release.Render(t.Context(), deployment(t, "a"))
			var refusal *release.Refusal
			if !errors.As(err, &refusal) || strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "canary-") {
				t.Fatalf("got %v", err)
			}
			for _, want := range test.wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in %v", want, err)
				}
			}
		})
	}
}

// TestSealedSecretsAreCommitted: what makes a Secret in the cluster is none.
func TestSealedSecretsAreCommitted(t *testing.T) {
	t.Parallel()
	r := newPlace(t).manifests("---\napiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata:\n  name: shop\n---\napiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata:\n  name: shop\n" +
		"---\napiVersion: kyverno.io/v1\nkind: Policy\nmetadata:\n  name: copies\nspec:\n  rules:\n  - generate:\n      apiVersion: v1\n      kind: Secret\n      name: db\n      clone:\n        name: db\n")
	r.kinds = []release.AppliedKind{{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions", Use: release.UseCreate}}
	r.deploy("a")
	if diff := cmp.Diff([]string{"externalsecret-shop.yaml", "onedigest.lock", "policy-copies.yaml", "sealedsecret-shop.yaml"}, r.list()); diff != "" {
		t.Error(diff)
	}
	if lines := strings.Join(r.lines, "\n"); !strings.Contains(lines, "warning: the chart has a directory crds") {
		t.Errorf("got %s", lines)
	}
}

// TestFilesOfEachObject: two objects never share a file, and a name has nothing that leads out of the directory.
func TestFilesOfEachObject(t *testing.T) {
	t.Parallel()
	object := func(version, namespace, name string) string {
		return "---\napiVersion: " + version + "\nkind: Role\nmetadata:\n  name: \"" + name + "\"\n  namespace: " + namespace + "\n"
	}
	r := newPlace(t).manifests(object("v1", "a", "shop") + object("v1", "b", "shop") + object("v2", "a", "shop") + object("v1", "a", "../../x:Y"))
	r.deploy("a")
	found := r.list()
	if len(found) != 5 || len(found[4]) != len("role-shop-01234567.yaml") {
		t.Errorf("got %q", found)
	}
	if !strings.Contains(strings.Join(found, " "), "role-.._.._x_y.yaml") {
		t.Errorf("got %q", found)
	}
}

// TestLongNames: an object's name has up to 253 characters, and a file's 255 with its ending.
func TestLongNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 252)
	object := func(name, namespace string) string {
		return "---\napiVersion: v1\nkind: Role\nmetadata:\n  name: " + name + "\n  namespace: " + namespace + "\n"
	}
	r := newPlace(t).manifests(object(long+"1", "a") + object(long+"2", "a") + object(long+"2", "b"))
	r.deploy("a")
	found := r.list()
	for _, name := range found {
		if len(name) > 230 {
			t.Errorf("%d bytes: %s", len(name), name)
		}
	}
	if len(found) != 4 {
		t.Errorf("got %q", found)
	}
}

// TestAFileOfKustomize: by it, Argo CD would not apply the directory as it is.
func TestAFileOfKustomize(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Kustomization", "kustomization.yaml", "kustomization.yml"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newPlace(t).manifests(plain)
			r.deploy("a")
			r.byHand(name, "namePrefix: x-\n")
			r.openManifests(r)
			if _, err := r.release.Render(t.Context(), deployment(t, "b")); err != nil {
				t.Fatal(err)
			}
			if _, err := r.release.Deploy(t.Context(), deployment(t, "b"), r.wait); release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), name+", which no deploy has written") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestADirectoryThatSomebodyElseFills(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, content := range map[string]string{"live/production/README.md": "read me", "live/production/deep/extra.yml": "kind: Role\n"} {
		p.write("replicas: 1\n")
		p.put(name, content)
	}
	p.git("add", "--all")
	p.git("commit", "--quiet", "--message", "by hand")
	p.git("push", "--quiet", "origin", "HEAD:main")
	r := p.manifests(plain)
	if _, err := r.release.Render(t.Context(), deployment(t, "a")); err != nil {
		t.Fatal(err)
	}
	_, err := r.release.Deploy(t.Context(), deployment(t, "a"), r.wait)
	if release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), "deep/extra.yml, which no deploy has written") || strings.Contains(err.Error(), "README") {
		t.Errorf("got %v", err)
	}
	if _, err := r.release.Plan(t.Context(), deployment(t, "a")); release.ExitCode(err) != release.ExitInput {
		t.Errorf("the plan: %v", err)
	}
}

func TestThePlanOfManifestsListsFiles(t *testing.T) {
	t.Parallel()
	r := newPlace(t).manifests(plain)
	r.deploy("a")
	r.manifest = strings.Replace(plain, "kind: Service", "kind: ConfigMap", 1)
	next := deployment(t, "b")
	if _, err := r.release.Render(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	plan, err := r.release.Plan(t.Context(), next)
	if err != nil || plan.Outcome != release.Changed {
		t.Fatalf("got %+v, %v", plan, err)
	}
	var got []string
	for _, change := range plan.Changes {
		got = append(got, string(change.Action)+" "+change.Object.Name)
	}
	if diff := cmp.Diff([]string{"create live/production/configmap-shop.yaml", "change live/production/deployment-shop.yaml", "change live/production/onedigest.lock", "delete live/production/service-shop.yaml"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAProposalOfManifests(t *testing.T) {
	t.Parallel()
	r := newPlace(t).manifests(plain)
	r.deploy("a")
	next := deployment(t, "b")
	if _, err := r.release.Render(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	found, proposed, err := r.release.Propose(t.Context(), next, nil)
	if err != nil || !proposed || !strings.Contains(r.show("deployment-shop.yaml"), digest("a")) {
		t.Fatalf("got %+v, %t, %v", found, proposed, err)
	}
	r.git("fetch", "--quiet", "origin", found.Branch)
	r.git("push", "--quiet", "origin", "FETCH_HEAD:main")
	if merged := r.deploy("b"); merged.Outcome != release.Changed || merged.ConfigCommit != found.Commit {
		t.Errorf("got %+v", merged)
	}
}

func TestKeysOfALockFile(t *testing.T) {
	t.Parallel()
	keys, err := gitops.LockKeys([]release.BuiltImage{{}, {Name: "web.front"}})
	if diff := cmp.Diff(map[string]string{"": "image.digest", "web.front": "images.web_front.digest"}, keys); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if _, err := gitops.LockKeys([]release.BuiltImage{{Name: "web.front"}, {Name: "web/front"}}); release.ExitCode(err) != release.ExitInput {
		t.Errorf("got %v", err)
	}
}
