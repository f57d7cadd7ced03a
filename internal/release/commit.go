package release

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// Commit is a full git commit id: 40 lower-case hex digits (SHA-1) or 64 (SHA-256).
type Commit string

var commitPattern = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

// ParseCommit accepts a full commit id only: a short id can become ambiguous as the repository grows.
func ParseCommit(text string) (Commit, error) {
	if !commitPattern.MatchString(text) {
		return "", fmt.Errorf("%q is not a full commit id (40 or 64 lower-case hex digits)", text)
	}
	return Commit(text), nil
}

func (c Commit) String() string { return string(c) }

// TagFinder finds the image that a tag points to; false if the tag does not exist.
type TagFinder interface {
	Find(ctx context.Context, repository Repository, tag Tag) (ImageInfo, bool, error)
}

// CommitOf returns the commit that an image is of: the one that its revision label names or, of an image that another program built without a
// label, the expected commit if that commit's tag of the repository names the image (build --adopt sets it). Any other image is a *Refusal: its
// commit is not known. It is the one rule of smoke, which records the commit, and promote, which compares it. expected may be "".
func CommitOf(ctx context.Context, image Image, revision string, expected Commit, tags TagFinder) (Commit, error) {
	if revision != "" || expected == "" {
		commit, err := ParseCommit(revision)
		if err != nil {
			return "", &Refusal{Why: fmt.Sprintf("image %q is labelled with revision %q, which is not a commit", image, revision),
				Do: "build the image from a clean work tree; an image that belongs to no commit cannot be proved"}
		}
		return commit, nil
	}
	tagged, found, err := tags.Find(ctx, image.Repository, Tag(expected))
	if err != nil {
		return "", err
	}
	if !found || tagged.Digest != image.Digest {
		return "", &Refusal{Why: fmt.Sprintf("image %q has no revision label, and tag %s of its repository does not name it, so that its commit is not known", image, expected),
			Do: "give it the commit's tag with build --adopt"}
	}
	return expected, nil
}

// Short returns the first 12 digits, for display only.
func (c Commit) Short() string { return string(c)[:min(12, len(c))] }

// minShort is the length of the shortest abbreviated commit id that is compared: git's default.
const minShort = 7

// IsNamedBy reports whether a text is the commit's id, or an abbreviation of it with at least 7 digits.
func (c Commit) IsNamedBy(text string) bool {
	return len(text) >= minShort && strings.HasPrefix(c.String(), text)
}

// Relation is how a commit that is to be deployed relates to the live one.
type Relation string

// Relations of the new commit to the live one.
const (
	RelationSame     Relation = "same"
	RelationAhead    Relation = "ahead"    // it descends from the live one
	RelationBehind   Relation = "behind"   // the live one descends from it
	RelationDiverged Relation = "diverged" // neither descends from the other
)

// CheckedOut is the commit from which files of work trees are checked out, compared with another one.
type CheckedOut struct {
	Commit    Commit   // of the first file whose work tree has another commit than the one compared with; that one if there is none
	Differing []string // the files and directories that the two commits have with different content
	Unknown   bool     // the history lacks the commit compared with, so that the content is not compared
	// Uncommitted are the files and directories that the work tree has otherwise than the commit that it has checked out: changed, new or ignored files.
	Uncommitted []string
	// Change is the first difference of the first of them. Its path is relative to that directory, or to the directory of that file.
	Change Difference
}

// CheckReuse returns a *Refusal of an image that is labelled with another commit than the one whose tag names it, if that tag cannot be from build: build
// reuses images of earlier commits alone. relation is that of the commit to the label's; "" if it is unknown, and then the tag is believed.
func CheckReuse(image Image, labelled, commit Commit, relation Relation) error {
	var order string
	switch relation {
	case RelationBehind:
		order = "a later one"
	case RelationDiverged:
		order = "which is no earlier one"
	default:
		return nil
	}
	return &Refusal{Why: fmt.Sprintf("tag %s in %q names %s, which was built from commit %s, %s: build reuses an image of an earlier commit only, so that somebody else set the tag", commit, image.Repository, image.Digest, labelled, order),
		Do: fmt.Sprintf("give the image that build returned for the commit, or, if the image of the other one is wanted, give --commit %s; make the repository's tags immutable", labelled)}
}

// MaxLost is how many lost commits a Comparison names.
const MaxLost = 5

// Comparison is the relation between the live commit and the commit to be deployed.
type Comparison struct {
	Relation  Relation
	Lost      []CommitSummary // if diverged: commits that the live one has and the new one lacks, at most MaxLost
	LostCount int             // number of all lost commits
}

// CommitSummary describes a commit to a person.
type CommitSummary struct {
	Commit  Commit
	Subject string // first line of its message, sanitized
}

// DescribeLost names the lost commits in one line.
func (c Comparison) DescribeLost() string {
	var names []string
	for _, lost := range c.Lost {
		names = append(names, strings.TrimSpace(fmt.Sprintf("%s %s", lost.Commit.Short(), lost.Subject)))
	}
	if more := c.LostCount - len(c.Lost); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, "; ")
}
