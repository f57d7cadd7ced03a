package build_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/setting/settingtest"
)

const commit = releasetest.Commit

// fakeDeps are all of build's adapters; they record what was built and pushed.
type fakeDeps struct {
	creations   int   // calls of CreateRepository
	createErr   error // of a repository that was created
	source      release.Source
	pushed      map[release.Tag]release.ImageInfo
	otherBuild  release.ImageInfo // what another build pushes just before this one
	otherTag    release.ImageInfo // what another build tags before this one inspects the tag, in a repository whose tags can be moved
	digest      release.Digest    // of the image that the builder builds
	builds      int
	fetched     []release.Image // bases
	fetchErr    error
	differences []release.Difference
	changing    []release.Difference // what differs once the image was built
	created     []string             // files that are inputs once the image was built
	recipe      release.Recipe       // of the last build
	files       map[release.Commit]string
	ancestors   []release.Commit
	elsewhere   map[release.Image]release.ImageInfo // images of other programs
	shallow     bool                                // the history lacks the ancestors' objects
	found       []release.Tag
	unknown     release.Commit // that git does not know
	cutOff      bool           // the history is
	noTree      error
	chosen      string           // builder; "": go
	reporter    release.Reporter // nil: one that shows nothing
}

func (f *fakeDeps) Inspect(context.Context, string, string) (release.Source, error) {
	return f.source, nil
}
func (f *fakeDeps) Object(_ context.Context, _ string, of release.Commit) ([32]byte, bool, error) {
	return [32]byte{of.String()[0]}, !f.shallow && of != f.unknown, f.noTree
}
func (f *fakeDeps) IsShallow(context.Context, string) (bool, error) { return f.cutOff, f.noTree }
func (f *fakeDeps) Fingerprint(_ context.Context, _ string, of release.Commit, _ release.Inputs) (string, error) {
	return f.files[of], nil
}
func (f *fakeDeps) Ancestors(context.Context, string, release.Commit, int) ([]release.Commit, error) {
	return f.ancestors, nil
}
func (f *fakeDeps) Differences(_ context.Context, _ string, _ release.Commit, inputs release.Inputs) ([]release.Difference, error) {
	differences := slices.Clone(f.differences)
	for _, file := range inputs.Files {
		if file != "/tree/main.go" {
			differences = append(differences, release.Difference{Kind: release.NotInCommit, Path: file})
		}
	}
	return differences, nil
}
func (f *fakeDeps) Inputs(context.Context, string, release.Recipe) (release.Inputs, error) {
	inputs := release.Inputs{Files: []string{"/tree/main.go"}}
	if f.builds > 0 {
		inputs.Files = append(inputs.Files, f.created...)
	}
	return inputs, nil
}
func (f *fakeDeps) Inside(path string) (string, error) { return "/tree/" + path, nil }
func (f *fakeDeps) Scratch() (string, func(), error)   { return "/scratch", func() {}, nil }

func (f *fakeDeps) Choose(builder string, _ release.Recipe) (string, error) {
	return cmp.Or(f.chosen, "go"), nil
}

func (f *fakeDeps) Settings(builder string, recipe release.Recipe) (release.RecipeSettings, error) {
	settings := release.RecipeSettings{"builder": builder, "main": recipe.Main}
	for name, value := range recipe.BuildArgs {
		settings["build-args "+name] = fmt.Sprint(recipe.Source.Object[0], value)
	}
	return settings, nil
}

func (f *fakeDeps) Build(_ context.Context, _ string, recipe release.Recipe, dir string) (release.Layout, error) {
	f.builds++
	f.differences = append(f.differences, f.changing...)
	f.recipe = recipe
	return release.Layout{Dir: dir, Digest: f.digest}, nil
}

func (f *fakeDeps) Find(_ context.Context, _ release.Repository, tag release.Tag) (release.ImageInfo, bool, error) {
	f.found = append(f.found, tag)
	tagged, found := f.pushed[tag]
	return tagged, found, nil
}

func (f *fakeDeps) CreateRepository(context.Context, release.Repository) (bool, error) {
	f.creations++
	return true, f.createErr
}

