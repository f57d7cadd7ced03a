package build_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting/settingtest"
)

// An image that another program built is tagged as its commit's, and nothing is built.
func TestRunAdopts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		revision string
		flags    []string
		tagged   string // digest that the commit's tag names already
		known    string // how the commit is known; "" for an error
		code     int
		want     string
	}{
		"labelled":                    {commit.String(), nil, "", "label", 0, ""},
		"labelled, and given":         {commit.String(), []string{"--commit", commit.String()}, "", "label", 0, ""},
		"given":                       {"", []string{"--commit", commit.String()}, "", "given", 0, ""},
		"tagged already":              {commit.String(), nil, "d", "label", 0, ""},
		"neither":                     {"", nil, "", "", release.ExitInput, "has no label org.opencontainers.image.revision, and no commit is given"},
		"labelled with another":       {commit.String(), []string{"--commit", releasetest.Another.String()}, "", "", release.ExitFailed, "not with commit " + releasetest.Another.String()},
		"labelled dirty":              {commit.String() + "-dirty", nil, "", "", release.ExitFailed, "which is not a commit"},
		"labelled with two commits":   {commit.String() + " (linux/amd64), " + releasetest.Another.String() + " (linux/arm64)", []string{"--commit", commit.String()}, "", "", release.ExitFailed, "(linux/arm64)\", which is not a commit"},
		"labelled with a tag":         {"v1.2.3", []string{"--commit", commit.String()}, "", "", release.ExitFailed, "which is not a commit"},
		"a short commit":              {"", []string{"--commit", commit.Short()}, "", "", release.ExitInput, "--commit"},
		"the tag names another image": {commit.String(), nil, "e", "", release.ExitFailed, "holds sha256:eeee"},
	} {
		f := cleanTree(t)
		image := release.Image{Repository: "localhost:5000/elsewhere", Digest: releasetest.Digest(t, "d")}
		f.elsewhere = map[release.Image]release.ImageInfo{image: {Digest: image.Digest, Revision: test.revision}}
		if test.tagged != "" {
			f.pushed[release.Tag(commit)] = release.ImageInfo{Digest: releasetest.Digest(t, test.tagged)}
		}
		result, err := f.run(t, append([]string{"--adopt", image.String()}, test.flags...)...)
		if test.known == "" {
			if release.ExitCode(err) != test.code || !strings.Contains(fmt.Sprint(err), test.want) || f.pushed["copied"].Digest == image.Digest {
				t.Errorf("%s: got %v, want exit %d with %q and nothing copied", name, err, test.code, test.want)
			}
			continue
		}
		if err != nil || result.CommitFrom != test.known || result.Digest != image.Digest || result.Commit != commit || result.Tag != release.Tag(commit) ||
			result.Image.Repository != "localhost:5000/shop" || f.builds != 0 || f.pushed[release.Tag(commit)].Digest != image.Digest {
			t.Errorf("%s: got %+v, %v after %d builds", name, result, err, f.builds)
		}
		if wantReused := test.tagged != ""; result.Reused != wantReused {
			t.Errorf("%s: reused %v", name, result.Reused)
		}
	}
	f := cleanTree(t)
	chart := release.Image{Repository: "localhost:5000/elsewhere", Digest: releasetest.Digest(t, "d")}
	f.elsewhere = map[release.Image]release.ImageInfo{chart: {Digest: chart.Digest, Artifact: "a Helm chart"}}
	if _, err := f.run(t, "--adopt", chart.String(), "--commit", commit.String()); release.ExitCode(err) != release.ExitFailed || !strings.Contains(fmt.Sprint(err), "is a Helm chart, which no node can run") || len(f.pushed) > 0 {
		t.Errorf("a chart: got %v and %v in the repository, want a refusal and nothing copied", err, f.pushed)
	}
	f = cleanTree(t)
	if _, err := f.run(t, "--adopt", "localhost:5000/elsewhere@"+releasetest.Digest(t, "d").String()); release.ExitCode(err) != release.ExitInput {
		t.Errorf("an image that is not there: got %v, want bad input", err)
	}
}

func TestAdoptTakesNoSettingsOfABuild(t *testing.T) {
	t.Parallel()
	err := settingtest.Apply(new(build.Settings).Declare(), "--repository", "localhost/shop", "--adopt", "localhost/x@"+releasetest.Digest(t, "d").String(), "--main", "cmd/x", "--target", "y")
	if text := fmt.Sprint(err); !strings.Contains(text, "--main") || !strings.Contains(text, "--target") || !strings.Contains(text, "built already") {
		t.Errorf("got %v, want both settings refused", err)
	}
}

// The label of a base image names a commit that git does not know.
func TestRunAdoptsAnImageWithTheLabelOfItsBase(t *testing.T) {
	t.Parallel()
	given := []string{"--commit", commit.String()}
	for name, test := range map[string]struct {
		flags  []string
		change func(f *fakeDeps)
		known  string // "" for an error
		want   string
	}{
		"given":                      {given, func(*fakeDeps) {}, "given", ""},
		"none given":                 {nil, func(*fakeDeps) {}, "", "the label may be the base image's"},
		"given, in a cut history":    {given, func(f *fakeDeps) { f.cutOff = true }, "", "not with commit " + commit.String()},
		"given, known both":          {given, func(f *fakeDeps) { f.unknown = "" }, "", "not with commit " + commit.String()},
		"none given, no work tree":   {nil, func(f *fakeDeps) { f.noTree = errors.New("no repository") }, "label", ""},
		"the label's commit itself":  {[]string{"--commit", releasetest.Another.String()}, func(*fakeDeps) {}, "label", ""},
		"given, and unknown as well": {given, func(f *fakeDeps) { f.shallow = true }, "", "not with commit " + commit.String()},
	} {
		f := cleanTree(t)
		f.unknown = releasetest.Another
		image := release.Image{Repository: "localhost:5000/elsewhere", Digest: releasetest.Digest(t, "d")}
		f.elsewhere = map[release.Image]release.ImageInfo{image: {Digest: image.Digest, Revision: releasetest.Another.String()}}
		test.change(f)
		result, err := f.run(t, append([]string{"--adopt", image.String()}, test.flags...)...)
		if result.CommitFrom != test.known || (err == nil) != (test.known != "") || err != nil && !strings.Contains(err.Error(), test.want) ||
			test.known == "given" && result.Commit != commit || test.known == "label" && result.Commit != releasetest.Another {
			t.Errorf("%s: got %+v, %v", name, result, err)
		}
	}
}
