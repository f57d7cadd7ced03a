package matrix_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/setting/settingtest"
)

// job is the settings of a verb of this test.
type job struct{ Environment, Repository, Context, Cluster, Timeout, Release, To, Commit string }

// declare declares them; a list of images if several are true.
func declare(images *[]string, several bool) func(*job) *setting.Set {
	return func(j *job) *setting.Set {
		set := new(setting.Set)
		for name, target := range map[string]*string{"environment": &j.Environment, "repository": &j.Repository, "context": &j.Context, "cluster": &j.Cluster,
			"timeout": &j.Timeout, "release": &j.Release, "to": &j.To, "commit": &j.Commit} {
			setting.Var(set, target, setting.Setting{Name: name}, setting.Text)
		}
		own := new([]string)
		if several {
			setting.List(set, own, setting.Setting{Name: "image"}, setting.Text)
		} else {
			one := new(string)
			setting.Var(set, one, setting.Setting{Name: "image"}, setting.Text)
			set.Check(func() error { *own = []string{*one}; return nil })
		}
		set.Check(func() error {
			if images != nil {
				*images = append(*images, strings.Join(*own, " "))
			}
			return nil
		})
		return set
	}
}

const services = `
deploy: {timeout: "1", context: "{environment}-{service}"}
services:
  - name: cart
    repository: r.example.com/cart
    build: {context: "services/{service}"}
    deploy: {timeout: "2"}
  - name: worker
    repository: r.example.com/worker
    part-of: cart
    build: {context: services/worker}
  - name: shop
    repository: r.example.com/shop
    release: front
environments:
  - name: staging
  - name: production
    deploy: {timeout: "3"}
    waves:
      - name: canary
        clusters: [{cluster: one}]
      - clusters: [{name: west, cluster: two}, {cluster: three}]
`

func digest(t testing.TB, letter string) release.Digest {
	t.Helper()
	digest, err := release.ParseDigest("sha256:" + strings.Repeat(letter, 64))
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func digests(t testing.TB) map[string]release.Digest {
	return map[string]release.Digest{"cart": digest(t, "a"), "worker": digest(t, "b"), "shop": digest(t, "c")}
}

func inputs(pairs ...string) setting.Values {
	values := setting.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values[pairs[i]] = setting.Input{Texts: []string{pairs[i+1]}}
	}
	return values
}

// titles lists waves and jobs, with a setting of each.
func titles(waves []matrix.Wave[job], show func(job) string) (lines []string) {
	for _, wave := range waves {
		for _, one := range wave.Jobs {
			lines = append(lines, wave.Name+": "+one.Title+" "+show(one.Settings))
		}
	}
	return lines
}

func TestServicesBecomeTheJobsOfEachVerb(t *testing.T) {
	t.Parallel()
	var images []string
	for name, test := range map[string]struct {
		verb    string
		several bool
		options matrix.Options
		show    func(job) string
		want    []string
		images  []string // of the last jobs
	}{
		"build": {"build", false, matrix.Options{Inputs: inputs("context", ".")}, func(j job) string { return j.Repository + " " + j.Context },
			[]string{"all: cart r.example.com/cart services/cart", "all: worker r.example.com/worker services/worker", "all: shop r.example.com/shop ."}, nil},
		"deploy": {"deploy", true, matrix.Options{Digests: digests(t), Inputs: inputs("environment", "production", "timeout", "0")},
			func(j job) string { return j.Cluster + " " + j.Timeout + " " + j.Context + " " + j.Release },
			[]string{"canary: one/cart one 3 production-cart cart", "canary: one/shop one 3 production-shop front", "wave 2: west/cart two 3 production-cart cart",
				"wave 2: west/shop two 3 production-shop front", "wave 2: three/cart three 3 production-cart cart", "wave 2: three/shop three 3 production-shop front"},
			[]string{"r.example.com/cart@" + digest(t, "a").String() + " worker=r.example.com/worker@" + digest(t, "b").String(), "r.example.com/shop@" + digest(t, "c").String()}},
		"a verb of one image": {"smoke", false, matrix.Options{Digests: digests(t), Inputs: inputs("environment", "staging"), Services: []string{"worker"}},
			func(j job) string { return j.Environment }, []string{"staging: cart staging"}, []string{"r.example.com/cart@" + digest(t, "a").String()}},
		"promote": {"promote", false, matrix.Options{Digests: digests(t), Inputs: inputs("to", "production")}, func(j job) string { return j.To + j.Repository },
			[]string{"all: cart production", "all: worker production", "all: shop production"}, []string{"r.example.com/shop@" + digest(t, "c").String()}},
		"promote by commit": {"promote", false, matrix.Options{Inputs: inputs("commit", "abc"), Services: []string{"shop"}}, func(j job) string { return j.Repository + " " + j.Commit },
			[]string{"all: shop r.example.com/shop abc"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			images = nil
			waves, err := matrix.Parse(matrix.Verb[job]{Name: test.verb, Declare: declare(&images, test.several)}, "m.yaml", []byte(services), test.options)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, titles(waves, test.show)); diff != "" {
				t.Error(diff)
			}
			if got := images[len(images)-len(test.images):]; len(test.images) > 0 && !cmp.Equal(test.images, got) {
				t.Errorf("got images %q, want %q", got, test.images)
			}
		})
	}
}