// fakeRegistry has the registry's Inspect, as fakeDeps has the work tree's.
type fakeRegistry struct{ *fakeDeps }

func (r fakeRegistry) Inspect(_ context.Context, _ release.Repository, digest release.Digest, tag release.Tag) (release.TagState, error) {
	if !r.otherTag.Digest.IsZero() {
		r.pushed[tag] = r.otherTag
	}
	for _, image := range r.pushed {
		if image.Digest == digest {
			return release.TagState{Found: true, Revision: image.Revision, TagDigest: r.pushed[tag].Digest}, nil
		}
	}
	return release.TagState{}, nil
}

func (r fakeRegistry) Describe(_ context.Context, image release.Image) (release.ImageInfo, bool, error) {
	described, found := r.elsewhere[image]
	return described, found, nil
}

func (r fakeRegistry) Copy(_ context.Context, image release.Image, to release.Repository, _ func(release.Progress)) error {
	r.pushed["copied"] = r.elsewhere[image]
	return nil
}

func (r fakeRegistry) Tag(_ context.Context, _ release.Repository, _ release.TagState, digest release.Digest, tag release.Tag) error {
	if !r.otherBuild.Digest.IsZero() {
		r.pushed[tag] = r.otherBuild
	}
	if tagged, taken := r.pushed[tag]; taken && tagged.Digest != digest && r.otherTag.Digest.IsZero() {
		return &release.TagTakenError{Tag: tag, Holds: tagged.Digest, Wanted: digest}
	}
	for _, image := range r.pushed {
		if image.Digest == digest {
			r.pushed[tag] = image
		}
	}
	return nil
}

func (f *fakeDeps) Fetch(_ context.Context, image release.Image, platforms []release.Platform, dir string) (release.Layout, error) {
	f.fetched = append(f.fetched, image)
	return release.Layout{Dir: dir, Digest: image.Digest}, f.fetchErr
}

func (f *fakeDeps) Push(_ context.Context, layout release.Layout, _ release.Repository, tag release.Tag, _ func(release.Progress)) error {
	if !f.otherBuild.Digest.IsZero() {
		f.pushed[tag] = f.otherBuild
	}
	if tagged, taken := f.pushed[tag]; taken && tagged.Digest != layout.Digest {
		return &release.TagTakenError{Tag: tag, Holds: tagged.Digest, Wanted: layout.Digest}
	}
	f.pushed[tag] = release.ImageInfo{Digest: layout.Digest, Revision: f.recipe.Source.Revision(), Recipe: f.recipe.Settings.Encode(), Inputs: f.recipe.Inputs}
	return nil
}

func (f *fakeDeps) run(t *testing.T, flags ...string) (build.Result, error) {
	t.Helper()
	var settings build.Settings
	if err := settingtest.Apply(settings.Declare(), append([]string{"--repository", "localhost:5000/shop"}, flags...)...); err != nil {
		t.Fatal(err)
	}
	return build.Run(t.Context(), settings, build.Deps{WorkTree: f, Builder: f, Registry: fakeRegistry{f}, Workspace: f, Reporter: f.told(),
		Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC) }})
}

func cleanTree(t *testing.T) *fakeDeps {
	return &fakeDeps{source: release.Source{Commit: commit}, pushed: map[release.Tag]release.ImageInfo{}, digest: releasetest.Digest(t, "a")}
}

func TestRunBuildsOnceAndReusesAfterwards(t *testing.T) {
	t.Parallel()
	f := cleanTree(t)
	for _, want := range []release.Outcome{release.Created, release.Reused, release.Reused} {
		result, err := f.run(t)
		if err != nil || result.Outcome != want || result.Digest != releasetest.Digest(t, "a") || result.Tag != release.Tag(commit) || result.Reused != (want == release.Reused) {
			t.Errorf("got %+v, %v; want %q", result, err, want)
		}
	}
	if f.builds != 1 {
		t.Errorf("the builder ran %d times, want once", f.builds)
	}
}

