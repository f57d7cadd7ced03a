package argocd

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/kubetest"
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const (
	before = release.Commit("1111111111111111111111111111111111111111")
	ours   = release.Commit("2222222222222222222222222222222222222222")
	later  = release.Commit("3333333333333333333333333333333333333333")
)

// spec is an Application that applies what the tests expect.
const spec = `apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: shop, namespace: argocd, uid: a}
spec:
  source: {repoURL: https://git.example.com/config.git, targetRevision: main, path: charts/service, helm: {valueFiles: [../../shop/common.yaml, /shop/production.yaml]}}
  destination: {server: https://kubernetes.default.svc, namespace: production}
  syncPolicy: {automated: {}}
`

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	found := new(unstructured.Unstructured)
	if err := yaml.Unmarshal([]byte(text), &found.Object); err != nil {
		t.Fatal(err)
	}
	return found
}

// server returns an apiserver with an Application, which may not be patched.
func server(t *testing.T, text string) (*kubetest.Server, *Application) {
	t.Helper()
	s := kubetest.New(t)
	s.Serve(kind, resource.Resource, true)
	s.Break(func(r *http.Request) int {
		if r.Method == http.MethodPatch {
			return http.StatusForbidden
		}
		return 0
	})
	s.Put(object(t, text))
	client, err := kube.New(s.Config())
	if err != nil {
		t.Fatal(err)
	}
	return s, New(client, "argocd", "shop")
}

func expected() Expected {
	return Expected{SameRepository: func(address string) bool { return address == "https://git.example.com/config.git" }, Repository: "https://git.example.com/config", Branch: "main",
		Chart: "charts/service", Values: []string{"shop/common.yaml", "shop/production.yaml"}, Release: "shop", Namespace: "production", HasFile: func(string) bool { return false }}
}