// TestTheProcesssSettingsAreNotTheJobs: what the process alone has, such as its role, is given beside a file and reaches no job.
func TestTheProcesssSettingsAreNotTheJobs(t *testing.T) {
	t.Parallel()
	options := matrix.Options{Inputs: inputs("environment", "staging", "role", "arn:aws:iam::123456789012:role/x", "audience", "x", "output", "json", "only-of-the-process", "x"), Digests: digests(t)}
	if _, err := matrix.Parse(matrix.Verb[job]{Name: "deploy", Declare: declare(nil, true), Title: func(job) string { return "" }}, "x.yaml", []byte(services), options); err != nil {
		t.Error(err)
	}
}

func TestParseReportsAllProblems(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text, verb string
		options    matrix.Options
		want       []string
	}{
		"services": {`
services:
  - {name: a, repository: r.example.com/a}
  - {name: a, repository: r.example.com/a2}
  - {name: b, repository: r.example.com/a}
  - {name: C, repository: r.example.com/c}
  - {name: d, repository: "no repository"}
  - {name: e, repository: r.example.com/e, part-of: nobody}
`, "build", matrix.Options{Services: []string{"zzz"}, Digests: digests(t)}, []string{`service "a" is listed twice`, `services "a" and "b" have the same repository`,
			`m.yaml:6: the name of service 4`, `m.yaml:7: the repository of service "d"`, `m.yaml:8: "e" is part of "nobody"`, `there is no service "zzz"`, `there is no service "shop", but --digests names it`}},
		"keys": {`
services:
  - name: a
    repository: r.example.com/a
    deploy: {colour: red, environment: x, matrix: y, timeout: {a: b}}
environments:
  - name: staging
    clusters: [{timeout: "1", cluster: x}]
`, "deploy", matrix.Options{Inputs: inputs("environment", "staging"), Digests: map[string]release.Digest{"a": digest(t, "a")}},
			[]string{`m.yaml:5: there is no setting "colour"`, `"environment" applies to the whole matrix`, `"matrix" applies`, `"timeout" takes a value or a list`, `m.yaml:8: "timeout" is not a setting of a cluster`}},
		"an environment twice": {"services: [{name: a, repository: r.example.com/a}]\nenvironments: [{name: staging, clusters: [{name: eu, kubeconfig: k}]}, {name: staging, clusters: [{name: us, kubeconfig: k}]}]", "smoke",
			matrix.Options{Inputs: inputs("environment", "staging"), Digests: map[string]release.Digest{"a": digest(t, "a")}}, []string{`environment "staging" is listed twice`}},
		"two documents":  {services + "---\nservices: []\n", "build", matrix.Options{}, []string{"has more than one document"}},
		"digests":        {services, "deploy", matrix.Options{Inputs: inputs("environment", "staging")}, []string{`no digest is given for service "cart"`, `no digest is given for service "worker"`, `"shop": give --digests`}},
		"no environment": {services, "smoke", matrix.Options{}, []string{"name one with --environment"}},
		"another":        {services, "smoke", matrix.Options{Inputs: inputs("environment", "qa")}, []string{`there is no environment "qa"`}},
		"trust":          {"services: [{name: a, repository: r.example.com/a, promote: {from: dev, max-age: 9000h, verify-key: ''}}]", "promote", matrix.Options{Inputs: inputs("commit", "a")}, []string{`"from" applies`, `"max-age" applies`, `"verify-key" applies`}},
		"rejections and signatures": {"services: [{name: a, repository: r.example.com/a, promote: {reject: bad, lift-rejection: good, legacy-signatures: warn}}]", "promote",
			matrix.Options{Inputs: inputs("commit", "a")}, []string{`"reject" applies`, `"lift-rejection" applies`, `"legacy-signatures" applies`}},
		"a role": {"services: [{name: a, repository: r.example.com/a, promote: {role: 'arn:aws:iam::123456789012:role/x', audience: x}}]", "promote",
			matrix.Options{Inputs: inputs("commit", "a")}, []string{`"role" applies`, `"audience" applies`}},
		"deploys elsewhere": {"waves: [{deploys: [{environment: a}]}]", "build", matrix.Options{}, []string{"lists deploys, which build does not take"}},
		"both":              {"waves: [{deploys: [{environment: a}]}]\nservices: [{name: a}]", "deploy", matrix.Options{}, []string{"has both waves of deploys and services"}},
		"nothing":           {"", "build", matrix.Options{}, []string{"has no services"}},
		"a typing error":    {"servces: []", "build", matrix.Options{}, []string{"field servces not found"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := matrix.Parse(matrix.Verb[job]{Name: test.verb, Declare: declare(nil, true)}, "m.yaml", []byte(test.text), test.options)
			if release.ExitCode(err) != release.ExitInput {
				t.Errorf("got %v", err)
			}
			for _, want := range test.want {
				if !strings.Contains(fmt.Sprint(err), want) {
					t.Errorf("got %v\nwant %q", err, want)
				}
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(services), "deploy")
	f.Add([]byte("services: [{name: a, repository: b.example.com/a, build: &x {context: .}, promote: *x}]"), "build")
	f.Fuzz(func(t *testing.T, text []byte, verb string) {
		options := matrix.Options{Inputs: inputs("environment", "staging", "to", "production"), Digests: digests(t)}
		waves, err := matrix.Parse(matrix.Verb[job]{Name: verb, Declare: declare(nil, true), Title: func(job) string { return "" }}, "x.yaml", text, options)
		if err != nil && release.ExitCode(err) != release.ExitInput {
			t.Errorf("%v is not bad input", err)
		}
		if err == nil && len(waves) == 0 {
			t.Error("no jobs and no error")
		}
	})
}

// silent is a reporter that keeps nothing.
type silent struct{ release.Reporter }

func (silent) Infof(string, ...any) {}
func (silent) Warnf(string, ...any) {}

type result struct {
	matrix.Part
	Done bool
}

// TestAFailureDoesNotHideOthers: every job of a wave runs, each error has its job's title, and later waves run unless a failure stops them.
func TestAFailureDoesNotHideOthers(t *testing.T) {
	t.Parallel()
	waves := []matrix.Wave[string]{
		{Name: "one", Jobs: []matrix.Job[string]{{Title: "a", Part: matrix.Part{Service: "a"}, Settings: "works"}, {Title: "b", Part: matrix.Part{Service: "b"}, Settings: "fails"}, {Title: "c", Settings: "works"}}},
		{Name: "two", Jobs: []matrix.Job[string]{{Title: "d", Settings: "works"}}},
	}
	for _, stops := range []bool{false, true} {
		var running, most atomic.Int32
		runner := matrix.Runner[string, string, result]{
			Jobs: "jobs", Concurrency: 2, Stops: stops,
			Prepare: func(_ context.Context, settings string, _ release.Reporter) (string, error) { return settings, nil },
			Run: func(_ context.Context, settings string) (result, error) {
				most.Store(max(most.Load(), running.Add(1)))
				defer running.Add(-1)
				if settings == "fails" {
					return result{}, &release.Refusal{Why: "it is not\nallowed"}
				}
				return result{Done: true}, nil
			},
			Label: func(r *result, part matrix.Part) { r.Part = part },
		}
		results, skipped, err := runner.RunAll(t.Context(), waves, silent{})
		want := []result{{Part: matrix.Part{Service: "a"}, Done: true}, {Part: matrix.Part{Service: "b", Error: "refused: it is not\nallowed"}}, {Done: true}}
		if !stops {
			want = append(want, result{Done: true})
		}
		if diff := cmp.Diff(want, results); diff != "" || (skipped == 1) != stops || most.Load() > 2 {
			t.Errorf("stops %t: skipped %d, %d at once\n%s", stops, skipped, most.Load(), diff)
		}
		if fmt.Sprint(err) != "b: refused: it is not\nb: allowed" || release.ExitCode(err) != release.ExitFailed {
			t.Errorf("got %v", err)
		}
	}
}

// TestBadInputAfterOthersHaveRun: exit code 2 says that nothing was changed, which is not so if another job has run.
func TestBadInputAfterOthersHaveRun(t *testing.T) {
	t.Parallel()
	failures := map[string]error{"works": nil, "bad": release.BadInput("a", "b", "c"), "refused": &release.Refusal{Why: "no"}, "fault": &release.Fault{Side: "AWS", Err: errors.New("away")}}
	runner := matrix.Runner[string, string, result]{
		Prepare: func(_ context.Context, settings string, _ release.Reporter) (string, error) { return settings, nil },
		Run:     func(_ context.Context, settings string) (result, error) { return result{}, failures[settings] },
		Label:   func(*result, matrix.Part) {},
	}
	for jobs, want := range map[string]int{"works": release.ExitDone, "bad": release.ExitInput, "bad bad": release.ExitInput, "bad works": release.ExitFailed, "bad refused": release.ExitFailed,
		"bad fault": release.ExitFault, "works bad fault": release.ExitFault, "fault refused bad": release.ExitFailed} {
		var waves []matrix.Wave[string]
		for job := range strings.FieldsSeq(jobs) {
			waves = append(waves, matrix.Wave[string]{Jobs: []matrix.Job[string]{{Title: job, Settings: job}}})
		}
		if _, _, err := runner.RunAll(t.Context(), waves, silent{}); release.ExitCode(err) != want {
			t.Errorf("%s: got %v, exit code %d, want %d", jobs, err, release.ExitCode(err), want)
		}
	}
}

// TestNothingRunsIfAJobCannotBePrepared.
func TestNothingRunsIfAJobCannotBePrepared(t *testing.T) {
	t.Parallel()
	runner := matrix.Runner[string, string, result]{
		Prepare: func(_ context.Context, settings string, _ release.Reporter) (string, error) {
			if settings == "bad" {
				return "", errors.New("is bad")
			}
			return settings, nil
		},
		Run: func(context.Context, string) (result, error) { t.Error("a job runs"); return result{}, nil },
	}
	_, _, err := runner.RunAll(t.Context(), []matrix.Wave[string]{{Jobs: []matrix.Job[string]{{Title: "a", Settings: "good"}, {Title: "b", Settings: "bad"}, {Title: "c", Settings: "bad"}}}}, silent{})
	if fmt.Sprint(err) != "b: is bad\nc: is bad" {
		t.Errorf("got %v", err)
	}
}

// TestAServicesDigestIsGivenOnce: JSON with a key twice would let the last one win.
func TestAServicesDigestIsGivenOnce(t *testing.T) {
	t.Parallel()
	a, b := digest(t, "a"), digest(t, "b")
	for text, want := range map[string]string{
		fmt.Sprintf(`{"shop": %q, "cart": %q}`, a, b):                "",
		fmt.Sprintf(`{"shop": %q, "cart": %q, "shop": %q}`, a, b, b): `service "shop" is given twice`,
	} {
		set, options := new(setting.Set), new(matrix.Options)
		options.Declare(set, true)
		err := settingtest.Apply(set, "--matrix", "m.yaml", "--digests", text)
		if (err == nil) != (want == "") || !strings.Contains(fmt.Sprint(err), want) && want != "" {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
