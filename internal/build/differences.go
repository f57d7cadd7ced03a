package build

import (
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// differenceTexts say, for each kind of difference, what is wrong and how to fix it. %s is the commit.
var differenceTexts = []struct {
	kind     release.DifferenceKind
	what, do string
}{
	{release.DifferentContent, "differs from commit %s", "commit or undo the changes"},
	{release.NotInCommit, "the image would contain files that are not in commit %s, untracked or ignored by git",
		"commit them, remove them, or exclude them from the build"},
	{release.OutsideWorkTree, "the image would contain files from outside the work tree, which commit %s cannot have", "move them into the repository"},
	{release.MissingFile, "files of commit %s are missing, so that the image would lack them",
		"restore them (git checkout -- PATH; a sparse checkout must include them), or commit their removal"},
	{release.AbsentSubmodule, "submodules of commit %s are not checked out, so that the image would lack their files",
		"git submodule update --init --recursive (actions/checkout: submodules: recursive)"},
	{release.OtherSubmodule, "submodules are at another commit than commit %s names", "git submodule update --init --recursive, or commit the submodule's new commit"},
	{release.UnresolvedPointer, "files of commit %s are Git LFS pointers here, so that the image would contain these instead of the files",
		"git lfs pull (actions/checkout: lfs: true)"},
	{release.UnavailableFilter, "files of commit %s need a filter of .gitattributes that is not set up on this machine", "set the filter up and check the files out again"},
	{release.ConvertedByMachine, "git converted files of commit %s when it checked them out, by a setting of this machine (core.autocrlf, core.eol)",
		"git config core.autocrlf false and check them out again, or say in .gitattributes how they are to be checked out (text eol=lf)"},
	{release.ForeignAttributes, "attributes that commit %s does not have change how git checks out its files",
		"commit or undo the change of .gitattributes, or remove the rules from the repository's info/attributes, and check the files out again"},
}

// maxPaths is how many paths of one kind are listed.
const maxPaths = 20

// Further advice about differences that existed before the build, and about those that appeared during it.
const (
	orAllowDirty = ", or build with --allow-dirty for an image that cannot be promoted"
	orBuildAgain = "; they were changed during the build: let nothing else write to the work tree, and build again"
)

// differencesError makes a *release.InputError with one problem per kind of difference. or is further advice.
func differencesError(context string, source release.Source, differences []release.Difference, or string) error {
	byKind := map[release.DifferenceKind][]string{}
	for _, difference := range differences {
		text := difference.Path
		if difference.Note != "" {
			text += ": " + difference.Note
		}
		byKind[difference.Kind] = append(byKind[difference.Kind], text)
	}
	var problems []release.Problem
	for _, text := range differenceTexts {
		if paths := byKind[text.kind]; len(paths) > 0 {
			slices.Sort(paths)
			what := fmt.Sprintf(text.what+" (%s)", source.Commit.Short(), joinPaths(paths))
			if text.kind == release.DifferentContent {
				what = fmt.Sprintf("%q %s", context, what)
			}
			problems = append(problems, release.Problem{Where: "context", What: what, Do: text.do + or})
		}
	}
	return &release.InputError{Problems: problems}
}

func joinPaths(paths []string) string {
	if left := len(paths) - maxPaths; left > 0 {
		return strings.Join(paths[:maxPaths], ", ") + fmt.Sprintf(", … and %d more", left)
	}
	return strings.Join(paths, ", ")
}
