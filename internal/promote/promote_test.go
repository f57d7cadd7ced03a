package promote_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

const (
	commit  = releasetest.Commit
	another = releasetest.Another
)

// shelf is a registry in memory. It refuses what promote has no business to ask.
type shelf struct {
	manifests map[release.Image]release.TagState
	tags      map[string]release.Digest // repository:tag
	immutable bool
	inConfig  string         // the revision that only the image's configuration names
	steals    release.Digest // what somebody else tags just before us
	evidence  []release.Evidence
	requests  []string
}

func (s *shelf) Find(_ context.Context, repository release.Repository, tag release.Tag) (release.Tagged, bool, error) {
	held, found := s.tags[repository.String()+":"+tag.String()]
	return release.Tagged{Digest: held, Revision: s.manifests[repository.At(held)].Revision}, found, nil
}

func (s *shelf) Describe(_ context.Context, image release.Image) (release.Tagged, bool, error) {
	return release.Tagged{Digest: image.Digest, Revision: s.inConfig}, true, nil
}

func (s *shelf) Inspect(_ context.Context, repository release.Repository, d release.Digest, tag release.Tag) (release.TagState, error) {
	s.requests = append(s.requests, "look "+tag.String())
	looked, found := s.manifests[repository.At(d)]
	looked.Found, looked.TagDigest = found, s.tags[repository.String()+":"+tag.String()]
	return looked, nil
}

func (s *shelf) Tag(_ context.Context, repository release.Repository, looked release.TagState, d release.Digest, tag release.Tag) error {
	s.requests = append(s.requests, "tag "+tag.String())
	if !looked.Found || len(looked.Manifest) == 0 {
		return errors.New("tagging an image that was not read")
	}
	key := repository.String() + ":" + tag.String()
	if !s.steals.IsZero() {
		s.tags[key] = s.steals
	}
	if held, taken := s.tags[key]; taken && s.immutable {
		return &release.TagTakenError{Tag: tag, Holds: held, Wanted: d}
	}
	s.tags[key] = d
	return nil
}

func (s *shelf) Copy(_ context.Context, image release.Image, to release.Repository, tag release.Tag) error {
	s.requests = append(s.requests, "copy "+to.String())
	if !s.steals.IsZero() {
		return &release.TagTakenError{Tag: tag, Holds: s.steals, Wanted: image.Digest}
	}
	s.manifests[to.At(image.Digest)] = s.manifests[image]
	s.tags[to.String()+":"+tag.String()] = image.Digest
	return nil
}

func (s *shelf) Read(context.Context, release.Image) ([]release.Evidence, error) {
	return s.evidence, nil
}

// proved is a shelf with one image that staging proved.
func proved(t *testing.T) (*shelf, promote.Settings) {
	t.Helper()
	image := release.Repository("localhost:5000/shop").At(releasetest.Digest(t, "a"))
	return &shelf{
		manifests: map[release.Image]release.TagState{image: {Manifest: []byte("{}"), Revision: commit.String()}},
		tags:      map[string]release.Digest{"localhost:5000/shop:" + commit.String(): image.Digest},
		immutable: true,
		evidence: []release.Evidence{{Image: image, Commit: commit, Environment: "staging", Verdict: release.Pass,
			Checks: []string{"/"}, Rounds: 3, At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}},
	}, promote.Settings{Image: image, To: "production", From: "staging"}
}

func TestRunTagsTheProvedDigest(t *testing.T) {
	t.Parallel()
	shelf, settings := proved(t)
	world := promote.Deps{Registry: shelf, Evidence: shelf, Reporter: releasetest.Silence{}}
	tag := "production-" + commit.String()
	for _, want := range []struct {
		outcome  release.Outcome
		requests []string
	}{
		{release.Created, []string{"look " + tag, "tag " + tag, "look " + tag}},
		{release.Unchanged, []string{"look " + tag}},
	} {
		shelf.requests = nil
		result, err := promote.Run(t.Context(), settings, world)
		if err != nil {
			t.Fatal(err)
		}
		if result.Outcome != want.outcome || result.Digest != settings.Image.Digest || result.Tag.String() != tag || result.Commit != commit {
			t.Errorf("got %+v, want outcome %q", result, want.outcome)
		}
		if diff := cmp.Diff(want.requests, shelf.requests); diff != "" {
			t.Errorf("requests -want +got:\n%s", diff)
		}
	}
	if held := shelf.tags["localhost:5000/shop:"+tag]; held != settings.Image.Digest {
		t.Errorf("the tag holds %v", held)
	}
}

func TestRunFindsACommitsImage(t *testing.T) {
	t.Parallel()
	shelf, settings := proved(t)
	settings = promote.Settings{Repository: settings.Image.Repository, Commit: commit, To: "production", From: "staging"}
	result, err := promote.Run(t.Context(), settings, promote.Deps{Registry: shelf, Evidence: shelf, Reporter: releasetest.Silence{}})
	if err != nil || result.Digest != releasetest.Digest(t, "a") {
		t.Errorf("got %+v, %v", result, err)
	}
	settings.Commit = another
	_, err = promote.Run(t.Context(), settings, promote.Deps{Registry: shelf, Evidence: shelf, Reporter: releasetest.Silence{}})
	refused(t, err, "holds no image of commit")
}

