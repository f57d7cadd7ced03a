package build_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting/settingtest"
)

var origin = fact.Origin{By: "octocat", Run: "https://github.com/example/shop/actions/runs/1", Builder: "https://github.com/example/shop/.github/workflows/a.yaml@refs/heads/main"}

// recording builds with facts that are recorded.
func (f *fakeDeps) recording(t *testing.T, facts *releasetest.Facts, flags ...string) (build.Result, error) {
	t.Helper()
	var settings build.Settings
	if err := settingtest.Apply(settings.Declare(), append([]string{"--repository", "localhost:5000/shop"}, flags...)...); err != nil {
		t.Fatal(err)
	}
	return build.Run(t.Context(), settings, build.Deps{WorkTree: f, Builder: f, Registry: fakeRegistry{f}, Workspace: f, Facts: facts, Origin: origin, Reporter: f.told(),
		Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC) }})
}

// TestABuildIsRecordedBeforeItsTag: the tag says that the record is there, so a run that ends in between is repeated.
func TestABuildIsRecordedBeforeItsTag(t *testing.T) {
	t.Parallel()
	f, facts := cleanTree(t), new(releasetest.Facts)
	f.source.URL = "https://github.com/example/shop"
	lost := errors.New("lost")
	facts.Err = lost
	if result, err := f.recording(t, facts); !errors.Is(err, lost) || !result.Digest.IsZero() {
		t.Fatalf("got %+v, %v", result, err)
	}
	if _, tagged := f.pushed[release.Tag(commit)]; tagged {
		t.Error("the tag was set although the build is not recorded")
	}
	facts.Err = nil
	facts.OnRecord = func() {
		if _, tagged := f.pushed[release.Tag(commit)]; tagged {
			t.Error("the tag was set before the build was recorded")
		}
	}
	result, err := f.recording(t, facts)
	if err != nil || result.Outcome != release.Created || result.Record.IsZero() || len(facts.Recorded) != 1 || f.builds != 2 {
		t.Fatalf("got %+v, %v, recorded %v", result, err, facts.Recorded)
	}
	if f.pushed[release.Tag(commit)].Digest != result.Digest {
		t.Errorf("the tag names %s", f.pushed[release.Tag(commit)].Digest)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	want := fact.Fact{Kind: fact.Built, Image: result.Image, Commit: commit, By: origin.By, Run: origin.Run, At: at,
		Build: &fact.Build{Type: fact.BuildType, Source: f.source.URL, Builder: origin.Builder, Recipe: facts.Recorded[0].Build.Recipe, Inputs: facts.Recorded[0].Build.Inputs, Platforms: []string{"linux/amd64"}, StartedAt: at}}
	if diff := cmp.Diff(want, facts.Recorded[0], cmp.Comparer(func(a, b release.Digest) bool { return a == b })); diff != "" || want.Build.Recipe.IsZero() || want.Build.Inputs == "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	result, err = f.recording(t, facts)
	if err != nil || result.Outcome != release.Reused || !result.Record.IsZero() || len(facts.Recorded) != 1 {
		t.Errorf("a reused image: got %+v, %v, recorded %v", result, err, facts.Recorded)
	}
}

// TestOnlyWhatIsBuiltIsRecorded: neither uncommitted work, nor another build's image, nor an adopted one.
func TestOnlyWhatIsBuiltIsRecorded(t *testing.T) {
	t.Parallel()
	other := release.ImageInfo{Digest: releasetest.Digest(t, "b"), Revision: commit.String(), Recipe: `{"builder":"go","main":"."}`}
	for name, test := range map[string]struct {
		change   func(*fakeDeps)
		flags    []string
		recorded int
		want     release.Digest
	}{
		"uncommitted work":                       {func(f *fakeDeps) { f.source.Changed, f.differences = []string{"a"}, []release.Difference{{Path: "a"}} }, []string{"--allow-dirty"}, 0, releasetest.Digest(t, "a")},
		"an earlier build":                       {func(f *fakeDeps) { f.pushed[release.Tag(commit)] = other }, nil, 0, other.Digest},
		"another build meanwhile, which is used": {func(f *fakeDeps) { f.otherTag = other }, nil, 1, other.Digest},
		"an adopted image": {func(f *fakeDeps) {
			f.elsewhere = map[release.Image]release.ImageInfo{release.Repository("localhost:5000/other").At(other.Digest): other}
		}, []string{"--adopt", "localhost:5000/other@" + other.Digest.String()}, 0, other.Digest},
	} {
		f, facts := cleanTree(t), new(releasetest.Facts)
		test.change(f)
		result, err := f.recording(t, facts, test.flags...)
		if err != nil || len(facts.Recorded) != test.recorded || result.Digest != test.want || !result.Record.IsZero() {
			t.Errorf("%s: got %+v, %v, recorded %v", name, result, err, facts.Recorded)
		}
	}
}

// TestAnImageThatIsThereIsRecorded: an image that was pushed without a key is recorded by a later run that builds the same digest again, once.
func TestAnImageThatIsThereIsRecorded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change   func(*fakeDeps)
		builds   int // in the run with a key
		recorded bool
		want     string // in the log
	}{
		"the same digest":   {func(*fakeDeps) {}, 1, true, "building it again gives the same digest"},
		"another digest":    {func(f *fakeDeps) { f.digest = releasetest.Digest(t, "b") }, 1, false, "warning: nothing is recorded of"},
		"changed inputs":    {func(f *fakeDeps) { f.differences = []release.Difference{{Path: "main.go"}} }, 0, false, "which cannot be built again"},
		"changed meanwhile": {func(f *fakeDeps) { f.changing = []release.Difference{{Path: "main.go"}} }, 1, false, "which cannot be built again"},
		"another builder": {func(f *fakeDeps) {
			f.chosen = "docker"
			f.pushed[release.Tag(commit)] = release.ImageInfo{Digest: f.digest, Revision: commit.String(), Recipe: `{"builder":"docker","main":"."}`}
		}, 0, false, "the docker builder need not make the same image again"},
		"an earlier commit's image": {func(f *fakeDeps) {
			f.source.Commit, f.files, f.ancestors = parent, map[release.Commit]string{parent: "", commit: ""}, []release.Commit{commit}
			if _, err := f.run(t); err != nil {
				t.Fatal(err)
			}
		}, 0, false, "check out commit " + commit.Short() + ", which it was built from"},
	} {
		f, facts, log := cleanTree(t), new(releasetest.Facts), new(told)
		first, err := f.run(t)
		if err != nil {
			t.Fatal(err)
		}
		test.change(f)
		f.reporter, f.builds = log, 0
		for run := range 2 {
			result, err := f.recording(t, facts)
			if err != nil || result.Digest != first.Digest || result.Outcome != release.Reused || f.pushed[result.Tag].Digest != first.Digest {
				t.Errorf("%s: got %+v, %v", name, result, err)
			}
			if run == 0 && (f.builds != test.builds || result.Record.IsZero() == test.recorded) {
				t.Errorf("%s: %d builds, record %s", name, f.builds, result.Record)
			}
			if recorded := len(facts.Recorded) == 1; recorded != test.recorded || recorded && f.builds > 1 {
				t.Errorf("%s: recorded %v after %d builds", name, facts.Recorded, f.builds)
			}
		}
		if !strings.Contains(log.text, test.want) {
			t.Errorf("%s: got\n%s\nwant %q", name, log.text, test.want)
		}
	}
}

