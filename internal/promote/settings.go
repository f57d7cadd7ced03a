package promote

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Verb declares promote: its help text, its action and its page of the reference are generated from it.
var Verb = setting.Verb{
	Name:    "promote",
	Summary: "tag the digest that one environment proved for the next environment",
	About: "Requires evidence: a pass that smoke recorded for exactly this digest in the previous environment (--from), that nobody rejected the digest, and what else the policy of the repository asks for (docs/policy.md); each requirement is printed with what was found. Then pushes the manifest's own " +
		"bytes under the new tag, so the digest stays the same: nothing is rebuilt, and no layer is copied within a repository. " +
		"Reads the tag back afterwards and compares the digest. With several images, the evidence and the tags of all are checked before the first tag is written.",
	Examples: []setting.Example{
		{Does: "promote the image that build printed and staging proved", Line: `--image "$IMAGE" --to production`},
		{Does: "promote both images of a release; if one is refused, neither is tagged", Line: `--image "$IMAGE" --image worker="$WORKER" --to production`},
		{Does: "promote a commit", Line: `--repository 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop --commit "$(git rev-parse HEAD)"`},
		{Does: "also move a tag to the newest promoted image", Line: `--image "$IMAGE" --to production --moving-tag production`},
		{Does: "promote what staging proved of all services of a monorepo (docs/matrix.md)", Line: `--matrix services.yaml --commit "$(git rev-parse HEAD)"`},
		{Does: "copy the image into another account's repository", Line: `--image "$IMAGE" --to production --target-repository 210987654321.dkr.ecr.eu-central-1.amazonaws.com/live/shop`},
	},
	Outputs: []setting.Output{
		{Name: "image", Help: "the promoted image as repository@sha256:…; the main one of several"},
		{Name: "images", Help: "all promoted images, one per line as deploy's input image takes them"},
		{Name: "digest", Help: "the image's digest, unchanged by the promotion"},
		{Name: "tag", Help: "the tag of the promoted image"},
		{Name: "commit", Help: "the commit that the image was built from"},
		{Name: "source", Help: "the commit that was given, whose chart and values belong to the promotion; the image's if a digest was given"},
		{Name: "outcome", Help: "created, unchanged if the tags named the images already, or planned (dry-run)"},
		{Name: "services", Help: "JSON: the results of a matrix's services"},
	},
}

// Settings are the inputs of promote.
type Settings struct {
	PlainHTTP        []string             // registries
	Name             string               // of the image, "" for the main one
	Image            release.Image        // the main one
	Further          []release.BuiltImage // other images of the release, with their names
	Repository       release.Repository
	Commit           release.Commit
	To               release.Environment
	From             release.Environment
	Tag              release.Tag
	MovingTag        release.Tag
	TargetRepository release.Repository
	FurtherTargets   map[string]release.Repository // of further images, by their names
	MaxAge           time.Duration
	DryRun           bool
	VerifyKeys       []setting.KeyRef
	SignKey          setting.KeyRef // signs that an image was promoted, and copied into its target repository, and that the rules were overridden
	LegacySignatures string         // of cosign 2: warn or refuse
	Policy           string         // file of rules; "": the default one, if it exists
	OverrideReason   string         // "": the rules are not overridden
	Reject           string         // why no environment may take the image; "": it is promoted
	LiftRejection    string         // why the rejections for the environment were wrong; "": it is promoted
	matrix.Options
}

