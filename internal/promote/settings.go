package promote

import (
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Verb is what promote says of itself.
var Verb = setting.Verb{
	Name:    "promote",
	Summary: "give the digest that an environment proved the next environment's tag",
	About: "Looks for the evidence that smoke recorded for exactly this digest in the environment below, and refuses without it. Then tags " +
		"the manifest's own bytes: no layer moves and nothing is built, so that the digest stays what it was. The tag is read " +
		"again afterwards and compared.",
	Examples: []setting.Example{
		{Does: "promote what staging proved", Line: "go run ./cmd/promote --image 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop@sha256:… --to production"},
		{Does: "promote a commit", Line: "go run ./cmd/promote --repository localhost:5000/shop --commit $(git rev-parse HEAD)"},
		{Does: "also move a tag that says what is newest", Line: "go run ./cmd/promote --image localhost:5000/shop@sha256:… --to production --moving-tag production"},
		{Does: "into another account's repository", Line: "go run ./cmd/promote --image 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop@sha256:… --to production --target-repository 210987654321.dkr.ecr.eu-central-1.amazonaws.com/shop"},
	},
	Outputs: []setting.Output{
		{Name: "image", Help: "the promoted image as repository@sha256:…"},
		{Name: "digest", Help: "its digest, the same as before"},
		{Name: "tag", Help: "the tag that names it now"},
		{Name: "commit", Help: "the commit that it was built from"},
		{Name: "outcome", Help: "created or unchanged"},
	},
}

// Settings are what promote can be told.
type Settings struct {
	Image            release.Image
	Repository       release.Repository
	Commit           release.Commit
	To               release.Environment
	From             release.Environment
	Tag              release.Tag
	MovingTag        release.Tag
	TargetRepository release.Repository
}

// Declare binds the settings to their declarations.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	setting.Var(set, &s.Image, setting.Setting{Name: "image", Value: "REPO@sha256:…",
		Help: "Image to promote; or give repository and commit"}, release.ParseImage)
	setting.Var(set, &s.Repository, setting.Setting{Name: "repository", Value: "HOST/PATH",
		Help: "Repository in which to find a commit's image"}, release.ParseRepository)
	setting.Var(set, &s.Commit, setting.Setting{Name: "commit", Value: "SHA",
		Help: "Commit whose image to promote"}, release.ParseCommit)
	setting.Var(set, &s.To, setting.Setting{Name: "to", Default: "production", Value: "NAME",
		Help: "Environment to promote to"}, release.ParseEnvironment)
	setting.Var(set, &s.From, setting.Setting{Name: "from", Value: "NAME",
		Help: "Environment that must have proved the image; the one below --to on the ladder staging, production if not given"}, release.ParseEnvironment)
	setting.Var(set, &s.Tag, setting.Setting{Name: "tag", Value: "TAG",
		Help: "Tag to give; the environment and the commit (production-<sha>) if not given"}, release.ParseTag)
	setting.Var(set, &s.MovingTag, setting.Setting{Name: "moving-tag", Value: "TAG",
		Help: "Second tag that moves to the image; the repository must allow that tag to move"}, release.ParseTag)
	setting.Var(set, &s.TargetRepository, setting.Setting{Name: "target-repository", Value: "HOST/PATH",
		Help: "Repository to promote into; the image's own if not given"}, release.ParseRepository)
	set.Check(s.fit)
	return set
}

func (s *Settings) fit() error {
	var problems []release.Problem
	if s.From == "" {
		below, found := release.DefaultLadder.Below(s.To)
		if !found {
			problems = append(problems, release.Problem{Where: "--from (INPUT_FROM)",
				What: fmt.Sprintf("is missing, and %q is not above another environment on the ladder", s.To), Do: "say which environment must have proved the image"})
		}
		s.From = below
	}
	if s.From == s.To && s.To != "" {
		problems = append(problems, release.Problem{Where: "--from (INPUT_FROM)", What: fmt.Sprintf("%q cannot prove an image for itself", s.From)})
	}
	if s.MovingTag != "" && s.MovingTag == s.Tag {
		problems = append(problems, release.Problem{Where: "--moving-tag (INPUT_MOVING_TAG)", What: "is the same as the tag that must not move"})
	}
	byCommit := s.Repository != "" && s.Commit != ""
	switch {
	case s.Image.IsZero() && !byCommit:
		problems = append(problems, release.Problem{Where: "--image (INPUT_IMAGE)", What: "is missing", Do: "give the image, or its --repository and --commit"})
	case !s.Image.IsZero() && (s.Repository != "" || s.Commit != ""):
		problems = append(problems, release.Problem{Where: "--image (INPUT_IMAGE)", What: "is given together with a repository or a commit, which can disagree", Do: "give one or the other"})
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}
