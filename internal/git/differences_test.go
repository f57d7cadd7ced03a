package git_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/release"
)

// everything is the rule that takes every file of a directory.
func everything(dir string) release.InputRule {
	return release.InputRule{Dir: dir, Matches: func(string) bool { return true }, MayContain: func(string) bool { return true }}
}

// differences compares files, by path relative to the clone, and all files of its directories.
func (c clone) differences(inputs release.Inputs) []release.Difference {
	c.t.Helper()
	commit := release.Commit(c.git("rev-parse", "HEAD"))
	found, err := git.Differences(c.t.Context(), c.environ, filepath.Join(c.dir, "app"), commit, inputs)
	if err != nil {
		c.t.Fatal(err)
	}
	return found
}

func (c clone) remove(path string) {
	c.t.Helper()
	if err := os.RemoveAll(filepath.Join(c.dir, path)); err != nil {
		c.t.Fatal(err)
	}
}

func (c clone) link(target, path string) {
	c.t.Helper()
	if err := os.Symlink(target, filepath.Join(c.dir, path)); err != nil {
		c.t.Fatal(err)
	}
}

// allOf are a rule for the directories app and lib, and every file that is there.
func (c clone) allOf(dirs ...string) (inputs release.Inputs) {
	c.t.Helper()
	for _, dir := range dirs {
		inputs.Rules = append(inputs.Rules, everything(filepath.Join(c.dir, dir)))
		err := filepath.WalkDir(filepath.Join(c.dir, dir), func(path string, entry os.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && entry.Name() != ".git" {
				inputs.Files = append(inputs.Files, path)
			}
			return nil
		})
		if err != nil {
			c.t.Fatal(err)
		}
	}
	return inputs
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	different := func(path string) []release.Difference { return []release.Difference{{Path: path}} }
	kind := func(kind release.DifferenceKind, path string) []release.Difference {
		return []release.Difference{{Kind: kind, Path: path}}
	}
	tests := map[string]struct {
		change func(c clone)
		want   []release.Difference
	}{
		"nothing":             {func(clone) {}, nil},
		"changed":             {func(c clone) { c.write("lib/lib.go", "package other\n") }, different("../lib/lib.go")},
		"changed in app":      {func(c clone) { c.write("app/main.go", "package other\n") }, different("main.go")},
		"of the same size":    {func(c clone) { c.write("lib/lib.go", "package lia\n") }, different("../lib/lib.go")},
		"deleted":             {func(c clone) { c.remove("lib/more.go") }, kind(release.MissingFile, "../lib/more.go")},
		"a deleted directory": {func(c clone) { c.remove("lib/assets") }, kind(release.MissingFile, "../lib/assets/a")},
		"a directory instead": {func(c clone) { c.remove("lib/more.go"); c.write("lib/more.go/x", "") },
			[]release.Difference{{Path: "../lib/more.go", Note: "not a file"}, {Kind: release.NotInCommit, Path: "../lib/more.go/x"}}},
		"a file instead":      {func(c clone) { c.remove("lib/assets"); c.write("lib/assets", "") }, []release.Difference{{Kind: release.NotInCommit, Path: "../lib/assets"}, {Kind: release.MissingFile, Path: "../lib/assets/a"}}},
		"untracked":           {func(c clone) { c.write("lib/new.go", "package lib\n") }, kind(release.NotInCommit, "../lib/new.go")},
		"ignored":             {func(c clone) { c.write("lib/x.ignored", "x") }, kind(release.NotInCommit, "../lib/x.ignored")},
		"staged only":         {func(c clone) { c.write("lib/new.go", "package lib\n"); c.git("add", "--all") }, kind(release.NotInCommit, "../lib/new.go")},
		"assumed unchanged":   {func(c clone) { c.git("update-index", "--assume-unchanged", "lib/lib.go"); c.write("lib/lib.go", "x") }, different("../lib/lib.go")},
		"skipped":             {func(c clone) { c.git("update-index", "--skip-worktree", "lib/lib.go"); c.write("lib/lib.go", "x") }, different("../lib/lib.go")},
		"skipped and removed": {func(c clone) { c.git("update-index", "--skip-worktree", "lib/lib.go"); c.remove("lib/lib.go") }, kind(release.MissingFile, "../lib/lib.go")},
		"flagged, the same":   {func(c clone) { c.git("update-index", "--skip-worktree", "lib/lib.go") }, nil},
		"a link elsewhere":    {func(c clone) { c.remove("lib/link"); c.link("assets/a", "lib/link") }, different("../lib/link")},
		"a link to a change":  {func(c clone) { c.write("other/target.go", "x") }, different("../other/target.go")},
		"a file for a link":   {func(c clone) { c.remove("lib/link"); c.write("lib/link", "../other/target.go") }, different("../lib/link")},
		"a mode":              {func(c clone) { os.Chmod(filepath.Join(c.dir, "lib/lib.go"), 0o755) }, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			c.write(".gitignore", "*.ignored\n")
			c.write("app/main.go", "package main\n")
			c.write("lib/lib.go", "package lib\n")
			c.write("lib/more.go", "package lib\n")
			c.write("lib/assets/a", "a")
			c.write("other/target.go", "package lib\n")
			c.link("../other/target.go", "lib/link")
			c.commit("first")
			test.change(c)
			if diff := cmp.Diff(test.want, c.differences(c.allOf("app", "lib"))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestDifferencesOutsideAndUnused(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.write("app/main.go", "package main\n")
	c.write("other/unused", "x")
	c.commit("first")
	c.write("other/unused", "changed")
	c.write("app/unused", "not an input")
	outside := filepath.Join(t.TempDir(), "outside.go")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got := c.differences(release.Inputs{Files: []string{outside, outside + ".absent", filepath.Join(c.dir, "app/main.go"), filepath.Join(c.dir, "app/go.work")}})
	if diff := cmp.Diff([]release.Difference{{Kind: release.OutsideWorkTree, Path: outside}}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A directory that is reached through a link of the work tree is held to the commit with the link.
func TestDifferencesThroughALinkedDirectory(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.write("app/main.go", "package main\n")
	c.write("one/lib.go", "package lib\n")
	c.write("two/lib.go", "package lib\n")
	c.link("one", "lib")
	c.commit("first")
	inputs := release.Inputs{Files: []string{filepath.Join(c.dir, "lib/lib.go")}}
	if got := c.differences(inputs); len(got) != 0 {
		t.Errorf("got %v for the commit's own link", got)
	}
	c.remove("lib")
	c.link("two", "lib")
	if diff := cmp.Diff([]release.Difference{{Path: "../lib"}}, c.differences(inputs)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Of a Docker context, links, modes and empty directories enter the image.
func TestDifferencesOfLinksModesAndDirectories(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.write("app/run.sh", "#!/bin/sh\n")
	c.write("app/kept/ignored.log", "x")
	c.link("/nowhere", "app/link")
	c.commit("first")
	if err := os.Chmod(filepath.Join(c.dir, "app/run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(c.dir, "app/empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	inputs := release.Inputs{Links: true, Modes: true}
	for _, name := range []string{"run.sh", "link", "empty", "kept"} {
		inputs.Files = append(inputs.Files, filepath.Join(c.dir, "app", name))
	}
	want := []release.Difference{{Path: "run.sh", Note: "its mode"}, {Kind: release.NotInCommit, Path: "empty", Note: "a directory"}}
	if diff := cmp.Diff(want, c.differences(inputs)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDifferencesOfASubmodule(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(c, sub clone)
		want   []release.Difference
	}{
		"nothing":                           {func(clone, clone) {}, nil},
		"changed":                           {func(_, sub clone) { sub.write("lib.go", "x") }, []release.Difference{{Path: "../sub/lib.go"}}},
		"untracked":                         {func(_, sub clone) { sub.write("new.go", "x") }, []release.Difference{{Kind: release.NotInCommit, Path: "../sub/new.go"}}},
		"ignored":                           {func(_, sub clone) { sub.write("x.ignored", "x") }, []release.Difference{{Kind: release.NotInCommit, Path: "../sub/x.ignored"}}},
		"deleted":                           {func(_, sub clone) { sub.remove("lib.go") }, []release.Difference{{Kind: release.MissingFile, Path: "../sub/lib.go"}}},
		"not checked out":                   {func(c, _ clone) { c.git("submodule", "deinit", "--force", "--all") }, []release.Difference{{Kind: release.AbsentSubmodule, Path: "../sub"}}},
		"at another commit, the same files": {func(_, sub clone) { sub.commit("empty") }, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, sub := withSubmodule(t)
			test.change(c, sub)
			if diff := cmp.Diff(test.want, c.differences(c.allOf("app", "sub"))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// withSubmodule is a repository with a submodule in sub, and the submodule's own.
func withSubmodule(t *testing.T) (c, sub clone) {
	t.Helper()
	origin := newClone(t)
	origin.write("lib.go", "package lib\n")
	origin.write(".gitignore", "*.ignored\n")
	origin.commit("first")
	c = newClone(t)
	c.write("app/main.go", "package main\n")
	c.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", origin.dir, "sub")
	c.commit("first")
	sub = clone{t: t, dir: filepath.Join(c.dir, "sub"), environ: c.environ}
	sub.git("config", "user.name", "Committer")
	sub.git("config", "user.email", "committer@example.com")
	return c, sub
}

func TestDifferencesOfASubmoduleAtAnotherCommit(t *testing.T) {
	t.Parallel()
	c, sub := withSubmodule(t)
	sub.write("lib.go", "package lib // changed\n")
	head := sub.commit("second")
	want := []release.Difference{{Kind: release.OtherSubmodule, Path: "../sub", Note: "at " + head.Short()}}
	if diff := cmp.Diff(want, c.differences(c.allOf("app", "sub"))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// The commit that is named was never fetched.
	c.git("update-index", "--cacheinfo", "160000,"+strings.Repeat("ab", 20)+",sub")
	c.git("commit", "--quiet", "--message", "another")
	if diff := cmp.Diff(want, c.differences(c.allOf("app", "sub"))); diff != "" {
		t.Errorf("without the commit (-want +got):\n%s", diff)
	}
}

func TestDifferencesOfConvertedFiles(t *testing.T) {
	t.Parallel()
	content := "the file itself\n"
	pointer := fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%x\nsize %d\n", sha256.Sum256([]byte(content)), len(content))
	tests := map[string]struct {
		attributes, committed, onDisk string
		config                        []string
		want                          []release.Difference
	}{
		"an LFS file":                  {"* filter=lfs", pointer, content, nil, nil},
		"another LFS file":             {"* filter=lfs", pointer, "another file.!\n", nil, []release.Difference{{Path: "data"}}},
		"an LFS pointer":               {"* filter=lfs", pointer, pointer, nil, []release.Difference{{Kind: release.UnresolvedPointer, Path: "data"}}},
		"another LFS pointer":          {"* filter=lfs", pointer, pointer + "x 1\n", nil, []release.Difference{{Path: "data"}}},
		"not yet in LFS":               {"* filter=lfs", content, content, nil, nil},
		"a text like a pointer":        {"", pointer, pointer, nil, nil},
		"CRLF by .gitattributes":       {"* text eol=crlf", "a\nb\n", "a\r\nb\r\n", nil, nil},
		"LF against .gitattributes":    {"* text eol=crlf", "a\nb\n", "a\nb\n", nil, nil},
		"CRLF by autocrlf":             {"", "a\nb\n", "a\r\nb\r\n", []string{"core.autocrlf=true"}, []release.Difference{{Kind: release.ConvertedByMachine, Path: "data"}}},
		"CRLF by hand":                 {"", "a\nb\n", "a\r\nb\r\n", nil, []release.Difference{{Path: "data"}}},
		"a filter that is not set up":  {"* filter=crypt", "secret", "secret", nil, []release.Difference{{Kind: release.UnavailableFilter, Path: "data", Note: "filter=crypt"}}},
		"a filter":                     {"* filter=crypt", "frperg", "secret", []string{"filter.crypt.smudge=tr a-z n-za-m"}, nil},
		"a filter that did not run":    {"* filter=crypt", "frperg", "frperg", []string{"filter.crypt.smudge=tr a-z n-za-m"}, []release.Difference{{Path: "data", Note: "filter=crypt"}}},
		"a clean filter alone":         {"* filter=strip", "notes\n", "notes\n", []string{"filter.strip.clean=grep -v output"}, nil},
		"what a clean filter drops":    {"* filter=strip", "notes\n", "notes\noutput\n", []string{"filter.strip.clean=grep -v output"}, []release.Difference{{Path: "data", Note: "filter=strip"}}},
		"an ident":                     {"* ident", "$Id$\n", "$Id: 055c8729cdcc372500a08db659c045e16c4409fb $\n", nil, nil},
		"another ident":                {"* ident", "$Id$\n", "$Id: 155c8729cdcc372500a08db659c045e16c4409fb $\n", nil, []release.Difference{{Kind: release.ConvertedByMachine, Path: "data"}}},
		"a filter that hides a change": {"* filter=crypt", "secret", "changed", []string{"filter.crypt.smudge=cat", "filter.crypt.clean=printf secret"}, []release.Difference{{Path: "data", Note: "filter=crypt"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			c.write("app/main.go", "package main\n")
			c.write("app/data", test.committed)
			c.write(".gitattributes", test.attributes+"\n")
			c.commit("first")
			for _, setting := range test.config {
				name, value, _ := strings.Cut(setting, "=")
				c.git("config", name, value)
			}
			c.write("app/data", test.onDisk)
			if diff := cmp.Diff(test.want, c.differences(release.Inputs{Files: []string{filepath.Join(c.dir, "app/data")}})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestDifferencesByAttributesOfTheMachine: only the commit's own attributes may say what git makes of its files.
func TestDifferencesByAttributesOfTheMachine(t *testing.T) {
	t.Parallel()
	const crlf = "* text eol=crlf\n"
	lfs := "version https://git-lfs.github.com/spec/v1\noid sha256:" + strings.Repeat("0", 64) + "\nsize 1\n"
	by := func(kind release.DifferenceKind, note string) []release.Difference {
		return []release.Difference{{Kind: kind, Path: "data", Note: note}}
	}
	for name, test := range map[string]struct {
		attributes, committed, onDisk string
		change                        func(c clone)
		want                          []release.Difference
	}{
		"the repository's own":                 {"", "a\n", "a\r\n", func(c clone) { c.write(".git/info/attributes", crlf) }, by(release.ForeignAttributes, "by GIT/info/attributes")},
		"the repository's own, not converted":  {"", "a\n", "a\n", func(c clone) { c.write(".git/info/attributes", "* filter=nbstripout\n") }, nil},
		"the repository's own, comments alone": {crlf, "a\n", "a\r\n", func(c clone) { c.write(".git/info/attributes", "# "+crlf+"\n") }, nil},
		"the repository's own, and a change":   {"", "a\n", "b\n", func(c clone) { c.write(".git/info/attributes", crlf) }, by(release.DifferentContent, "")},
		"they hide a pointer":                  {"* filter=lfs\n", lfs, lfs, func(c clone) { c.write(".git/info/attributes", "* -filter\n") }, by(release.ForeignAttributes, "by GIT/info/attributes")},
		"the user's":                           {"", "a\n", "a\r\n", func(c clone) { c.writeHome(".config/git/attributes", crlf) }, by(release.DifferentContent, "")},
		"the user's, by a setting":             {"", "a\n", "a\r\n", func(c clone) { c.writeHome("x", crlf); c.git("config", "core.attributesFile", "~/x") }, by(release.DifferentContent, "")},
		"untracked at the top":                 {"", "a\n", "a\r\n", func(c clone) { c.write(".gitattributes", crlf) }, by(release.ForeignAttributes, "by .gitattributes")},
		"untracked beside":                     {"", "a\n", "a\r\n", func(c clone) { c.write("app/.gitattributes", crlf) }, by(release.ForeignAttributes, "by app/.gitattributes")},
		"untracked elsewhere":                  {crlf, "a\n", "a\r\n", func(c clone) { c.write("lib/.gitattributes", crlf) }, nil},
		"changed":                              {"# none\n", "a\n", "a\r\n", func(c clone) { c.write(".gitattributes", crlf) }, by(release.ForeignAttributes, "by .gitattributes")},
		"staged": {"* filter=lfs\n", lfs, lfs, func(c clone) {
			c.write("app/.gitattributes", "* -filter\n")
			c.git("add", "--all")
			c.remove("app/.gitattributes")
		}, by(release.UnresolvedPointer, "")},
		"missing":                {crlf, "a\n", "a\n", func(c clone) { c.remove(".gitattributes") }, nil},
		"missing with a pointer": {"* filter=lfs\n", lfs, lfs, func(c clone) { c.remove(".gitattributes") }, by(release.UnresolvedPointer, "")},
		"converted themselves":   {crlf, "a\n", "a\r\n", func(c clone) { c.write(".gitattributes", "* text eol=crlf\r\n") }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			c.write("app/data", test.committed)
			if test.attributes != "" {
				c.write(".gitattributes", test.attributes)
			}
			c.commit("first")
			test.change(c)
			c.write("app/data", test.onDisk)
			got := c.differences(release.Inputs{Files: []string{filepath.Join(c.dir, "app/data")}})
			for i := range got {
				got[i].Note = strings.Replace(got[i].Note, filepath.Join(c.dir, ".git"), "GIT", 1)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// writeHome writes a file of the user's home directory.
func (c clone) writeHome(path, content string) {
	c.t.Helper()
	for _, pair := range c.environ {
		if home, found := strings.CutPrefix(pair, "HOME="); found {
			clone{t: c.t, dir: home}.write(path, content)
		}
	}
}

func TestDifferencesInARepositoryOfSHA256(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.remove(".git")
	c.git("init", "--quiet", "--object-format=sha256")
	c.git("config", "user.name", "Committer")
	c.git("config", "user.email", "committer@example.com")
	c.write("app/main.go", "package main\n")
	c.commit("first")
	if got := c.differences(c.allOf("app")); len(got) != 0 {
		t.Errorf("got %v for an unchanged tree", got)
	}
	c.write("app/main.go", "package other\n")
	if diff := cmp.Diff([]release.Difference{{Path: "main.go"}}, c.differences(c.allOf("app"))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestDifferencesOfSparseAndPartialClones: what is not checked out is missing where the image needs it and nowhere else, and a blob that was
// never fetched is compared by its id, or fetched where its content decides.
func TestDifferencesOfSparseAndPartialClones(t *testing.T) {
	t.Parallel()
	content := "the file itself\n"
	pointer := fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%x\nsize %d\n", sha256.Sum256([]byte(content)), len(content))
	missing := func(paths ...string) (all []release.Difference) {
		for _, path := range paths {
			all = append(all, release.Difference{Kind: release.MissingFile, Path: path})
		}
		return all
	}
	for name, test := range map[string]struct {
		clone    []string // arguments of git clone
		patterns []string // of git sparse-checkout set; nil: none
		dirs     []string
		change   func(c clone)
		want     []release.Difference
	}{
		"a whole clone":                      {dirs: []string{"app", "lib"}},
		"all that is needed":                 {clone: []string{"--sparse"}, patterns: []string{"app", "lib"}, dirs: []string{"app", "lib"}},
		"the image needs no more":            {clone: []string{"--sparse"}, patterns: []string{"app"}, dirs: []string{"app"}},
		"the image needs more":               {clone: []string{"--sparse"}, patterns: []string{"app"}, dirs: []string{"app", "lib"}, want: missing("../lib/crlf.txt", "../lib/lib.go", "../lib/more.go")},
		"a file is left out":                 {patterns: []string{"--no-cone", "/*", "!/lib/more.go"}, dirs: []string{"app", "lib"}, want: missing("../lib/more.go")},
		"a file is written where one is not": {patterns: []string{"--no-cone", "/*", "!/lib/more.go"}, dirs: []string{"lib"}, change: func(c clone) { c.write("lib/more.go", "x") }, want: []release.Difference{{Path: "../lib/more.go"}}},
		"the file is written as it was":      {patterns: []string{"--no-cone", "/*", "!/lib/more.go"}, dirs: []string{"lib"}, change: func(c clone) { c.write("lib/more.go", "package lib\n") }},
		"a sparse index":                     {clone: []string{"--sparse"}, patterns: []string{"--sparse-index", "app"}, dirs: []string{"app", "lib"}, want: missing("../lib/crlf.txt", "../lib/lib.go", "../lib/more.go")},
		"without blobs":                      {clone: []string{"--filter=blob:none"}, dirs: []string{"app", "lib"}},
		"without blobs, sparse":              {clone: []string{"--filter=blob:none", "--sparse"}, patterns: []string{"app"}, dirs: []string{"app", "lib"}, want: missing("../lib/crlf.txt", "../lib/lib.go", "../lib/more.go")},
		"without trees, sparse":              {clone: []string{"--filter=tree:0", "--sparse"}, patterns: []string{"app"}, dirs: []string{"app", "lib"}, want: missing("../lib/crlf.txt", "../lib/lib.go", "../lib/more.go")},
		"without large blobs":                {clone: []string{"--filter=blob:limit=1k"}, dirs: []string{"app", "lib"}},
		"a changed file without its blob": {clone: []string{"--filter=blob:none", "--sparse"}, patterns: []string{"app"}, dirs: []string{"lib"}, change: func(c clone) { c.write("lib/lib.go", "package other\n") },
			want: append([]release.Difference{{Path: "../lib/lib.go"}}, missing("../lib/crlf.txt", "../lib/more.go")...)},
		"a converted file without its blob": {clone: []string{"--filter=blob:none", "--sparse"}, patterns: []string{"app"}, dirs: []string{"lib"}, change: func(c clone) { c.write("lib/crlf.txt", "a\r\nb\r\n") },
			want: missing("../lib/lib.go", "../lib/more.go")},
		"a changed file, and no remote": {clone: []string{"--filter=blob:none", "--sparse"}, patterns: []string{"app"}, dirs: []string{"lib"}, change: func(c clone) {
			c.write("lib/lib.go", "package other\n")
			c.git("remote", "set-url", "origin", "file:///no/such/repository")
		}, want: append([]release.Difference{{Path: "../lib/lib.go"}}, missing("../lib/crlf.txt", "../lib/more.go")...)},
		"without the file of attributes": {patterns: []string{"--no-cone", "/lib/"}, dirs: []string{"lib"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			origin := newClone(t)
			origin.write(".gitattributes", "*.bin filter=lfs\ncrlf.txt text eol=crlf\n")
			origin.write("app/main.go", "package main\n")
			origin.write("app/data.bin", pointer)
			origin.write("lib/lib.go", "package lib\n")
			origin.write("lib/more.go", "package lib\n")
			origin.write("lib/crlf.txt", "a\nb\n")
			origin.commit("first")
			origin.git("config", "uploadpack.allowFilter", "true")
			origin.git("config", "uploadpack.allowAnySHA1InWant", "true")
			c := cloneOf(t, "file://"+origin.dir, origin.environ, test.clone...)
			if test.patterns != nil {
				c.git(append([]string{"sparse-checkout", "set"}, test.patterns...)...)
			}
			if err := os.MkdirAll(filepath.Join(c.dir, "app"), 0o755); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(c.dir, "app/data.bin")); err == nil {
				c.write("app/data.bin", content) // as git lfs writes it
			}
			if test.change != nil {
				test.change(c)
			}
			inputs := release.Inputs{}
			for _, dir := range test.dirs {
				if _, err := os.Stat(filepath.Join(c.dir, dir)); err != nil {
					inputs.Rules = append(inputs.Rules, everything(filepath.Join(c.dir, dir)))
					continue
				}
				found := c.allOf(dir)
				inputs.Rules, inputs.Files = append(inputs.Rules, found.Rules...), append(inputs.Files, found.Files...)
			}
			if diff := cmp.Diff(test.want, c.differences(inputs)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
