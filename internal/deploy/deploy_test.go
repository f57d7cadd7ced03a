package deploy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting/settingtest"
)

func TestRun(t *testing.T) {
	t.Parallel()
	fakes := &fakes{revision: commit.String(), pods: []release.PodImage{{Pod: "shop-1", Digest: image(t, "a").Digest}}}
	result, log, err := fakes.run(t, "--values", "one.yaml", "--values", "two.yaml", "--set", "config.A=1")
	if err != nil {
		t.Fatal(err)
	}
	if result.Outcome != release.Changed || result.Revision != 7 || result.URL != "http://127.0.0.1" || result.Digest != image(t, "a").Digest {
		t.Errorf("got %+v", result)
	}
	want := release.Deployment{Name: "shop", Namespace: "staging", Environment: "staging", Images: []release.BuiltImage{{Image: image(t, "a"), Commit: commit}}, Commit: commit,
		Chart: "/tree/charts/service", ValuesFiles: []string{"/tree/one.yaml", "/tree/two.yaml"}, Set: []string{"config.A=1"}, Actor: "a person", RunURL: "https://example.com/run/1"}
	if diff := cmp.Diff(want, fakes.got, cmp.AllowUnexported(release.Digest{})); diff != "" {
		t.Errorf("deployment -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"acquire Lease", "deploy", "hook Job/migrate", "watch Deployment/shop", "address service/shop", "mark 7 ready", "release Lease"}, fakes.done); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !strings.Contains(log, "Deployment/shop 1/2") {
		t.Errorf("no progress in:\n%s", log)
	}
}

func TestPreflightFailureChangesNothing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fakes *fakes
		flags []string
		exit  int
		want  string
	}{
		"a chart outside the work tree":        {&fakes{outside: "charts/service"}, nil, release.ExitInput, "--chart: \"charts/service\" is outside"},
		"values outside the work tree":         {&fakes{outside: "../x.yaml"}, []string{"--values", "../x.yaml"}, release.ExitInput, "--values: "},
		"an invalid chart":                     {&fakes{checkErr: release.BadInput("chart", "is not a chart", "")}, nil, release.ExitInput, "is not a chart"},
		"a template that fails":                {&fakes{renderErr: release.BadInput("chart", "cannot be rendered", "")}, nil, release.ExitInput, "cannot be rendered"},
		"an image that is not in its registry": {&fakes{absent: true}, nil, release.ExitFailed, "is not in its registry"},
		"an image of another commit":           {&fakes{revision: "x"}, []string{"--commit", commit.String()}, release.ExitFailed, `is labelled with revision "x"`},
		"objects that may not be applied":      {&fakes{noKinds: &release.Fault{Side: "cluster", Err: errors.New("may not patch deployments.apps")}}, nil, release.ExitFault, "may not patch"},
		"a cluster that does not answer":       {&fakes{noAccess: &release.Fault{Side: "cluster", Err: errors.New("connection refused")}}, nil, release.ExitFault, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := test.fakes.run(t, test.flags...)
			if release.ExitCode(err) != test.exit || !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("got %v (exit %d), want exit %d and %q", err, release.ExitCode(err), test.exit, test.want)
			}
			if len(test.fakes.done) > 0 {
				t.Errorf("done nevertheless: %v", test.fakes.done)
			}
		})
	}
}

func TestRunFailsWhenPodsRunAnotherDigest(t *testing.T) {
	t.Parallel()
	fakes := &fakes{pods: []release.PodImage{{Pod: "shop-1", Digest: image(t, "b").Digest}}}
	result, _, err := fakes.run(t)
	if release.ExitCode(err) != release.ExitFailed || !result.Digest.IsZero() {
		t.Errorf("got %v and digest %q, want a failure and none", err, result.Digest)
	}
}