// TestARepositoryIsCreatedForAnImage: not for a build that is refused, and what it has is not told if its policy could not be set.
func TestARepositoryIsCreatedForAnImage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*fakeDeps)
		flags  []string
		want   int
	}{
		"a clean tree": {func(*fakeDeps) {}, nil, 1},
		"uncommitted changes": {func(f *fakeDeps) {
			f.source.Changed, f.differences = []string{"a.go"}, []release.Difference{{Path: "a.go"}}
		}, nil, 0},
		"no image to adopt": {func(*fakeDeps) {}, []string{"--adopt", "localhost:5000/elsewhere@" + releasetest.Digest(t, "d").String()}, 0},
	} {
		f := cleanTree(t)
		test.change(f)
		if _, err := f.run(t, append([]string{"--create-repository"}, test.flags...)...); f.creations != test.want || (err == nil) != (test.want > 0) {
			t.Errorf("%s: created %d times, %v", name, f.creations, err)
		}
	}
	f, log := cleanTree(t), new(told)
	f.createErr, f.reporter = errors.New("no policy"), log
	if _, err := f.run(t, "--create-repository"); !errors.Is(err, f.createErr) || strings.Contains(log.text, "created repository") {
		t.Errorf("got %v, told %q", err, log.text)
	}
}

func (f *fakeDeps) told() release.Reporter {
	return cmp.Or[release.Reporter](f.reporter, releasetest.DiscardReporter{})
}

// told is a reporter that keeps what it is told.
type told struct {
	releasetest.DiscardReporter
	text string
}

func (t *told) Infof(format string, args ...any) { t.text += fmt.Sprintf(format+"\n", args...) }
func (t *told) Warnf(format string, args ...any) { t.Infof("warning: "+format, args...) }

func TestRunUsesTheImageThatAnotherBuildPushedFirst(t *testing.T) {
	t.Parallel()
	f := cleanTree(t)
	f.otherBuild = release.ImageInfo{Digest: releasetest.Digest(t, "b"), Revision: commit.String(), Recipe: `{"builder":"go","main":"."}`}
	result, err := f.run(t)
	if err != nil || result.Digest != releasetest.Digest(t, "b") || !result.Reused {
		t.Errorf("got %+v, %v; want the digest that the registry holds", result, err)
	}
}

func TestRunRefusesATagOfAnotherRevision(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*fakeDeps){
		"before": func(f *fakeDeps) {
			f.pushed[release.Tag(commit)] = release.ImageInfo{Digest: releasetest.Digest(t, "c"), Revision: "somebody's"}
		},
		"within": func(f *fakeDeps) {
			f.otherBuild = release.ImageInfo{Digest: releasetest.Digest(t, "c"), Revision: "somebody's"}
		},
	} {
		f := cleanTree(t)
		change(f)
		_, err := f.run(t)
		var refusal *release.Refusal
		if !errors.As(err, &refusal) || !strings.Contains(err.Error(), `revision "somebody's"`) {
			t.Errorf("%s: got %v, want a refusal that names the other revision", name, err)
		}
	}
}

// TestRunRefusesAnImageOfAnotherRecipe: what the commit's tag names may be another service's image, or another platform's.
func TestRunRefusesAnImageOfAnotherRecipe(t *testing.T) {
	t.Parallel()
	for recipe, want := range map[string]string{
		`{"builder":"go","main":"cmd/worker"}`:           `main is "cmd/worker" there and "." here`,
		`{"builder":"docker","dockerfile":"Dockerfile"}`: `builder is "docker" there and "go" here; dockerfile is "Dockerfile" there and not set here; main is not set there and "." here`,
		``:     "not with the settings that it was built with, so it cannot be compared with the requested build",
		`gone`: "whose annotation onedigest.dev/recipe cannot be read",
	} {
		tagged := release.ImageInfo{Digest: releasetest.Digest(t, "b"), Revision: commit.String(), Recipe: recipe}
		for name, change := range map[string]func(*fakeDeps){
			"before": func(f *fakeDeps) { f.pushed[release.Tag(commit)] = tagged },
			"within": func(f *fakeDeps) { f.otherBuild = tagged },
		} {
			f := cleanTree(t)
			change(f)
			_, err := f.run(t)
			var refusal *release.Refusal
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "a repository of its own") {
				t.Errorf("%s, %s: got %v, want a refusal with %s", recipe, name, err, want)
			}
			if f.pushed[release.Tag(commit)] != tagged || name == "before" && f.builds != 0 {
				t.Errorf("%s, %s: after %d builds the tag names %s", recipe, name, f.builds, f.pushed[release.Tag(commit)].Digest)
			}
		}
	}
}

