package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/image"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting/settingtest"
)

// disturbed are the real builders and a repository, with somebody who writes to the work tree between the listing of the inputs
// and the compilation.
type disturbed struct {
	*image.Builders
	dir    string
	write  map[string]string
	pushed []release.Tag
}

func (d *disturbed) CreateRepository(context.Context, release.Repository) (bool, error) {
	return false, nil
}

func (d *disturbed) Build(ctx context.Context, builder string, recipe release.Recipe, dir string) (release.Layout, error) {
	for name, content := range d.write {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(content), 0o600); err != nil {
			return release.Layout{}, err
		}
	}
	return d.Builders.Build(ctx, builder, recipe, dir)
}

func (d *disturbed) Inside(string) (string, error) { return d.dir, nil }

func (d *disturbed) Scratch() (string, func(), error) {
	dir, err := os.MkdirTemp("", "")
	return dir, func() { os.RemoveAll(dir) }, err
}

func (d *disturbed) Find(context.Context, release.Repository, release.Tag) (release.ImageInfo, bool, error) {
	return release.ImageInfo{}, false, nil
}

func (d *disturbed) Inspect(context.Context, release.Repository, release.Digest, release.Tag) (release.TagState, error) {
	return release.TagState{}, nil
}

func (d *disturbed) Describe(context.Context, release.Image) (release.ImageInfo, bool, error) {
	return release.ImageInfo{}, false, nil
}

func (d *disturbed) Copy(context.Context, release.Image, release.Repository, func(release.Progress)) error {
	return nil
}

func (d *disturbed) Tag(context.Context, release.Repository, release.TagState, release.Digest, release.Tag) error {
	return errors.New("nothing to tag")
}

func (d *disturbed) Fetch(context.Context, release.Image, []release.Platform, string) (release.Layout, error) {
	return release.Layout{}, nil
}

func (d *disturbed) Push(_ context.Context, _ release.Layout, _ release.Repository, tag release.Tag, _ func(release.Progress)) error {
	d.pushed = append(d.pushed, tag)
	return nil
}

// TestRunPushesNothingThatWasWrittenDuringTheBuild: the compiler takes a file that was not there when the inputs were listed.
func TestRunPushesNothingThatWasWrittenDuringTheBuild(t *testing.T) {
	t.Parallel()
	const added = "package main\n\nfunc init() { println(\"added\") }\n"
	for name, test := range map[string]struct {
		write map[string]string
		flags []string
		want  string // of the error
	}{
		"nothing":                             {nil, nil, "<nil>"},
		"a file of no image":                  {map[string]string{"notes.md": "x"}, nil, "<nil>"},
		"a new file":                          {map[string]string{"added.go": added}, nil, "added.go"},
		"a new file, changes allowed":         {map[string]string{"added.go": added}, []string{"--allow-dirty"}, "added.go"},
		"a changed file, changes allowed":     {map[string]string{"main.go": "package main\n\nfunc main() { println() }\n"}, []string{"--allow-dirty"}, "main.go"},
		"a new file of an import, is ignored": {map[string]string{"lib/ignored.go": "package lib\n"}, nil, "lib/ignored.go"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &disturbed{Builders: image.New(image.Options{Environ: os.Environ()}), dir: committed(t, map[string]string{
				"go.mod": "module example.com/shop\n\ngo 1.26\n", "main.go": "package main\n\nimport _ \"example.com/shop/lib\"\n\nfunc main() {}\n",
				"lib/lib.go": "package lib\n", ".gitignore": "ignored.go\n"}), write: test.write}
			var settings build.Settings
			if err := settingtest.Apply(settings.Declare(), append([]string{"--repository", "localhost:5000/shop"}, test.flags...)...); err != nil {
				t.Fatal(err)
			}
			_, err := build.Run(t.Context(), settings, build.Deps{WorkTree: workTree{environ: os.Environ()}, Builder: d, Registry: d, Workspace: d,
				Reporter: releasetest.DiscardReporter{}, Now: time.Now})
			if !strings.Contains(fmt.Sprint(err), test.want) || (len(d.pushed) > 0) != (err == nil) {
				t.Errorf("got %v, pushed %v, want %s", err, d.pushed, test.want)
			}
		})
	}
}

// committed is a repository with files, all of them in its commit.
func committed(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "--all"}, {"commit", "--quiet", "--message", "all"}} {
		command := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=test", "-c", "user.email=test@example.com"}, args...)...)
		if text, err := command.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, text)
		}
	}
	return dir
}

// TestRunInASparseClone: a clone that leaves out files, and content, builds the commit's image or names the files that it lacks.
func TestRunInASparseClone(t *testing.T) {
	t.Parallel()
	origin := committed(t, map[string]string{
		"app/go.mod": "module example.com/shop\n\ngo 1.26\n\nrequire example.com/lib v0.0.0\n\nreplace example.com/lib => ../lib\n", "app/main.go": "package main\n\nimport _ \"example.com/lib\"\n\nfunc main() {}\n",
		"lib/go.mod": "module example.com/lib\n\ngo 1.26\n", "lib/lib.go": "package lib\n", "lib/more.go": "package lib\n\nfunc init() { println(\"more\") }\n",
		"web/Dockerfile": "FROM scratch\nCOPY . .\n", "web/page.html": "x", "docs/notes.md": "x"})
	if text, err := exec.Command("git", "-C", origin, "config", "uploadpack.allowFilter", "true").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for name, test := range map[string]struct {
		patterns []string
		context  string
		want     string
	}{
		"all that the image needs":     {[]string{"app", "lib"}, "app", "<nil>"},
		"a package is left out":        {[]string{"app"}, "app", "replacement directory ../lib does not exist"},
		"a file of it is left out":     {[]string{"--no-cone", "/*", "!/lib/more.go"}, "app", "../lib/more.go"},
		"a file of a context left out": {[]string{"--no-cone", "/*", "!/web/page.html"}, "web", "page.html"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{
				{"clone", "--quiet", "--filter=blob:none", "--sparse", "file://" + origin, dir},
				append([]string{"-C", dir, "sparse-checkout", "set"}, test.patterns...),
			} {
				if text, err := exec.Command("git", args...).CombinedOutput(); err != nil {
					t.Fatalf("git %v: %v\n%s", args, err, text)
				}
			}
			d := &disturbed{Builders: image.New(image.Options{Environ: os.Environ()}), dir: filepath.Join(dir, test.context)}
			var settings build.Settings
			if err := settingtest.Apply(settings.Declare(), "--repository", "localhost:5000/shop", "--context", test.context); err != nil {
				t.Fatal(err)
			}
			_, err = build.Run(t.Context(), settings, build.Deps{WorkTree: workTree{environ: os.Environ()}, Builder: d, Registry: d, Workspace: d,
				Reporter: releasetest.DiscardReporter{}, Now: time.Now})
			if !strings.Contains(fmt.Sprint(err), test.want) || (len(d.pushed) > 0) != (err == nil) {
				t.Errorf("got %v, pushed %v, want %s", err, d.pushed, test.want)
			}
		})
	}
}