// Declare declares every setting and binds it to its field.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	var (
		images  []setting.Named[release.Image]
		targets []setting.Named[release.Repository]
	)
	setting.List(set, &images, setting.Setting{Name: "image", Value: "[NAME=]REPO@sha256:…",
		Help: "Image to promote; alternatively give repository and commit. The one without a name is the release's main image; each further one has a name, as for deploy"},
		setting.ParseNamed(release.ParseImage))
	setting.Var(set, &s.Repository, setting.Setting{Name: "repository", Value: "HOST/PATH",
		Help: "Repository that holds the commit's image"}, release.ParseRepository)
	setting.Var(set, &s.Commit, setting.Setting{Name: "commit", Value: "SHA", Commit: true,
		Help: "Commit, full or short, whose image to promote"}, release.ParseCommit)
	setting.Var(set, &s.To, setting.Setting{Name: "to", Default: "production", Value: "NAME",
		Help: "Environment to promote to"}, release.ParseEnvironment)
	setting.Var(set, &s.From, setting.Setting{Name: "from", Value: "NAME",
		Help: "Environment that must have proved the image; default: what the policy says, otherwise the one before --to in the order staging, production"}, release.ParseEnvironment)
	setting.Var(set, &s.Tag, setting.Setting{Name: "tag", Value: "TAG",
		Help: "Tag for the promoted image; default: the environment and the commit (production-<sha>). Neither another commit's, nor another environment's, nor one under which registries list evidence (sha256-…)"}, release.ParseTag)
	setting.Var(set, &s.MovingTag, setting.Setting{Name: "moving-tag", Value: "TAG",
		Help: "Second tag to move to the image; the repository must allow this tag to be moved. It names no commit"}, release.ParseTag)
	setting.List(set, &targets, setting.Setting{Name: "target-repository", Value: "[NAME=]HOST/PATH",
		Help: "Repository to promote an image into, together with its evidence and the statement that it was copied, signed with --sign-key; default: the image's own"}, setting.ParseNamed(release.ParseRepository))
	setting.DeclareMaxAge(set, &s.MaxAge)
	setting.Bool(set, &s.DryRun, setting.Setting{Name: "dry-run",
		Help: "Check the evidence and the tags, and write no tag; fails if the promotion would be refused"})
	s.Options.Declare(set, true)
	set.Check(func() error { return s.setImages(images, targets) })
	setting.DeclarePlainHTTP(set, &s.PlainHTTP)
	setting.DeclareVerifyKeys(set, &s.VerifyKeys)
	setting.DeclareSignKey(set, &s.SignKey)
	setting.DeclareLegacySignatures(set, &s.LegacySignatures)
	setting.DeclarePolicy(set, &s.Policy)
	setting.DeclareOverride(set, &s.OverrideReason)
	setting.Var(set, &s.Reject, setting.Setting{Name: "reject", Value: "TEXT",
		Help: "Only record that the image must not enter any environment again, and why; no promotion passes it. It is recorded in the image's own repository, so that it goes without --target-repository"}, setting.ParseReason)
	setting.Var(set, &s.LiftRejection, setting.Setting{Name: "lift-rejection", Value: "TEXT",
		Help: "Only record that what keeps the image from the environment (--to) was wrong, and why: rejections, and its failed smoke there; needs --sign-key with a key that the policy names for the environment, or one of --verify-key; neither if nothing names signers"}, setting.ParseReason)
	set.Check(s.validate)
	return set
}