// TestRunFetchesTheBaseOnlyToBuild: a reuse needs no base, and a base that cannot be had stops the build before it begins.
func TestRunFetchesTheBaseOnlyToBuild(t *testing.T) {
	t.Parallel()
	f := cleanTree(t)
	base := "localhost:5000/base@" + releasetest.Digest(t, "e").String()
	for range 2 {
		if _, err := f.run(t, "--base", base); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.fetched) != 1 || f.fetched[0].String() != base || f.recipe.Base != f.fetched[0] || f.recipe.BaseLayout.Digest != f.fetched[0].Digest {
		t.Errorf("fetched %v and built on %+v", f.fetched, f.recipe.BaseLayout)
	}
	f = cleanTree(t)
	f.fetchErr = release.BadSetting("base", "no image for it", "")
	if _, err := f.run(t, "--base", base); !errors.Is(err, f.fetchErr) || f.builds != 0 || len(f.pushed) != 0 {
		t.Errorf("got %v after %d builds, want %v", err, f.builds, f.fetchErr)
	}
}

func TestRunRefusesADirtyTree(t *testing.T) {
	t.Parallel()
	f := cleanTree(t)
	f.source.Changed = []string{"main.go"}
	f.differences = []release.Difference{{Path: "main.go"}}
	_, err := f.run(t)
	if release.ExitCode(err) != release.ExitInput || !strings.Contains(fmt.Sprint(err), "main.go") {
		t.Errorf("got %v, want bad input that names main.go", err)
	}
	if f.builds != 0 || len(f.pushed) != 0 {
		t.Error("something was built or pushed for a refused tree")
	}
	result, err := f.run(t, "--allow-dirty")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(result.Tag.String(), release.DirtyMark) || result.Tag == release.Tag(commit) {
		t.Errorf("tag %q does not say that the tree was dirty", result.Tag)
	}
	if _, err := release.ParseTag(result.Tag.String()); err != nil {
		t.Error(err)
	}
	if revision := f.pushed[result.Tag].Revision; revision == commit.String() {
		t.Errorf("a dirty image is labelled as the commit's: %q", revision)
	}
}

// A change that the commit's image lacks is refused also if that image exists; one of a file that enters no image is not.
func TestRunRefusesOnlyChangesOfInputs(t *testing.T) {
	t.Parallel()
	f := cleanTree(t)
	f.source.Changed = []string{"README.md"}
	for _, want := range []release.Outcome{release.Created, release.Reused} {
		result, err := f.run(t)
		if err != nil || result.Outcome != want || result.Tag != release.Tag(commit) || f.pushed[result.Tag].Revision != commit.String() {
			t.Errorf("got %+v, %v, want the commit's image %s", result, err, want)
		}
	}
	f.differences = []release.Difference{{Path: "main.go"}}
	if _, err := f.run(t); release.ExitCode(err) != release.ExitInput {
		t.Errorf("got %v for a changed input whose commit has an image, want bad input", err)
	}
}

func TestRunRefusesInputsThatAreNotTheCommits(t *testing.T) {
	t.Parallel()
	f := cleanTree(t)
	f.differences = []release.Difference{{Kind: release.NotInCommit, Path: "gen/ignored.go"}, {Kind: release.MissingFile, Path: "../lib/lib.go"},
		{Kind: release.OtherSubmodule, Path: "../sub", Note: "at abc"}}
	_, err := f.run(t)
	var input *release.InputError
	if !errors.As(err, &input) || len(input.Problems) != 3 || f.builds != 0 || len(f.pushed) != 0 {
		t.Fatalf("got %v after %d builds, want a problem for each kind before any", err, f.builds)
	}
	for _, want := range []string{"gen/ignored.go", "../lib/lib.go", "../sub: at abc", "git checkout -- PATH", "git submodule update", "--allow-dirty"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to contain %q", err, want)
		}
	}
	result, err := f.run(t, "--allow-dirty")
	if err != nil || !strings.Contains(result.Tag.String(), release.DirtyMark) || f.pushed[result.Tag].Revision == commit.String() {
		t.Errorf("got %+v, %v; want a dirty tag and label", result, err)
	}
}