// TestEveryImageIsProved: each image's pods are compared with it, and one that only a hook runs is not looked for.
func TestEveryImageIsProved(t *testing.T) {
	t.Parallel()
	worker := "worker=localhost:5000/team/worker@sha256:" + strings.Repeat("b", 64)
	fakes := &fakes{podsOf: map[string][]release.PodImage{
		"team/shop":   {{Pod: "shop-1", Digest: image(t, "a").Digest}},
		"team/worker": {{Pod: "worker-1", Digest: image(t, "b").Digest}},
	}}
	result, log, err := fakes.run(t, "--image", worker)
	if err != nil {
		t.Fatal(err)
	}
	want := []deploy.ImageResult{{Image: image(t, "a"), Commit: commit, Digest: image(t, "a").Digest, Pods: []string{"shop-1"}},
		{Name: "worker", Image: fakes.got.Images[1].Image, Commit: commit, Digest: image(t, "b").Digest, Pods: []string{"worker-1"}}}
	if diff := cmp.Diff(want, result.Images, cmp.AllowUnexported(release.Digest{})); diff != "" || result.Digest != image(t, "a").Digest || len(result.Pods) != 2 {
		t.Errorf("-want +got:\n%s\n%s", diff, log)
	}
	fakes.podsOf["team/worker"][0].Digest = image(t, "a").Digest
	if result, _, err := fakes.run(t, "--image", worker); release.ExitCode(err) != release.ExitFailed || !result.Images[1].Digest.IsZero() {
		t.Errorf("pods that run another image than the worker's: got %v, %+v", err, result.Images)
	}
	fakes.onlyHooks = "worker"
	if result, log, err := fakes.run(t, "--image", worker); err != nil || !strings.Contains(log, "no workload runs localhost:5000/team/worker@") || !result.Images[1].Digest.IsZero() {
		t.Errorf("got %v, %+v\n%s", err, result.Images, log)
	}
	fakes.loose = true // the pods that the cluster shows of it are compared, and run another image
	if _, _, err := fakes.run(t, "--image", worker); release.ExitCode(err) != release.ExitFailed {
		t.Errorf("a custom resource's pods run another image: got %v", err)
	}
	fakes.noWorkloads = "team/worker"
	if result, log, err := fakes.run(t, "--image", worker); err != nil || !strings.Contains(log, "warning: Workflow/shop names localhost:5000/team/worker@") || !result.Images[1].Digest.IsZero() {
		t.Errorf("got %v, %+v\n%s", err, result.Images, log)
	}
}

// TestAReleaseThatRunsItsImageInNoPodIsNotVerified: only a hook or a text names the main image, so that nothing is proved.
func TestAReleaseThatRunsItsImageInNoPodIsNotVerified(t *testing.T) {
	t.Parallel()
	fakes := &fakes{onlyHooks: "main"}
	_, log, err := fakes.run(t)
	if err != nil || !strings.Contains(log, "not marked as verified") || slices.ContainsFunc(fakes.done, func(done string) bool { return strings.HasPrefix(done, "mark") }) {
		t.Errorf("got %v and %q:\n%s", err, fakes.done, log)
	}
}

// TestAnIdleReleaseIsNotVerified: scaled to zero or only scheduled, it is deployed, and no rollback returns to an image that has never run. A further
// image that is idle does not change what the main one's pods prove, nor do pods of a Job that has ended.
func TestAnIdleReleaseIsNotVerified(t *testing.T) {
	t.Parallel()
	worker := "worker=localhost:5000/team/worker@sha256:" + strings.Repeat("b", 64)
	right := []release.PodImage{{Pod: "shop-1", Digest: image(t, "a").Digest}}
	for name, test := range map[string]struct {
		fakes *fakes
		flags []string
		marks []string
		warns bool
	}{
		"the release":          {&fakes{idle: true, pods: []release.PodImage{}}, nil, nil, true},
		"a further image":      {&fakes{idle: true, pods: []release.PodImage{}, podsOf: map[string][]release.PodImage{"team/shop": right}, labels: map[release.Digest]string{image(t, "b").Digest: commit.String()}}, []string{"--image", worker}, []string{"7 ready"}, false},
		"a Job that has ended": {&fakes{idle: true, pods: right}, nil, []string{"7 ready"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, log, err := test.fakes.run(t, test.flags...)
			if err != nil || result.Outcome != release.Changed || strings.Contains(log, "is not used as a rollback target") != test.warns {
				t.Errorf("got outcome %q, %v\n%s", result.Outcome, err, log)
			}
			if diff := cmp.Diff(test.marks, test.fakes.marks()); diff != "" {
				t.Errorf("-want +got:\n%s\n%s", diff, log)
			}
		})
	}
}