func TestRunMovesTheMovingTag(t *testing.T) {
	t.Parallel()
	shelf, settings := proved(t)
	shelf.immutable, settings.MovingTag = false, "production"
	shelf.tags["localhost:5000/shop:production"] = releasetest.Digest(t, "b")
	if _, err := promote.Run(t.Context(), settings, promote.Deps{Registry: shelf, Evidence: shelf, Reporter: releasetest.Silence{}}); err != nil {
		t.Fatal(err)
	}
	if held := shelf.tags["localhost:5000/shop:production"]; held != settings.Image.Digest {
		t.Errorf("the moving tag holds %v", held)
	}
}

func TestRunCarriesIntoAnotherRepository(t *testing.T) {
	t.Parallel()
	shelf, settings := proved(t)
	settings.TargetRepository = "localhost:6000/prod/shop"
	for _, want := range []release.Outcome{release.Created, release.Unchanged} {
		result, err := promote.Run(t.Context(), settings, promote.Deps{Registry: shelf, Evidence: shelf, Reporter: releasetest.Silence{}})
		if err != nil || result.Outcome != want || result.Image != settings.TargetRepository.At(settings.Image.Digest) {
			t.Errorf("got %+v, %v; want %q", result, err, want)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(t *testing.T, shelf *shelf, settings *promote.Settings)
		want  string
	}{
		"no evidence":                       {func(_ *testing.T, s *shelf, _ *promote.Settings) { s.evidence = nil }, `nothing in the registry says that "staging" proved`},
		"evidence from another environment": {func(_ *testing.T, s *shelf, _ *promote.Settings) { s.evidence[0].Environment = "qa" }, "nothing in the registry says"},
		"evidence of another digest": {func(t *testing.T, s *shelf, _ *promote.Settings) {
			s.evidence[0].Image.Digest = releasetest.Digest(t, "b")
		}, "evidence is about"},
		"a later failure": {func(_ *testing.T, s *shelf, _ *promote.Settings) {
			later := s.evidence[0]
			later.At, later.Verdict = later.At.Add(time.Hour), release.Fail
			s.evidence = append(s.evidence, later)
		}, `the verdict in "staging" was "fail"`},
		"evidence without a commit":    {func(_ *testing.T, s *shelf, _ *promote.Settings) { s.evidence[0].Commit = "" }, "names no commit"},
		"evidence with another commit": {func(_ *testing.T, s *shelf, _ *promote.Settings) { s.evidence[0].Commit = another }, "is labelled with revision"},
		"a dirty image": {func(_ *testing.T, s *shelf, p *promote.Settings) {
			s.manifests[p.Image] = release.TagState{Manifest: []byte("{}"), Revision: commit.String() + "-dirty"}
		}, "is labelled with revision"},
		"an image that names no revision": {func(_ *testing.T, s *shelf, p *promote.Settings) {
			s.manifests[p.Image] = release.TagState{Manifest: []byte("{}")}
		}, `is labelled with revision ""`},
		"a dirty image that only its configuration tells": {func(_ *testing.T, s *shelf, p *promote.Settings) {
			s.manifests[p.Image], s.inConfig = release.TagState{Manifest: []byte("{}")}, commit.String()+"-dirty"
		}, "-dirty"},
		"a tag taken in between elsewhere": {func(t *testing.T, s *shelf, p *promote.Settings) {
			p.TargetRepository, s.steals = "localhost:6000/shop", releasetest.Digest(t, "b")
		}, "names sha256:bbbb"},
		"an image deleted since": {func(_ *testing.T, s *shelf, _ *promote.Settings) { clear(s.manifests) }, "not in its registry any more"},
		"a tag with another digest": {func(t *testing.T, s *shelf, _ *promote.Settings) {
			s.tags["localhost:5000/shop:production-"+commit.String()] = releasetest.Digest(t, "b")
		}, "names sha256:bbbb"},
		"a tag taken in between": {func(t *testing.T, s *shelf, _ *promote.Settings) { s.steals = releasetest.Digest(t, "b") }, "names sha256:bbbb"},
		"a moving tag that must not move": {func(t *testing.T, s *shelf, p *promote.Settings) {
			p.MovingTag = "production"
			s.tags["localhost:5000/shop:production"] = releasetest.Digest(t, "b")
		}, "does not let tag"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shelf, settings := proved(t)
			test.spoil(t, shelf, &settings)
			_, err := promote.Run(t.Context(), settings, promote.Deps{Registry: shelf, Evidence: shelf, Reporter: releasetest.Silence{}})
			refused(t, err, test.want)
		})
	}
}

func refused(t *testing.T, err error, want string) {
	t.Helper()
	var refusal *release.Refusal
	if !errors.As(err, &refusal) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want a refusal with %q", fmt.Sprint(err), want)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	image := "localhost:5000/shop@sha256:" + strings.Repeat("a", 64)
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"good":                       {[]string{"--image", image}, ""},
		"neither image nor commit":   {nil, "--image (INPUT_IMAGE): is missing"},
		"both image and commit":      {[]string{"--image", image, "--commit", commit.String(), "--repository", "localhost:5000/shop"}, "which can disagree"},
		"an unknown ladder":          {[]string{"--image", image, "--to", "moon"}, "is not above another environment"},
		"from itself":                {[]string{"--image", image, "--from", "production"}, "cannot prove an image for itself"},
		"a moving tag that is fixed": {[]string{"--image", image, "--tag", "x", "--moving-tag", "x"}, "must not move"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := new(promote.Settings).Declare().Parse(test.args, nil)
			if got := fmt.Sprint(err); test.want == "" && err != nil || !strings.Contains(got, test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
