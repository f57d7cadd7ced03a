package build_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

const commit = releasetest.Commit

// bench is everything around build: a tree, a builder and a registry that take notes.
type bench struct {
	source release.Source
	held   map[release.Tag]release.ImageInfo
	faster release.ImageInfo // what another build pushes just before us
	makes  release.Digest
	built  int
	strays []string
	recipe release.Recipe // that was built last
}

func (b *bench) Inspect(context.Context, string, string) (release.Source, error) {
	return b.source, nil
}
func (b *bench) Strays(context.Context, string, []string) ([]string, error) { return b.strays, nil }
func (b *bench) Inputs(context.Context, string, release.Recipe) ([]string, error) {
	return []string{"/tree/main.go"}, nil
}
func (b *bench) Inside(path string) (string, error) { return "/tree/" + path, nil }
func (b *bench) Scratch() (string, func(), error)   { return "/scratch", func() {}, nil }

func (b *bench) Choose(builder string, _ release.Recipe) (string, error) { return "go", nil }

func (b *bench) Build(_ context.Context, _ string, recipe release.Recipe, dir string) (release.Layout, error) {
	b.built++
	b.recipe = recipe
	return release.Layout{Dir: dir, Digest: b.makes}, nil
}

func (b *bench) Find(_ context.Context, _ release.Repository, tag release.Tag) (release.ImageInfo, bool, error) {
	tagged, found := b.held[tag]
	return tagged, found, nil
}

func (b *bench) Push(_ context.Context, layout release.Layout, _ release.Repository, tag release.Tag, _ func(release.Progress)) error {
	if !b.faster.Digest.IsZero() {
		b.held[tag] = b.faster
	}
	if tagged, taken := b.held[tag]; taken && tagged.Digest != layout.Digest {
		return &release.TagTakenError{Tag: tag, Holds: tagged.Digest, Wanted: layout.Digest}
	}
	b.held[tag] = release.ImageInfo{Digest: layout.Digest, Revision: b.recipe.Source.Revision()}
	return nil
}

func (b *bench) run(t *testing.T, flags ...string) (build.Result, error) {
	t.Helper()
	var settings build.Settings
	if err := settings.Declare().Parse(append([]string{"--repository", "localhost:5000/shop"}, flags...), nil); err != nil {
		t.Fatal(err)
	}
	return build.Run(t.Context(), settings, build.Deps{WorkTree: b, Builder: b, Registry: b, Workspace: b, Reporter: releasetest.DiscardReporter{},
		Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC) }})
}

func clean(t *testing.T) *bench {
	return &bench{source: release.Source{Commit: commit}, held: map[release.Tag]release.ImageInfo{}, makes: releasetest.Digest(t, "a")}
}

func TestRunBuildsOnceAndReusesAfterwards(t *testing.T) {
	t.Parallel()
	b := clean(t)
	for _, want := range []release.Outcome{release.Created, release.Reused, release.Reused} {
		result, err := b.run(t)
		if err != nil || result.Outcome != want || result.Digest != releasetest.Digest(t, "a") || result.Tag != release.Tag(commit) || result.Reused != (want == release.Reused) {
			t.Errorf("got %+v, %v; want %q", result, err, want)
		}
	}
	if b.built != 1 {
		t.Errorf("the builder ran %d times, want once", b.built)
	}
}

func TestRunTakesTheFasterBuildersImage(t *testing.T) {
	t.Parallel()
	b := clean(t)
	b.faster = release.ImageInfo{Digest: releasetest.Digest(t, "b"), Revision: commit.String()}
	result, err := b.run(t)
	if err != nil || result.Digest != releasetest.Digest(t, "b") || !result.Reused {
		t.Errorf("got %+v, %v; want the digest that the registry holds", result, err)
	}
}

func TestRunRefusesATagOfAnotherRevision(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*bench){
		"before": func(b *bench) {
			b.held[release.Tag(commit)] = release.ImageInfo{Digest: releasetest.Digest(t, "c"), Revision: "somebody's"}
		},
		"within": func(b *bench) {
			b.faster = release.ImageInfo{Digest: releasetest.Digest(t, "c"), Revision: "somebody's"}
		},
	} {
		b := clean(t)
		spoil(b)
		_, err := b.run(t)
		var refusal *release.Refusal
		if !errors.As(err, &refusal) || !strings.Contains(err.Error(), `revision "somebody's"`) {
			t.Errorf("%s: got %v, want a refusal that names the other revision", name, err)
		}
	}
}

func TestRunAndADirtyTree(t *testing.T) {
	t.Parallel()
	b := clean(t)
	b.source.Changed = []string{"main.go"}
	_, err := b.run(t)
	if release.ExitCode(err) != release.ExitInput || !strings.Contains(fmt.Sprint(err), "main.go") {
		t.Errorf("got %v, want bad input that names main.go", err)
	}
	if b.built != 0 || len(b.held) != 0 {
		t.Error("something was built or pushed for a refused tree")
	}
	result, err := b.run(t, "--allow-dirty")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(result.Tag.String(), release.DirtyMark) || result.Tag == release.Tag(commit) {
		t.Errorf("tag %q does not say that the tree was dirty", result.Tag)
	}
	if _, err := release.ParseTag(result.Tag.String()); err != nil {
		t.Error(err)
	}
	if revision := b.held[result.Tag].Revision; revision == commit.String() {
		t.Errorf("a dirty image is labelled as the commit's: %q", revision)
	}
}

func TestRunRefusesSourcesThatTheCommitDoesNotHold(t *testing.T) {
	t.Parallel()
	b := clean(t)
	b.strays = []string{"gen/ignored.go"}
	_, err := b.run(t)
	if release.ExitCode(err) != release.ExitInput || !strings.Contains(fmt.Sprint(err), "gen/ignored.go") || b.built != 0 || len(b.held) != 0 {
		t.Errorf("got %v after %d builds, want bad input that names the file before any", err, b.built)
	}
	result, err := b.run(t, "--allow-dirty")
	if err != nil || !strings.Contains(result.Tag.String(), release.DirtyMark) || b.held[result.Tag].Revision == commit.String() {
		t.Errorf("got %+v, %v; want a dirty tag and label", result, err)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no repository":          {nil, "--repository (INPUT_REPOSITORY): is required"},
		"a malformed repository": {[]string{"--repository", "Shop"}, "--repository: "},
		"a main outside":         {[]string{"--repository", "localhost/shop", "--main", "../other"}, "leads out of the context"},
		"a main that is a flag":  {[]string{"--repository", "localhost/shop", "--main=-exec=x"}, "is not relative"},
		"an absolute dockerfile": {[]string{"--repository", "localhost/shop", "--dockerfile", "/etc/passwd"}, "is not relative"},
		"a stamped label":        {[]string{"--repository", "localhost/shop", "--labels", release.AnnotationRevision + "=x"}, "is stamped from the commit"},
		"a build arg without =":  {[]string{"--repository", "localhost/shop", "--build-args", "x"}, `"x"… is not name=value`},
		"an unknown builder":     {[]string{"--repository", "localhost/shop", "--builder", "podman"}, "is none of auto, go, docker"},
		"a malformed platform":   {[]string{"--repository", "localhost/shop", "--platforms", "linux"}, "is not a platform"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := new(build.Settings).Declare().Parse(test.args, nil)
			if !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