// A change during the build is refused also where changes are allowed, because the image is labelled as the commit's by then.
func TestRunRefusesInputsThatChangeMeanwhile(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*fakeDeps){
		"main.go": func(f *fakeDeps) {
			f.changing = []release.Difference{{Kind: release.DifferentContent, Path: "main.go"}}
		},
		"new.go": func(f *fakeDeps) { f.created = []string{"/tree/new.go"} },
	} {
		for _, flags := range [][]string{nil, {"--allow-dirty"}} {
			f := cleanTree(t)
			change(f)
			_, err := f.run(t, flags...)
			if release.ExitCode(err) != release.ExitInput || !strings.Contains(fmt.Sprint(err), name) || f.builds != 1 || len(f.pushed) != 0 {
				t.Errorf("%s, %v: got %v after %d builds, %d images; want bad input and nothing pushed", name, flags, err, f.builds, len(f.pushed))
			}
			if !strings.Contains(fmt.Sprint(err), "build again") || strings.Contains(fmt.Sprint(err), "--allow-dirty") {
				t.Errorf("%s, %v: got %v, want the advice to build again", name, flags, err)
			}
		}
	}
}

// An image that says that the tree was dirty stays true whatever else changes.
func TestRunPushesADirtyImageWhateverChangesMeanwhile(t *testing.T) {
	t.Parallel()
	f := cleanTree(t)
	f.differences = []release.Difference{{Path: "main.go"}}
	f.created = []string{"/tree/new.go"}
	if result, err := f.run(t, "--allow-dirty"); err != nil || !strings.Contains(result.Tag.String(), release.DirtyMark) {
		t.Errorf("got %+v, %v", result, err)
	}
}

// The commit's image lacks a change outside the context, and is not what was asked for.
func TestRunDoesNotReuseTheCommitsImageForAChangeOutsideTheContext(t *testing.T) {
	t.Parallel()
	f := cleanTree(t)
	if _, err := f.run(t); err != nil {
		t.Fatal(err)
	}
	f.differences = []release.Difference{{Kind: release.DifferentContent, Path: "../lib/lib.go"}}
	result, err := f.run(t, "--allow-dirty")
	if err != nil || result.Reused || f.builds != 2 || !strings.Contains(result.Tag.String(), release.DirtyMark) {
		t.Errorf("got %+v, %v after %d builds, want an image of its own", result, err, f.builds)
	}
}

func TestRunNamesAllDifferencesAtOnce(t *testing.T) {
	t.Parallel()
	f := cleanTree(t)
	f.differences = []release.Difference{{Path: "main.go"}, {Kind: release.MissingFile, Path: "page.html"}}
	for i := range 22 {
		f.differences = append(f.differences, release.Difference{Kind: release.NotInCommit, Path: fmt.Sprintf("gen/%02d.go", i)})
	}
	_, err := f.run(t)
	text := fmt.Sprint(err)
	if !strings.Contains(text, "(main.go)") || !strings.Contains(text, "(page.html)") || !strings.Contains(text, "gen/19.go, … and 2 more)") {
		t.Errorf("got %v, want the change, the missing file and 20 of the 22 files that are not in the commit", err)
	}
}

func TestTheUserHasAGroup(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{"": "", "1000": "1000:1000", "1000:0": "1000:0", "0": "0:0"} {
		f := cleanTree(t)
		var flags []string
		if given != "" {
			flags = []string{"--user", given}
		}
		if _, err := f.run(t, flags...); err != nil || f.recipe.User != want {
			t.Errorf("%q: got %q, %v, want %q", given, f.recipe.User, err, want)
		}
	}
}