func TestAnApplicationThatAppliesSomethingElseIsRefused(t *testing.T) {
	t.Parallel()
	sources := `sources:
  - {repoURL: https://charts.example.com, chart: service, targetRevision: 1.0.0, helm: {releaseName: shop, valueFiles: [$config/shop/common.yaml, $config/shop/production.yaml]}}
  - {repoURL: https://git.example.com/config.git, targetRevision: HEAD, ref: config}
  destination`
	whole := spec[strings.Index(spec, "source:"):strings.Index(spec, "destination")] + "destination"
	elsewhere := func(repository, chart, version string) func(*Expected) {
		return func(e *Expected) {
			e.Chart, e.DefaultBranch, e.Elsewhere = "", true, ChartAddress(repository, chart, version)
		}
	}
	manifests := func(e *Expected) { e.Manifests, e.Chart, e.Values, e.Release = "live/production", "", nil, "other" }
	for name, test := range map[string]struct {
		change [2]string
		expect func(*Expected)
		wants  []string
	}{
		"the same":                 {},
		"two sources":              {change: [2]string{whole, sources}, expect: elsewhere("https://charts.example.com/", "service", "1.0.0")},
		"a registry":               {change: [2]string{whole, strings.Replace(sources, "https://charts.example.com", "charts.example.com", 1)}, expect: elsewhere("", "oci://charts.example.com/service", "1.0.0")},
		"a registry's address":     {change: [2]string{whole, strings.Replace(sources, "https://charts.example.com, chart: service", "oci://charts.example.com/service, path: .", 1)}, expect: elsewhere("", "oci://charts.example.com/service", "1.0.0")},
		"another chart repository": {change: [2]string{whole, sources}, expect: elsewhere("https://other.example.com", "service", "1.0.0"), wants: []string{`applies the chart "https://charts.example.com/service:1.0.0", not "https://other.example.com/service:1.0.0"`}},
		"another chart":            {change: [2]string{whole, sources}, expect: elsewhere("https://charts.example.com", "shop", "1.0.0"), wants: []string{`not "https://charts.example.com/shop:1.0.0"`}},
		"another version":          {change: [2]string{whole, sources}, expect: elsewhere("https://charts.example.com", "service", "1.0.1"), wants: []string{`service:1.0.0", not "https://charts.example.com/service:1.0.1"`}},
		"the chart of another repository": {change: [2]string{whole, `sources:
  - {repoURL: https://git.example.com/other.git, path: charts/service, helm: {releaseName: shop, valueFiles: [../../shop/common.yaml, $config/shop/production.yaml]}}
  - {repoURL: https://git.example.com/config.git, targetRevision: main, ref: config}
  destination`}, wants: []string{`"https://git.example.com/other.git/charts/service", not "charts/service"`, `uses the values files ["" "shop/production.yaml"]`}},
		"another branch for the chart": {change: [2]string{whole, `sources:
  - {repoURL: https://git.example.com/config.git, targetRevision: main, ref: config}
  - {repoURL: https://git.example.com/config.git, targetRevision: v1, path: charts/service, helm: {releaseName: shop, valueFiles: [$config/shop/common.yaml, $config/shop/production.yaml]}}
  destination`}, wants: []string{`"https://git.example.com/config.git/charts/service:v1", not "charts/service"`}},
		"two that are rendered": {change: [2]string{whole, strings.Replace(sources, "ref: config", "ref: config, path: more", 1)}, expect: elsewhere("", "", ""), wants: []string{"renders 2 sources"}},
		"fields and files": {change: [2]string{"helm: {", "kustomize: {namePrefix: x}, plugin: {name: x}, helm: {namespace: other, "}, expect: func(e *Expected) {
			e.HasFile = func(name string) bool { return strings.HasPrefix(name, ".argocd-source") }
		},
			wants: []string{"has kustomize, plugin or helm.namespace", "has .argocd-source.yaml", "has .argocd-source-shop.yaml"}},
		"manifests": {change: [2]string{whole, "source: {repoURL: https://git.example.com/config.git, targetRevision: main, path: live/production/, directory: {recurse: true}}\n  destination"}, expect: manifests},
		"other manifests": {change: [2]string{whole, "source: {repoURL: https://git.example.com/config.git, targetRevision: main, path: live/staging, directory: {include: 'a*'}}\n  destination"}, expect: manifests,
			wants: []string{`applies "live/staging", not the directory "live/production"`, "has helm, kustomize, plugin, or more than recurse"}},
		"another revision of the manifests": {change: [2]string{whole, `sources:
  - {repoURL: https://git.example.com/config.git, targetRevision: main, ref: config}
  - {repoURL: https://git.example.com/config.git, targetRevision: v1, path: live/production}
  destination`}, expect: manifests, wants: []string{`applies "v1" of the manifests, not branch "main"`}},
		"the branch of the manifests by another name": {change: [2]string{whole, `sources:
  - {repoURL: https://git.example.com/config.git, targetRevision: main, ref: config}
  - {repoURL: https://git.example.com/config.git, targetRevision: refs/heads/main, path: live/production}
  destination`}, expect: manifests},
		"a chart and no manifests": {expect: manifests, wants: []string{`applies "charts/service", not the directory`, "has helm, kustomize"}},
		"another repository":       {change: [2]string{"git.example.com/config.git", "git.example.com/other.git"}, wants: []string{"does not apply the repository"}},
		"another branch":           {change: [2]string{"targetRevision: main", "targetRevision: v1"}, wants: []string{`applies "v1" of the repository`}},
		"another cluster":          {change: [2]string{"https://kubernetes.default.svc", "https://10.0.0.1"}, wants: []string{"applies to another cluster"}},
		"all that is different": {change: [2]string{"helm: {", "helm: {releaseName: other, parameters: [{name: image.digest, value: x}], "}, expect: func(e *Expected) { e.Namespace, e.Chart, e.Values = "staging", "charts/other", nil },
			wants: []string{`applies to namespace "production", not to "staging"`, `names the release "other"`, `applies the chart "charts/service"`, `uses the values files ["shop/common.yaml" "shop/production.yaml"]`, "sets values of its own"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := spec
			if test.change[0] != "" {
				if text = strings.Replace(spec, test.change[0], test.change[1], 1); text == spec {
					t.Fatal("nothing was changed")
				}
			}
			want := expected()
			if test.expect != nil {
				test.expect(&want)
			}
			_, application := server(t, text)
			_, err := application.Check(t.Context(), want)
			input := new(release.InputError)
			if errors.As(err, &input) != (len(test.wants) > 0) || len(input.Problems) != len(test.wants) {
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

func TestAnApplicationThatNobodySyncs(t *testing.T) {
	t.Parallel()
	_, application := server(t, strings.Replace(spec, "automated: {}", "automated: {enabled: false}", 1))
	limits, err := application.Check(t.Context(), expected())
	if err != nil || len(limits) != 1 || !strings.Contains(limits[0], "waits until somebody syncs it") {
		t.Errorf("got %q, %v", limits, err)
	}
	application.Name = "absent"
	if _, err := application.Check(t.Context(), expected()); release.ExitCode(err) != release.ExitInput {
		t.Errorf("absent: %v", err)
	}
}

// status is the state of an Application: what Argo CD compared with and what it synced last.
func status(sync, compared, phase, synced, message, more string) string {
	return spec + "status:\n  sync: {status: " + sync + ", revision: '" + compared + "'}\n  health: {status: Healthy}\n" +
		"  operationState: {phase: " + phase + ", message: '" + message + "', syncResult: {revision: '" + synced + "', resources: [{group: apps, version: v1, kind: Deployment, namespace: production, name: shop, status: " + more + ", message: is invalid}]}}\n" +
		"  resources:\n  - {group: apps, version: v1, kind: Deployment, namespace: production, name: shop, status: " + sync + "}\n  - {version: v1, kind: ConfigMap, namespace: production, name: old, status: OutOfSync, requiresPruning: true}\n" +
		"  - {group: batch, version: v1, kind: Job, namespace: production, name: hook, status: '', hook: true}\n"
}

func TestWhenACommitIsApplied(t *testing.T) {
	t.Parallel()
	deployment := release.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "production", Name: "shop"}
	replaced := &release.Failure{What: "replaced"}
	for name, test := range map[string]struct {
		status  string
		changed error
		want    string // in the error; "": it is applied
		bad     bool
		watched bool
	}{
		"ours":                 {status: status("Synced", ours.String(), "Succeeded", ours.String(), "", "Synced")},
		"one is skipped":       {status: status("Synced", ours.String(), "Succeeded", ours.String(), "", "Synced") + "  - {version: v1, kind: ConfigMap, namespace: production, name: skipped, status: ''}\n"},
		"Synced says it all":   {status: strings.Replace(status("Synced", ours.String(), "Succeeded", ours.String(), "", "Synced"), "name: shop, status: Synced}\n", "name: shop, status: OutOfSync}\n", 1)},
		"pruning is off":       {status: strings.Replace(status("Synced", ours.String(), "Succeeded", ours.String(), "", "Synced"), "sync: {status: Synced", "sync: {status: OutOfSync", 1) + "  - {version: v1, kind: ConfigMap, namespace: production, name: skipped, status: ''}\n"},
		"a descendant":         {status: status("Synced", later.String(), "Succeeded", later.String(), "", "Synced")},
		"replaced":             {status: status("Synced", later.String(), "Succeeded", later.String(), "", "Synced"), changed: replaced, want: "replaced"},
		"not read yet":         {status: status("Synced", before.String(), "Succeeded", before.String(), "", "Synced"), want: "reads commit 222222222222 next"},
		"an older sync failed": {status: status("Synced", before.String(), "Failed", before.String(), "", "SyncFailed"), want: "reads commit 222222222222 next"},
		"not applied yet":      {status: status("OutOfSync", ours.String(), "Succeeded", before.String(), "", "Synced"), want: "OutOfSync Deployment/shop"},
		"it failed":            {status: status("OutOfSync", ours.String(), "Failed", ours.String(), "one object", "SyncFailed"), want: "could not sync Application \"argocd/shop\" to commit 222222222222: one object; Deployment/shop: is invalid", bad: true},
		"it waits":             {status: status("OutOfSync", ours.String(), "Running", ours.String(), "waiting for healthy state of apps/Deployment/shop", "Synced"), want: "OutOfSync", watched: true},
		"it cannot render":     {status: spec + "status: {sync: {status: Unknown, revision: ''}, conditions: [{type: ComparisonError, message: 'no such chart'}]}\n", want: "ComparisonError: no such chart"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, application := server(t, test.status)
			ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, errors.New("not in time"))
			defer cancel()
			var watched []release.Object
			objects, err := application.Synced(ctx, Watch{Commit: ours, Report: func(string) {},
				Includes: func(_ context.Context, commit, other release.Commit) (bool, error) { return commit >= other, nil },
				Changed:  func(context.Context, release.Commit) error { return test.changed },
				Applied:  func(_ context.Context, objects []release.Object) error { watched = objects; return nil },
			})
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) || release.IsBadRelease(err) != test.bad {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff([]release.Object{deployment}, objects); err == nil && diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]release.Object{deployment}, watched); test.watched && diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestASyncOutlastsItsLimit: the limit is for Argo CD to begin the sync. What the sync waits for takes as long as the context allows.
func TestASyncOutlastsItsLimit(t *testing.T) {
	t.Parallel()
	running := status("OutOfSync", ours.String(), "Running", ours.String(), "waiting for healthy state of apps/Deployment/shop", "Synced")
	for name, test := range map[string]struct {
		limit        time.Duration
		before, want string
	}{
		"it has begun":     {10 * time.Second, running, ""},
		"it has not begun": {time.Second, status("Synced", before.String(), "Succeeded", before.String(), "", "Synced"), "not synced by Argo CD in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, application := server(t, test.before)
			_, err := application.Synced(t.Context(), Watch{Commit: ours, Within: test.limit, Report: func(string) {},
				Includes: func(_ context.Context, commit, other release.Commit) (bool, error) { return commit >= other, nil },
				Changed:  func(context.Context, release.Commit) error { return nil },
				Applied: func(context.Context, []release.Object) error {
					time.Sleep(test.limit + time.Second)
					s.Put(object(t, status("Synced", ours.String(), "Succeeded", ours.String(), "", "Synced")))
					return nil
				},
			})
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) || errors.Is(err, ErrNotSynced) != (err != nil) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestDegradedBeforeTheDeploy: what was Degraded before is no fault of the deploy.
func TestDegradedBeforeTheDeploy(t *testing.T) {
	t.Parallel()
	health := func(health, object string) string {
		return spec + "status:\n  health: {status: " + health + "}\n  resources:\n  - {group: batch, version: v1, kind: CronJob, namespace: production, name: nightly, status: Synced, health: {status: Degraded, message: CronJob has not completed its last execution}}\n" + object
	}
	since := func(clock string) string {
		return "status: {health: {status: Degraded, lastTransitionTime: '2026-01-01T" + clock + ":00Z'}}\n"
	}
	const set = "  - {group: apps, version: v1, kind: StatefulSet, namespace: production, name: shop, status: Synced, health: {status: Degraded, message: broken}}\n"
	for name, test := range map[string]struct {
		before, after string
		ended, bad    bool
	}{
		"the same":                            {health("Degraded", ""), health("Degraded", ""), true, false},
		"one more":                            {health("Degraded", ""), health("Degraded", set), false, true},
		"healthy before":                      {spec + "status: {health: {status: Healthy}}\n", health("Degraded", ""), false, true},
		"no health of its objects, no change": {spec + since("10:00"), spec + since("10:00"), true, false},
		"no health of its objects, Degraded anew":     {spec + since("10:00"), spec + since("10:09"), false, true},
		"no health of its objects, nor when it began": {spec + "status: {health: {status: Degraded}}\n", spec + "status: {health: {status: Degraded}}\n", false, true},
		"healthy again": {health("Degraded", ""), spec + "status: {health: {status: Healthy}}\n", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, application := server(t, test.before)
			if _, err := application.Check(t.Context(), expected()); err != nil {
				t.Fatal(err)
			}
			found, err := parse(object(t, test.after))
			if err != nil {
				t.Fatal(err)
			}
			if ended, err := application.judge(found, 0, func(string) {}); ended != (found.Status.Health.Status == healthy) || err != nil {
				t.Errorf("at once: ended %t, %v", ended, err)
			}
			if ended, err := application.judge(found, time.Minute, func(string) {}); ended != test.ended || release.IsBadRelease(err) != test.bad {
				t.Errorf("after a minute: ended %t, %v", ended, err)
			}
		})
	}
}

// TestTheApplicationChangesMeanwhile: a change of the Application is noticed when it comes.
func TestTheApplicationChangesMeanwhile(t *testing.T) {
	t.Parallel()
	s, application := server(t, strings.Replace(status("Synced", ours.String(), "Succeeded", ours.String(), "", "Synced"), "Healthy", "Progressing", 1))
	var lines []string
	err := application.Healthy(t.Context(), func(line string) {
		if lines = append(lines, line); len(lines) == 1 {
			s.Put(object(t, status("Synced", ours.String(), "Succeeded", ours.String(), "", "Synced")))
		}
	})
	if diff := cmp.Diff([]string{"Argo CD calls it Progressing", `Application "argocd/shop" is healthy`}, lines); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	s.Remove(object(t, spec))
	if err := application.Healthy(t.Context(), func(string) {}); release.ExitCode(err) != release.ExitFailed {
		t.Errorf("deleted: %v", err)
	}
}
