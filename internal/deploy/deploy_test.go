package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
)

const commit = release.Commit("0123456789abcdef0123456789abcdef01234567")

func image(t *testing.T, c string) release.Image {
	t.Helper()
	i, err := release.ParseImage("localhost:5000/team/shop@sha256:" + strings.Repeat(c, 64))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// site is everything around deploy; it notes what was done, in order.
type site struct {
	done     []string
	outside  string // the path that is outside the work tree
	checkErr error
	absent   bool
	revision string
	noAccess error
	watchErr error
	pods     []release.PodImage
	got      release.Deployment
}

func (s *site) Inside(path string) (string, error) {
	if path == s.outside {
		return "", fmt.Errorf("%q is outside the work tree", path)
	}
	return "/tree/" + path, nil
}

func (s *site) Describe(context.Context, release.Image) (release.Tagged, bool, error) {
	return release.Tagged{Revision: s.revision}, !s.absent, nil
}

type chart struct{ *site }

func (c chart) Check(release.Deployment) error { return c.checkErr }

func (c chart) Deploy(_ context.Context, deployment release.Deployment) (release.Deployed, error) {
	c.done, c.got = append(c.done, "deploy"), deployment
	return release.Deployed{Outcome: release.Changed, Revision: 7, Objects: []release.Object{{Kind: "Deployment", Name: "shop"}}}, nil
}

type cluster struct{ *site }

func (c cluster) Check(context.Context, string, bool) error { return c.noAccess }

func (c cluster) Watch(_ context.Context, _ string, objects []release.Object, report func(release.RolloutStep)) error {
	c.done = append(c.done, "watch "+objects[0].String())
	report(release.RolloutStep{Object: objects[0], Ready: 1, Desired: 2})
	return c.watchErr
}

func (c cluster) Address(context.Context, string, string, func(string)) (string, error) {
	c.done = append(c.done, "address")
	return "http://127.0.0.1", nil
}

func (c cluster) Images(context.Context, string, string) ([]release.PodImage, error) {
	return c.pods, nil
}

// notebook is an account that can be read back.
type notebook struct{ lines []string }

func (n *notebook) Say(format string, args ...any) {
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}
func (n *notebook) Progress(string, release.Progress) {}
func (n *notebook) Untrusted(text string)             { n.lines = append(n.lines, "| "+text) }

func (s *site) run(t *testing.T, flags ...string) (deploy.Result, string, error) {
	t.Helper()
	var settings deploy.Settings
	if err := settings.Declare().Parse(append([]string{"--environment", "staging", "--image", image(t, "a").String()}, flags...), nil); err != nil {
		t.Fatal(err)
	}
	notebook := new(notebook)
	result, err := deploy.Run(t.Context(), settings, deploy.World{Workspace: s, Registry: s, Chart: chart{s}, Cluster: cluster{s}, Account: notebook, Actor: "a person"})
	return result, strings.Join(notebook.lines, "\n"), err
}

func TestRun(t *testing.T) {
	t.Parallel()
	site := &site{revision: commit.String(), pods: []release.PodImage{{Pod: "shop-1", Digest: image(t, "a").Digest}}}
	result, account, err := site.run(t, "--values", "one.yaml", "--values", "two.yaml", "--set", "config.A=1")
	if err != nil {
		t.Fatal(err)
	}
	if result.Outcome != release.Changed || result.Revision != 7 || result.URL != "http://127.0.0.1" || result.Digest != image(t, "a").Digest {
		t.Errorf("got %+v", result)
	}
	want := release.Deployment{Name: "shop", Namespace: "staging", Environment: "staging", Image: image(t, "a"), Commit: commit,
		Chart: "/tree/charts/service", ValuesFiles: []string{"/tree/one.yaml", "/tree/two.yaml"}, Set: []string{"config.A=1"}, Actor: "a person"}
	if diff := cmp.Diff(want, site.got, cmp.AllowUnexported(release.Digest{})); diff != "" {
		t.Errorf("deployment -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"deploy", "watch Deployment/shop", "address"}, site.done); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !strings.Contains(account, "Deployment/shop  1/2 ready") {
		t.Errorf("no progress in:\n%s", account)
	}
}

func TestRunChangesNothingBeforeEverythingIsChecked(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		site  *site
		flags []string
		exit  int
		want  string
	}{
		"a chart outside the work tree":  {&site{outside: "charts/service"}, nil, release.ExitInput, "--chart (INPUT_CHART): \"charts/service\" is outside"},
		"values outside the work tree":   {&site{outside: "../x.yaml"}, []string{"--values", "../x.yaml"}, release.ExitInput, "--values (INPUT_VALUES): "},
		"a chart that is none":           {&site{checkErr: release.BadInput("chart", "is not a chart", "")}, nil, release.ExitInput, "is not a chart"},
		"an image that is gone":          {&site{absent: true}, nil, release.ExitFailed, "is not in its registry"},
		"an image of another commit":     {&site{revision: "x"}, []string{"--commit", commit.String()}, release.ExitFailed, `is labelled with revision "x"`},
		"a cluster that does not answer": {&site{noAccess: &release.Fault{Side: "cluster", Err: errors.New("connection refused")}}, nil, release.ExitFault, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := test.site.run(t, test.flags...)
			if release.ExitCode(err) != test.exit || !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("got %v (exit %d), want exit %d and %q", err, release.ExitCode(err), test.exit, test.want)
			}
			if len(test.site.done) > 0 {
				t.Errorf("done all the same: %v", test.site.done)
			}
		})
	}
}