// The remote's URL is no part of an image, and so whoever wants it gives it.
func TestTheSourceLabelCanBeGiven(t *testing.T) {
	t.Parallel()
	f := cleanTree(t)
	if _, err := f.run(t, "--labels", release.AnnotationSource+"=https://example.com/owner/shop"); err != nil {
		t.Fatal(err)
	}
	if got := f.recipe.Labels[release.AnnotationSource]; got != "https://example.com/owner/shop" {
		t.Errorf("got source %q, want the one that was given", got)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no repository":            {nil, "--repository: is required"},
		"a malformed repository":   {[]string{"--repository", "Shop"}, "--repository: "},
		"a main outside":           {[]string{"--repository", "localhost/shop", "--main", "../other"}, "is outside the context"},
		"a main that is a flag":    {[]string{"--repository", "localhost/shop", "--main=-exec=x"}, "is not relative"},
		"an absolute dockerfile":   {[]string{"--repository", "localhost/shop", "--dockerfile", "/etc/passwd"}, "is not relative"},
		"a dockerfile's flag":      {[]string{"--repository", "localhost/shop", "--dockerfile=-x"}, "is not relative"},
		"a reserved label":         {[]string{"--repository", "localhost/shop", "--labels", release.AnnotationRevision + "=x"}, "is set by the build"},
		"the recipe's label":       {[]string{"--repository", "localhost/shop", "--labels", release.AnnotationRecipe + "=x"}, "is set by the build"},
		"a secret without value":   {[]string{"--repository", "localhost/shop", "--secrets", "TOKEN="}, "is not ID=VALUE"},
		"a secret in two lines":    {[]string{"--repository", "localhost/shop", "--secrets", "TOKEN=x,src=/etc/shadow\x00"}, "holds a line break"},
		"a secret's ID":            {[]string{"--repository", "localhost/shop", "--secrets", "a/b=x"}, "is not ID=VALUE"},
		"an ssh flag":              {[]string{"--repository", "localhost/shop", "--ssh=--allow=x"}, "is neither the ID"},
		"a stage":                  {[]string{"--repository", "localhost/shop", "--target=a b"}, "is not the name of a stage"},
		"a context by URL":         {[]string{"--repository", "localhost/shop", "--build-contexts", "src=https://example.com/x.git"}, "could change between builds"},
		"a context's tag":          {[]string{"--repository", "localhost/shop", "--build-contexts", "base=docker-image://localhost/base:1"}, "carries no digest"},
		"an absolute context":      {[]string{"--repository", "localhost/shop", "--build-contexts", "src=/etc"}, "is not relative"},
		"a local cache":            {[]string{"--repository", "localhost/shop", "--cache-to", "type=local,dest=/etc"}, "does not begin with type=registry or type=gha"},
		"a cache without ref":      {[]string{"--repository", "localhost/shop", "--cache-from", "type=registry"}, "lacks ref="},
		"a cache's quote":          {[]string{"--repository", "localhost/shop", "--cache-from", "type=gha,scope=\"x"}, "is not a field"},
		"a cache's token":          {[]string{"--repository", "localhost/shop", "--cache-from", "type=gha,url=http://x"}, "is not a field"},
		"a cache's ref":            {[]string{"--repository", "localhost/shop", "--cache-from", "type=registry,ref=x y"}, "is not HOST/PATH:TAG"},
		"a build arg without =":    {[]string{"--repository", "localhost/shop", "--build-args", "x"}, "is not name=value"},
		"a base by its tag":        {[]string{"--repository", "localhost/shop", "--base", "localhost/base:1"}, "carries no digest"},
		"a linker's program":       {[]string{"--repository", "localhost/shop", "--ldflags=-extld=/bin/sh"}, "is not -X"},
		"a variable's name":        {[]string{"--repository", "localhost/shop", "--ldflags=-X version=1"}, "does not name a variable"},
		"a variable's quote":       {[]string{"--repository", "localhost/shop", "--ldflags=-X main.v=' -extld=x"}, "single quote"},
		"a variable's placeholder": {[]string{"--repository", "localhost/shop", "--ldflags=-X main.v=v{version}-{commit}"}, "has {version}, and only {commit} and {date} are replaced"},
		"two variables":            {[]string{"--repository", "localhost/shop", "--ldflags=-X main.x=1 -X main.y=2"}, "give ldflags once for each -X"},
		"a variable and a flag":    {[]string{"--repository", "localhost/shop", "--ldflags=-X main.x=1 -s -w"}, "has a further flag of the linker"},
		"files without commas":     {[]string{"--repository", "localhost/shop", "--files=templates=/src/templates static=/src/static"}, "separate them by commas"},
		"a variable's spaces":      {[]string{"--repository", "localhost/shop", "--ldflags=-X main.v -extld=x"}, "does not name a variable"},
		"a relative directory":     {[]string{"--repository", "localhost/shop", "--working-dir", "app"}, "is not an absolute path"},
		"a directory that climbs":  {[]string{"--repository", "localhost/shop", "--working-dir", "/app/.."}, "is not an absolute path"},
		"a user by name":           {[]string{"--repository", "localhost/shop", "--user", "nobody"}, "is not the number of a user"},
		"a user beyond":            {[]string{"--repository", "localhost/shop", "--user", "2147483648"}, "is not the number of a user"},
		"a user with two groups":   {[]string{"--repository", "localhost/shop", "--user", "1:2:3"}, "is not the number of a user"},
		"a user in octal":          {[]string{"--repository", "localhost/shop", "--user", "0100"}, "is not the number of a user"},
		"a user without a group":   {[]string{"--repository", "localhost/shop", "--user", "1:"}, "is not the number of a user"},
		"an unknown builder":       {[]string{"--repository", "localhost/shop", "--builder", "podman"}, "is not one of auto, go, docker"},
		"a malformed platform":     {[]string{"--repository", "localhost/shop", "--platforms", "linux"}, "is not a platform"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := settingtest.Apply(new(build.Settings).Declare(), test.args...)
			if !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestListsOfABuild: directories are separated by commas as tags are; a value of a variable may hold commas, spaces and what is no flag.
func TestListsOfABuild(t *testing.T) {
	t.Parallel()
	var settings build.Settings
	if err := settingtest.Apply(settings.Declare(), "--repository", "localhost/shop", "--files", "templates=/src/templates, static=/src/static", "--files", "web=/web",
		"--ldflags=-X main.x=-w", "--ldflags=-X main.y=a, b -c {\"d\": 1} {commit}"); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]setting.Pair{{Name: "templates", Value: "/src/templates"}, {Name: "static", Value: "/src/static"}, {Name: "web", Value: "/web"}}, settings.Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]setting.Pair{{Name: "main.x", Value: "-w"}, {Name: "main.y", Value: "a, b -c {\"d\": 1} {commit}"}}, settings.Stamps); diff != "" {
		t.Errorf("ldflags (-want +got):\n%s", diff)
	}
}