// TestAnIdleReleaseIsNotAsked: without a public address nothing could answer for it; what answers at an address may do so without pods.
func TestAnIdleReleaseIsNotAsked(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		noURL, asked bool
	}{"without an address": {true, false}, "at its address": {false, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fakes := &fakes{idle: true, pods: []release.PodImage{}, noURL: test.noURL}
			_, log, err := fakes.run(t, "--smoke-checks", "default")
			asked := slices.ContainsFunc(fakes.done, func(done string) bool { return strings.HasPrefix(done, "smoke ") })
			if err != nil || asked != test.asked || strings.Contains(log, "no request is sent: the workloads are scaled to zero") == test.asked || len(fakes.marks()) > 0 {
				t.Errorf("got %v, did %q\n%s", err, fakes.done, log)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	good, other := "localhost:5000/shop@sha256:"+strings.Repeat("a", 64), "localhost:5000/worker@sha256:"+strings.Repeat("b", 64)
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"nothing":                              {nil, "--environment: is required; give NAME\n--image: is required"},
		"heal without a release":               {[]string{"--environment", "staging", "--heal"}, "--release: is missing"},
		"a job that ends sooner":               {[]string{"--environment", "staging", "--image", good, "--timeout", "10m", "--job-timeout", "10m"}, "is too short for a deploy of 10 minutes"},
		"a lease of half seconds":              {[]string{"--environment", "staging", "--image", good, "--lease-duration", "1500ms"}, "whole seconds"},
		"an account of letters":                {[]string{"--environment", "staging", "--image", good, "--expect-account", "me"}, "twelve digits"},
		"an account without an EKS cluster":    {[]string{"--environment", "staging", "--image", good, "--expect-account", "123456789012"}, "applies only to an EKS cluster"},
		"unpin and allow-rollback":             {[]string{"--environment", "staging", "--image", good, "--unpin", "--allow-rollback"}, "together with --allow-rollback"},
		"heal and dry-run":                     {[]string{"--environment", "staging", "--release", "shop", "--heal", "--dry-run"}, "together with --dry-run"},
		"compare-values without dry-run":       {[]string{"--environment", "staging", "--image", good, "--compare-values", "x.yaml"}, "used by a dry run only"},
		"a tag":                                {[]string{"--environment", "staging", "--image", "localhost:5000/shop:latest"}, "carries no digest"},
		"a namespace that is no DNS label":     {[]string{"--environment", "staging", "--image", good, "--namespace", "No_Label"}, "is not a DNS label"},
		"a set without =":                      {[]string{"--environment", "staging", "--image", good, "--set", "a"}, "is not path=value"},
		"a path set twice":                     {[]string{"--environment", "staging", "--image", good, "--set", "a.b=hunter2", "--set", "a.b=hunter3"}, `"a.b" is given twice, by values 1 and 2 of 2`},
		"a path of JSON set twice":             {[]string{"--environment", "staging", "--image", good, "--set-json", "a=1", "--set-json", "a=2"}, `"a" is given twice`},
		"a secret value given twice":           {[]string{"--environment", "staging", "--image", good, "--secret-values", "a=ssm://x", "--secret-values", "a=ssm://y"}, `"a" is given twice, by "a=ssm://x" and "a=ssm://y"`},
		"a login given twice":                  {[]string{"--environment", "staging", "--image", good, "--chart-login", "h=u:hunter2", "--chart-login", "h=u:hunter3"}, `"h" is given twice`},
		"values beside the image":              {[]string{"--environment", "staging", "--image", good, "--set", "image.pullPolicy=Always", "--set", "image.tag=x"}, "<nil>"},
		"a release name of 53 characters":      {[]string{"--environment", "staging", "--image", good, "--release", strings.Repeat("a", 53)}, "<nil>"},
		"a release name of 54 characters":      {[]string{"--environment", "staging", "--image", good, "--release", strings.Repeat("a", 54)}, "at most 53"},
		"two images without a name":            {[]string{"--environment", "staging", "--image", good, "--image", other}, "--image: is given 2 times without a name; give each further image a name: NAME="},
		"only a named image":                   {[]string{"--environment", "staging", "--image", "web=" + good}, "the release has no main image"},
		"two images of one name":               {[]string{"--environment", "staging", "--image", good, "--image", "w=" + other, "--image", "w=" + strings.Replace(other, "worker", "third", 1)}, `"w" is the name of two images`},
		"two images of one repository":         {[]string{"--environment", "staging", "--image", good, "--image", "w=" + strings.ReplaceAll(good, "aaaa", "bbbb")}, "localhost:5000/shop is claimed by two images"},
		"an alias that is another's":           {[]string{"--environment", "staging", "--image", good, "--image", "w=" + other, "--image-alias", "shop", "--image-alias", "w=docker.io/library/shop"}, "docker.io/library/shop is claimed by two images"},
		"a value for two images":               {[]string{"--environment", "staging", "--image", good, "--image", "w=" + other, "--image-values", "image", "--image-values", "w=image"}, "image is claimed by two images"},
		"an alias with a tag":                  {[]string{"--environment", "staging", "--image", good, "--image-alias", "shop:1"}, "carries a tag or a digest"},
		"an alias of no image":                 {[]string{"--environment", "staging", "--image", good, "--image-alias", "w=shop"}, `there is no image "w"`},
		"a path that is none":                  {[]string{"--environment", "staging", "--image", good, "--image-values", "a..b"}, "is not a path of the chart's values"},
		"a repository that is no release name": {[]string{"--environment", "staging", "--image", strings.Replace(good, "shop", "my_shop", 1)}, "cannot be derived from the image"},
		"a negative timeout":                   {[]string{"--environment", "staging", "--image", good, "--timeout", "-1s"}, "is not above zero"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := settingtest.Apply(new(deploy.Settings).Declare(), test.args...)
			if !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