type stuck struct{ diagnosis release.Diagnosis }

func (s stuck) Error() string                { return s.diagnosis.Reason }
func (s stuck) Diagnosis() release.Diagnosis { return s.diagnosis }

func TestRunTellsWhyARolloutFails(t *testing.T) {
	t.Parallel()
	site := &site{watchErr: &release.Failure{What: "shop cannot become ready", Err: stuck{release.Diagnosis{
		Object: release.Object{Kind: "Pod", Name: "shop-1"}, Container: "app", Reason: "CrashLoopBackOff", Events: []string{"Back-off"}, Logs: []string{"panic: ::set-output"}}}}}
	_, account, err := site.run(t)
	if release.ExitCode(err) != release.ExitFailed {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"Pod/shop-1 app: CrashLoopBackOff", "| Back-off", "| panic: ::set-output"} {
		if !strings.Contains(account, want) {
			t.Errorf("no %q in:\n%s", want, account)
		}
	}
}

func TestRunFailsWhenThePodsRunAnotherDigest(t *testing.T) {
	t.Parallel()
	site := &site{pods: []release.PodImage{{Pod: "shop-1", Digest: image(t, "b").Digest}}}
	result, _, err := site.run(t)
	if release.ExitCode(err) != release.ExitFailed || !result.Digest.IsZero() {
		t.Errorf("got %v and digest %q, want a failure and none", err, result.Digest)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	good := "localhost:5000/shop@sha256:" + strings.Repeat("a", 64)
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"nothing":                 {nil, "--environment (INPUT_ENVIRONMENT): is required; give NAME\n--image (INPUT_IMAGE): is required"},
		"a tag":                   {[]string{"--environment", "staging", "--image", "localhost:5000/shop:latest"}, "carries no digest"},
		"a namespace no label":    {[]string{"--environment", "staging", "--image", good, "--namespace", "No_Label"}, "is not a DNS label"},
		"a set without =":         {[]string{"--environment", "staging", "--image", good, "--set", "a"}, "is not name=value"},
		"a set that unpins":       {[]string{"--environment", "staging", "--image", good, "--set", "image.digest=x"}, "would unpin the image"},
		"a release that is long":  {[]string{"--environment", "staging", "--image", good, "--release", strings.Repeat("a", 54)}, "at most 53"},
		"a repository no release": {[]string{"--environment", "staging", "--image", strings.Replace(good, "shop", "my_shop", 1)}, "cannot be derived from the image"},
		"a negative timeout":      {[]string{"--environment", "staging", "--image", good, "--timeout", "-1s"}, "is not above zero"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := new(deploy.Settings).Declare().Parse(test.args, nil)
			if !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
