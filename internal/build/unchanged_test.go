package build_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

// The commits before the one that is built, the nearest first.
var (
	parent      = release.Commit(strings.Repeat("b", 40))
	grandparent = release.Commit(strings.Repeat("c", 40))
)

// afterParent is a work tree whose commit has the inputs of its parent and grandparent, and a registry with the grandparent's image.
func afterParent(t *testing.T, flags ...string) *fakeDeps {
	t.Helper()
	f := cleanTree(t)
	f.files = map[release.Commit]string{commit: "same", parent: "same", grandparent: "same"}
	f.source = release.Source{Commit: grandparent, Object: [32]byte{grandparent[0]}}
	if _, err := f.run(t, flags...); err != nil {
		t.Fatal(err)
	}
	f.source, f.digest = release.Source{Commit: commit, Object: [32]byte{commit[0]}}, releasetest.Digest(t, "b")
	f.ancestors, f.found = []release.Commit{parent, grandparent}, nil
	return f
}

// A commit that changes nothing that enters the image gets the earlier image's digest, which keeps its commit, and so does each re-run.
func TestRunReusesTheImageOfAnUnchangedService(t *testing.T) {
	t.Parallel()
	f := afterParent(t)
	for range 2 {
		result, err := f.run(t)
		if err != nil || result.Digest != releasetest.Digest(t, "a") || result.Tag != release.Tag(commit) || result.Commit != grandparent || result.From != grandparent ||
			result.Outcome != release.Reused || !result.Reused || f.builds != 1 {
			t.Errorf("got %+v, %v after %d builds, want the earlier image under the new tag", result, err, f.builds)
		}
	}
	if tagged := f.pushed[release.Tag(commit)]; tagged.Digest != releasetest.Digest(t, "a") || tagged.Revision != grandparent.String() {
		t.Errorf("the tag names %+v", tagged)
	}
}

// The commit after next finds the image by the tag that the reuse added.
func TestRunReusesAReusedImage(t *testing.T) {
	t.Parallel()
	f := afterParent(t)
	f.source.Commit, f.ancestors, f.files[parent] = parent, []release.Commit{grandparent}, "same"
	if _, err := f.run(t); err != nil {
		t.Fatal(err)
	}
	f.source.Commit, f.ancestors, f.found = commit, []release.Commit{parent}, nil
	result, err := f.run(t)
	if err != nil || result.From != grandparent || f.builds != 1 {
		t.Errorf("got %+v, %v after %d builds", result, err, f.builds)
	}
}

// TestAReusedImageOfOtherSettings: the commit's tag names an earlier commit's image since it was reused, and the refusal lists what differs.
func TestAReusedImageOfOtherSettings(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*fakeDeps){"the same inputs": func(*fakeDeps) {}, "other inputs": func(f *fakeDeps) { f.files[commit] = "other" }} {
		f := afterParent(t, "--build-args", "a=1")
		if _, err := f.run(t, "--build-args", "a=1"); err != nil {
			t.Fatal(err)
		}
		change(f)
		_, err := f.run(t, "--main", "./cmd/other", "--build-args", "a=1")
		if release.ExitCode(err) != release.ExitFailed || !strings.Contains(fmt.Sprint(err), `was built with other settings: main is "." there and "./cmd/other" here; give the same settings`) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestRunBuildsAnew(t *testing.T) {
	t.Parallel()
	changed := releasetest.Digest(t, "e")
	for name, test := range map[string]struct {
		flags  []string
		change func(f *fakeDeps)
	}{
		"a changed input": {nil, func(f *fakeDeps) { f.files[commit] = "other" }},
		"another setting": {[]string{"--main", "./cmd/other"}, func(*fakeDeps) {}},
		"asked for":       {[]string{"--rebuild-unchanged"}, func(*fakeDeps) {}},
		"no history":      {nil, func(f *fakeDeps) { f.ancestors = nil }},
		"an image between with other inputs": {nil, func(f *fakeDeps) {
			f.pushed[release.Tag(parent)] = release.ImageInfo{Digest: changed, Revision: parent.String(), Inputs: "sha256:x", Recipe: `{"builder":"go","main":"."}`}
		}},
		"an image of an older onedigest": {nil, func(f *fakeDeps) {
			f.pushed[release.Tag(grandparent)] = release.ImageInfo{Digest: changed, Revision: grandparent.String(), Recipe: `{"builder":"go","main":"."}`}
		}},
		"an image that names no commit": {nil, func(f *fakeDeps) {
			image := f.pushed[release.Tag(grandparent)]
			image.Revision = "somebody's"
			f.pushed[release.Tag(grandparent)] = image
		}},
	} {
		f := afterParent(t)
		test.change(f)
		result, err := f.run(t, test.flags...)
		if err != nil || result.Reused || result.Commit != commit || result.From != "" || f.builds != 2 {
			t.Errorf("%s: got %+v, %v after %d builds, want a new image", name, result, err, f.builds)
		}
	}
}

// The hash of a build argument differs from commit to commit, and the argument need not.
func TestRunReusesAnImageWithTheSameBuildArguments(t *testing.T) {
	t.Parallel()
	f := afterParent(t, "--build-args", "A=1")
	if result, err := f.run(t, "--build-args", "A=1"); err != nil || result.From != grandparent {
		t.Errorf("the same: got %+v, %v", result, err)
	}
	for name, change := range map[string]func(*fakeDeps) string{
		"another":   func(*fakeDeps) string { return "A=2" },
		"a history": func(f *fakeDeps) string { f.shallow = true; return "A=1" },
	} {
		f := afterParent(t, "--build-args", "A=1")
		if result, err := f.run(t, "--build-args", change(f)); err != nil || result.Reused {
			t.Errorf("%s: got %+v, %v, want a new image", name, result, err)
		}
	}
}

// Another run that gave the tag first decides, and one of another image is refused.
func TestRunReusesWhatAnotherRunTagged(t *testing.T) {
	t.Parallel()
	f := afterParent(t)
	f.otherBuild = f.pushed[release.Tag(grandparent)]
	if result, err := f.run(t); err != nil || result.From != grandparent {
		t.Errorf("got %+v, %v", result, err)
	}
	f = afterParent(t)
	f.otherBuild = release.ImageInfo{Digest: releasetest.Digest(t, "f"), Revision: "somebody's", Inputs: "sha256:x"}
	_, err := f.run(t)
	var refusal *release.Refusal
	if !errors.As(err, &refusal) || !strings.Contains(fmt.Sprint(err), "somebody's") {
		t.Errorf("got %v, want a refusal", err)
	}
}

// A tag that another build gave is not moved where it could be.
func TestRunMovesNoTag(t *testing.T) {
	t.Parallel()
	theirs := release.ImageInfo{Digest: releasetest.Digest(t, "f"), Revision: "somebody's", Inputs: "sha256:x"}
	unchanged, adopting := afterParent(t), cleanTree(t)
	image := release.Image{Repository: "localhost:5000/elsewhere", Digest: releasetest.Digest(t, "d")}
	adopting.elsewhere = map[release.Image]release.ImageInfo{image: {Digest: image.Digest, Revision: commit.String()}}
	for f, flags := range map[*fakeDeps][]string{unchanged: nil, adopting: {"--adopt", image.String()}} {
		f.otherTag = theirs
		_, err := f.run(t, flags...)
		var refusal *release.Refusal
		if !errors.As(err, &refusal) || f.pushed[release.Tag(commit)] != theirs {
			t.Errorf("%v: got %v, the tag names %s; want a refusal", flags, err, f.pushed[release.Tag(commit)].Digest)
		}
	}
}
