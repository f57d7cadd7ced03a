package promote

import (
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Verb declares promote: its help text, its action and its page of the reference are generated from it.
var Verb = setting.Verb{
	Name:    "promote",
	Summary: "tag the digest that one environment proved for the next environment",
	About: "Requires evidence: a pass that smoke recorded for exactly this digest in the environment below. Then pushes the manifest's own " +
		"bytes under the new tag, so the digest stays the same: nothing is rebuilt, and no layer is copied within a repository. " +
		"Reads the tag back afterwards and compares the digest.",
	Examples: []setting.Example{
		{Does: "promote the image that build printed and staging proved", Line: `--image "$IMAGE" --to production`},
		{Does: "promote a commit", Line: `--repository 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop --commit "$(git rev-parse HEAD)"`},
		{Does: "also move a tag to the newest promoted image", Line: `--image "$IMAGE" --to production --moving-tag production`},
		{Does: "copy the image into another account's repository", Line: `--image "$IMAGE" --to production --target-repository 210987654321.dkr.ecr.eu-central-1.amazonaws.com/live/shop`},
	},
	Outputs: []setting.Output{
		{Name: "image", Help: "the promoted image as repository@sha256:…"},
		{Name: "digest", Help: "the image's digest, unchanged by the promotion"},
		{Name: "tag", Help: "the tag of the promoted image"},
		{Name: "commit", Help: "the commit that the image was built from"},
		{Name: "source", Help: "the commit that was given, whose chart and values belong to the promotion; the image's if a digest was given"},
		{Name: "outcome", Help: "created, or unchanged if the tag named the image already"},
	},
}

// Settings are the inputs of promote.
type Settings struct {
	Image            release.Image
	Repository       release.Repository
	Commit           release.Commit
	To               release.Environment
	From             release.Environment
	Tag              release.Tag
	MovingTag        release.Tag
	TargetRepository release.Repository
	MaxAge           time.Duration
}

// Declare declares every setting and binds it to its field.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	setting.Var(set, &s.Image, setting.Setting{Name: "image", Value: "REPO@sha256:…",
		Help: "Image to promote; alternatively give repository and commit"}, release.ParseImage)
	setting.Var(set, &s.Repository, setting.Setting{Name: "repository", Value: "HOST/PATH",
		Help: "Repository that holds the commit's image"}, release.ParseRepository)
	setting.Var(set, &s.Commit, setting.Setting{Name: "commit", Value: "SHA", Commit: true,
		Help: "Commit, full or short, whose image to promote"}, release.ParseCommit)
	setting.Var(set, &s.To, setting.Setting{Name: "to", Default: "production", Value: "NAME",
		Help: "Environment to promote to"}, release.ParseEnvironment)
	setting.Var(set, &s.From, setting.Setting{Name: "from", Value: "NAME",
		Help: "Environment that must have proved the image; default: the environment below --to in the order staging, production"}, release.ParseEnvironment)
	setting.Var(set, &s.Tag, setting.Setting{Name: "tag", Value: "TAG",
		Help: "Tag for the promoted image; default: the environment and the commit (production-<sha>)"}, release.ParseTag)
	setting.Var(set, &s.MovingTag, setting.Setting{Name: "moving-tag", Value: "TAG",
		Help: "Second tag to move to the image; the repository must allow this tag to be moved"}, release.ParseTag)
	setting.Var(set, &s.TargetRepository, setting.Setting{Name: "target-repository", Value: "HOST/PATH",
		Help: "Repository to promote into, together with the evidence; default: the image's own"}, release.ParseRepository)
	setting.Var(set, &s.MaxAge, setting.Setting{Name: "max-age", Default: "720h", Value: "DURATION",
		Help: "Maximum age of the evidence; at least 168h, because smoke records a repeated pass only after that time"}, maxAge)
	set.Check(s.validate)
	return set
}

// maxAge accepts a duration that smoke's records can keep.
func maxAge(text string) (time.Duration, error) {
	duration, err := setting.Duration(text)
	if err == nil && duration < release.RecordFreshFor {
		err = fmt.Errorf("%s is less than %s, in which smoke does not record the same verdict again", duration, release.RecordFreshFor)
	}
	return duration, err
}

// validate fills in the default of from and refuses settings that contradict each other.
func (s *Settings) validate() error {
	var problems []release.Problem
	if s.From == "" {
		below, found := release.DefaultLadder.Below(s.To)
		if !found {
			problems = append(problems, release.Problem{Setting: "from",
				What: fmt.Sprintf("is missing, and %q is not above another environment on the ladder", s.To), Do: "name the environment that must have proved the image"})
		}
		s.From = below
	}
	if s.From == s.To && s.To != "" {
		problems = append(problems, release.Problem{Setting: "from", What: fmt.Sprintf("%q cannot prove an image for itself", s.From)})
	}
	if s.MovingTag != "" && s.MovingTag == s.Tag {
		problems = append(problems, release.Problem{Setting: "moving-tag", What: "is the same as --tag, which must not move"})
	}
	byCommit := s.Repository != "" && s.Commit != ""
	switch {
	case s.Image.IsZero() && !byCommit:
		problems = append(problems, release.Problem{Setting: "image", What: "is missing", Do: "give the image, or --repository and --commit"})
	case !s.Image.IsZero() && (s.Repository != "" || s.Commit != ""):
		problems = append(problems, release.Problem{Setting: "image", What: "is given together with --repository or --commit, which can disagree with it", Do: "give either the image or repository and commit"})
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}