// TestANameIsGivenOnce: the second value of a name would replace the first in silence.
func TestANameIsGivenOnce(t *testing.T) {
	t.Parallel()
	for flag, test := range map[string]struct{ first, second, want string }{
		"--files":          {"web=/a", "web=/b", `"web" is given twice, by "web=/a" and "web=/b"`},
		"--labels":         {"team=a", "team=b", `"team" is given twice, by "team=a" and "team=b"`},
		"--build-args":     {"TOKEN=hunter2", "TOKEN=hunter3", `"TOKEN" is given twice, by values 1 and 2 of 2`},
		"--secrets":        {"npm=hunter2", "npm=hunter3", `"npm" is given twice, by values 1 and 2 of 2`},
		"--secret-files":   {"npm=a", "npm=b", `"npm" is given twice`},
		"--build-contexts": {"lib=a", "lib=b", `"lib" is given twice`},
		"--ssh":            {"default", "default=key", `"default" is given twice`},
		"--ldflags":        {"-X main.a=1", "-X=main.a=2", `"main.a" is given twice, by "-X main.a=1" and "-X=main.a=2"`},
	} {
		err := settingtest.Apply(new(build.Settings).Declare(), "--repository", "localhost/shop", flag+"="+test.first, flag+"="+test.second)
		if !strings.Contains(fmt.Sprint(err), flag+": "+test.want) || strings.Contains(fmt.Sprint(err), "hunter") {
			t.Errorf("%s: got %v, want %q", flag, err, test.want)
		}
	}
	if err := settingtest.Apply(new(build.Settings).Declare(), "--repository", "localhost/shop", "--labels", "a=1", "--labels", "b=1"); err != nil {
		t.Error(err)
	}
}