// listing has the SBOM of every image that is built.
type listing struct {
	given, listed fact.SBOM
	err           error // of what is built
	names         []string
}

func (l *listing) ReadSBOM(file string) (fact.SBOM, time.Time, error) {
	if file != "sbom.json" {
		return fact.SBOM{}, time.Time{}, release.BadSetting("sbom-file", "is missing", "")
	}
	return l.given, time.Time{}, nil
}

func (l *listing) ListContents(_ context.Context, _ string, _ release.Recipe, _ release.Layout, name string) (fact.SBOM, time.Time, error) {
	l.names = append(l.names, name)
	return l.listed, time.Unix(1, 0), l.err
}

// TestAnSBOMIsAttachedBeforeTheTag: what was given or else listed, once, by the run that tags the image.
func TestAnSBOMIsAttachedBeforeTheTag(t *testing.T) {
	t.Parallel()
	given, listed := fact.SBOM{Document: []byte("given")}, fact.SBOM{Document: []byte("listed")}
	other := release.ImageInfo{Digest: releasetest.Digest(t, "b"), Revision: commit.String(), Recipe: `{"builder":"go","main":"."}`}
	image := release.Repository("localhost:5000/other").At(other.Digest)
	adopt := []string{"--adopt", image.String()}
	for name, test := range map[string]struct {
		flags  []string
		change func(*fakeDeps)
		err    error // of the list
		want   string
		code   int
	}{
		"a build":                         {want: "listed"},
		"an SBOM of another program":      {flags: []string{"--sbom-file", "sbom.json"}, want: "given"},
		"a file that is not there":        {flags: []string{"--sbom-file", "no.json"}, code: release.ExitInput},
		"nothing to list":                 {err: errors.New("nothing")},
		"nothing to list, and asked for":  {flags: []string{"--sbom", "on"}, err: errors.New("nothing"), code: release.ExitInput},
		"uncommitted work":                {flags: []string{"--allow-dirty"}, change: func(f *fakeDeps) { f.source.Changed, f.differences = []string{"a"}, []release.Difference{{Path: "a"}} }},
		"an image that is there":          {change: func(f *fakeDeps) { f.pushed[release.Tag(commit)] = other }},
		"an adopted image":                {flags: adopt},
		"an adopted image with an SBOM":   {flags: append([]string{"--sbom-file", "sbom.json"}, adopt...), want: "given"},
		"an image that is adopted again":  {flags: append([]string{"--sbom-file", "sbom.json"}, adopt...), change: func(f *fakeDeps) { f.pushed[release.Tag(commit)] = other }},
		"an adopted image with a bad one": {flags: append([]string{"--sbom-file", "no.json"}, adopt...), code: release.ExitInput},
	} {
		f, facts, lists := cleanTree(t), new(releasetest.Facts), &listing{given: given, listed: listed, err: test.err}
		f.elsewhere = map[release.Image]release.ImageInfo{image: other}
		if test.change != nil {
			test.change(f)
		}
		_, wasTagged := f.pushed[release.Tag(commit)]
		facts.OnRecord = func() {
			if _, tagged := f.pushed[release.Tag(commit)]; tagged {
				t.Errorf("%s: the tag was set before the SBOM was attached", name)
			}
		}
		var settings build.Settings
		if err := settingtest.Apply(settings.Declare(), append([]string{"--repository", "localhost:5000/team/shop"}, test.flags...)...); err != nil {
			t.Fatal(err)
		}
		result, err := build.Run(t.Context(), settings, build.Deps{WorkTree: f, Builder: f, Registry: fakeRegistry{f}, Workspace: f, SBOMs: lists, SBOMFacts: facts, Reporter: releasetest.DiscardReporter{}, Now: time.Now})
		if release.ExitCode(err) != test.code {
			t.Errorf("%s: got %v, want exit code %d", name, err, test.code)
		}
		if _, tagged := f.pushed[release.Tag(commit)]; tagged != (test.code == 0 || wasTagged) && len(f.source.Changed) == 0 || test.code != 0 && f.creations > 0 {
			t.Errorf("%s: tagged %t", name, tagged)
		}
		var got string
		for _, each := range facts.Recorded {
			got += string(each.SBOM.Document)
			if each.Kind != fact.Listed || each.Image != result.Image || each.Commit != "" {
				t.Errorf("%s: recorded %+v", name, each)
			}
		}
		if got != test.want || result.SBOM.IsZero() != (test.want == "") {
			t.Errorf("%s: attached %q, result %s, want %q", name, got, result.SBOM, test.want)
		}
		for _, each := range lists.names {
			if each != "shop" {
				t.Errorf("%s: listed as %q", name, each)
			}
		}
	}
}

// TestSBOMSettingsThatContradict are bad input.
func TestSBOMSettingsThatContradict(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{{"--sbom", "off"}, {"--find", "x"}} {
		err := settingtest.Apply(new(build.Settings).Declare(), append([]string{"--repository", "localhost/shop", "--sbom-file", "a.json"}, flags...)...)
		if release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), "--sbom-file") {
			t.Errorf("%q: got %v", flags, err)
		}
	}
}