// setImages sets the images and the repositories that they are promoted into.
func (s *Settings) setImages(given []setting.Named[release.Image], targets []setting.Named[release.Repository]) error {
	images, problems := setting.Images(given)
	problems = append(problems, setting.CheckRepositories(images)...)
	if len(images) > 0 {
		s.Image, s.Further = images[0].Image, images[1:]
	}
	refuse := func(what, do string) {
		problems = append(problems, release.Problem{Setting: "target-repository", What: what, Do: do})
	}
	for _, target := range targets {
		isKnown := target.Name == "" || slices.ContainsFunc(images, func(image release.BuiltImage) bool { return image.Name == target.Name })
		_, isTaken := s.FurtherTargets[target.Name]
		switch {
		case !isKnown:
			refuse(fmt.Sprintf("there is no image %q", target.Name), "name one of the images")
		case isTaken:
			refuse(fmt.Sprintf("is given twice for image %q", target.Name), "give one")
		default:
			if s.FurtherTargets == nil {
				s.FurtherTargets = map[string]release.Repository{}
			}
			s.FurtherTargets[target.Name] = target.Value
		}
	}
	if main, isSet := s.FurtherTargets[""]; isSet {
		s.TargetRepository = main
		delete(s.FurtherTargets, "")
	}
	claimed := map[release.Repository]string{}
	for _, one := range s.each() {
		repository := cmp.Or(one.TargetRepository, one.Image.Repository)
		if other, isClaimed := claimed[repository]; isClaimed && repository != "" {
			refuse(fmt.Sprintf("two images are promoted into %s: %s and %s", repository, other, one.Image), "give each image a repository of its own")
		}
		claimed[repository] = one.Image.String()
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// each returns the settings of each image alone, the main one first.
func (s Settings) each() []Settings {
	main := s
	main.Further, main.FurtherTargets = nil, nil
	each := []Settings{main}
	for _, further := range s.Further {
		one := main
		one.Name, one.Image, one.TargetRepository = further.Name, further.Image, s.FurtherTargets[further.Name]
		one.Repository, one.Commit = "", ""
		each = append(each, one)
	}
	return each
}

// validate refuses settings that contradict each other.
func (s *Settings) validate() error {
	var problems []release.Problem
	problems = append(problems, s.checkStatement()...)
	if s.From == s.To && s.To != "" {
		problems = append(problems, release.Problem{Setting: "from", What: fmt.Sprintf("%q cannot prove an image for itself", s.From), Do: "name the environment before it in --from, or leave --from out"})
	}
	if s.MovingTag != "" && s.MovingTag == s.Tag {
		problems = append(problems, release.Problem{Setting: "moving-tag", What: "is the same as --tag, which must not move", Do: "give another tag"})
	}
	problems = append(problems, s.checkTags()...)
	if s.Matrix != "" {
		if !s.Image.IsZero() || s.Tag != "" {
			problems = append(problems, release.Problem{Setting: "matrix", What: "is given together with an image or a tag, of which each service has its own", Do: "give --digests or --commit"})
		}
		if len(s.Digests) > 0 && s.Commit != "" {
			problems = append(problems, release.Problem{Setting: "digests", What: "is given together with --commit, which can disagree with it", Do: "give either the digests or the commit"})
		}
		return problemsError(problems)
	}
	byCommit := s.Repository != "" && s.Commit != ""
	switch {
	case s.Image.IsZero() && !byCommit:
		problems = append(problems, release.Problem{Setting: "image", What: "is missing", Do: "give the image, or --repository and --commit"})
	case !s.Image.IsZero() && (s.Repository != "" || s.Commit != ""):
		problems = append(problems, release.Problem{Setting: "image", What: "is given together with --repository or --commit, which can disagree with it", Do: "give either the image or repository and commit"})
	}
	return problemsError(problems)
}

// checkStatement refuses settings of a promotion beside --reject or --lift-rejection, which write one statement about the image in its own repository.
func (s *Settings) checkStatement() (problems []release.Problem) {
	if s.Reject == "" && s.LiftRejection == "" {
		return nil
	}
	const what = "is given together with --reject or --lift-rejection, which only record a statement"
	if s.Reject != "" && s.LiftRejection != "" {
		problems = append(problems, release.Problem{Setting: "reject", What: "is given together with --lift-rejection", Do: "give one of them"})
	}
	for _, each := range []struct {
		setting string
		isGiven bool
	}{{"override-reason", s.OverrideReason != ""}, {"matrix", s.Matrix != ""}, {"dry-run", s.DryRun}, {"tag", s.Tag != ""}, {"moving-tag", s.MovingTag != ""}} {
		if each.isGiven {
			problems = append(problems, release.Problem{Setting: each.setting, What: what, Do: "leave it out"})
		}
	}
	if s.TargetRepository != "" || len(s.FurtherTargets) > 0 {
		problems = append(problems, release.Problem{Setting: "target-repository", What: what, Do: "leave it out; the statement is about the image in the repository of --image, so that one about the copy names that: --image TARGET@sha256:…"})
	}
	return problems
}

// checkTags refuses tags that others write: the list of what is attached to an image, and the tags of commits and of other environments. Those of environments that
// only the rules list (checkTagsOf), and whether a commit in --tag is the image's (checkOwnTags), are known later.
func (s *Settings) checkTags() (problems []release.Problem) {
	refuse := func(name, what, do string) {
		problems = append(problems, release.Problem{Setting: name, What: what, Do: do})
	}
	for _, given := range []struct {
		setting string
		tag     release.Tag
	}{{"tag", s.Tag}, {"moving-tag", s.MovingTag}} {
		environment, commit, isNamed := given.tag.Named()
		switch {
		case given.tag.IsReferrersTag():
			refuse(given.setting, fmt.Sprintf("%q has the form of the tags under which registries list the evidence and the signatures of an image, which would be lost", given.tag), "name it otherwise")
		case !isNamed:
		case environment == s.From && s.From != "" && environment != s.To, slices.Contains(release.DefaultPromotionOrder, environment) && environment != s.To:
			problems = append(problems, s.ofAnother(given.setting, given.tag, environment, commit))
		case given.setting == "moving-tag":
			refuse(given.setting, fmt.Sprintf("%q is the tag of commit %s, which must not move", given.tag, commit.Short()), "name it without a commit, such as "+s.To.String())
		case given.tag.String() != commit.String() && environment == "":
			refuse(given.setting, fmt.Sprintf("%q is the tag of uncommitted work on commit %s, which registries are told to delete", given.tag, commit.Short()), "name it otherwise")
		}
	}
	return problems
}

// ofAnother is the problem of a tag by which an image is promoted to another environment.
func (s *Settings) ofAnother(name string, tag release.Tag, environment release.Environment, commit release.Commit) release.Problem {
	return release.Problem{Setting: name, What: fmt.Sprintf("%q is the tag by which commit %s is promoted to %q, and this is a promotion to %q", tag, commit.Short(), environment, s.To),
		Do: "choose another tag, or give that environment in --to"}
}

// checkTagsOf refuses the tags of other environments that the rules list. Those that are known without the rules are refused by checkTags. The error is a *release.InputError.
func (s *Settings) checkTagsOf(rules policy.Policy) error {
	var problems []release.Problem
	for _, given := range []struct {
		setting string
		tag     release.Tag
	}{{"tag", s.Tag}, {"moving-tag", s.MovingTag}} {
		environment, commit, isNamed := given.tag.Named()
		if _, isListed := rules.Rung(environment); isNamed && isListed && environment != s.To {
			problems = append(problems, s.ofAnother(given.setting, given.tag, environment, commit))
		}
	}
	return problemsError(problems)
}

func problemsError(problems []release.Problem) error {
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}
