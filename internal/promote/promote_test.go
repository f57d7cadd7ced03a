package promote_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting/settingtest"
)

const (
	commit      = releasetest.Commit
	otherCommit = releasetest.Another
)

// fakeRegistry is a registry in memory with its evidence. It refuses to tag an image that was not inspected.
type fakeRegistry struct {
	mu             sync.Mutex // promote reads several things at once
	manifests      map[release.Image]release.TagState
	tags           map[string]release.Digest // repository:tag
	forgets        bool                      // it accepts a tag and does not store it
	immutable      bool
	configRevision string         // the revision that only the image's configuration has
	takenBy        release.Digest // what somebody else tags just before promote does
	evidence       []release.Evidence
	newestErr      error
	copyRecordErr  error
	found          *release.ImageInfo // what Find finds, whatever the tag
	inspectErr     map[string]error   // by repository:tag
	tagErr         map[string]error   // by repository:tag
	requests       []string
	against        []policy.Rejection
	lifted         []release.Digest
	againstAt      map[release.Repository][]policy.Rejection // of other repositories
	mayOverride    error
	overrideErr    error
}

func (f *fakeRegistry) Find(_ context.Context, repository release.Repository, tag release.Tag) (release.ImageInfo, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.found != nil {
		return *f.found, true, nil
	}
	held, found := f.tags[repository.String()+":"+tag.String()]
	return release.ImageInfo{Digest: held, Revision: f.manifests[repository.At(held)].Revision}, found, nil
}

func (f *fakeRegistry) Describe(_ context.Context, image release.Image) (release.ImageInfo, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return release.ImageInfo{Digest: image.Digest, Revision: f.configRevision}, true, nil
}

func (f *fakeRegistry) Inspect(_ context.Context, repository release.Repository, d release.Digest, tag release.Tag) (release.TagState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, "inspect "+tag.String())
	if err := f.inspectErr[repository.String()+":"+tag.String()]; err != nil {
		return release.TagState{}, err
	}
	state, found := f.manifests[repository.At(d)]
	state.Found, state.TagDigest = found, f.tags[repository.String()+":"+tag.String()]
	return state, nil
}

func (f *fakeRegistry) Tag(_ context.Context, repository release.Repository, state release.TagState, d release.Digest, tag release.Tag) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, "tag "+tag.String())
	if !state.Found || len(state.Manifest) == 0 {
		return errors.New("tagging an image that was not read")
	}
	key := repository.String() + ":" + tag.String()
	if err := f.tagErr[key]; err != nil {
		return err
	}
	if f.forgets {
		return nil
	}
	if !f.takenBy.IsZero() {
		f.tags[key] = f.takenBy
	}
	if held, taken := f.tags[key]; taken && f.immutable {
		return &release.TagTakenError{Tag: tag, Holds: held, Wanted: d}
	}
	f.tags[key] = d
	return nil
}

func (f *fakeRegistry) Copy(_ context.Context, image release.Image, to release.Repository, _ func(release.Progress)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, "copy "+to.String())
	f.manifests[to.At(image.Digest)] = f.manifests[image]
	return nil
}

func (f *fakeRegistry) Newest(_ context.Context, image release.Image, environment release.Environment) (newest release.Record, found bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.newestErr != nil {
		return release.Record{}, false, f.newestErr
	}
	for _, each := range f.evidence {
		if (each.Image.Digest == image.Digest || len(f.evidence) == 1) && each.Environment == environment && (!found || each.At.After(newest.At)) {
			newest, found = release.Record{Evidence: each, Record: image.Digest}, true
		}
	}
	return newest, found, nil
}

// Facts returns the evidence; nobody has rejected an image.
func (f *fakeRegistry) Facts(ctx context.Context, image release.Image, rung policy.Rung) (facts policy.Facts, err error) {
	facts.Image, facts.Against, facts.Lifted = image, f.against, f.lifted
	if rung.Requires.Smoked == nil {
		return facts, nil
	}
	facts.Smoked.Fact, facts.Smoked.Found, err = f.Newest(ctx, image, rung.Requires.Smoked.In)
	if unreadable := new(release.UnreadableRecordError); errors.As(err, &unreadable) {
		facts.Smoked.Err, err = unreadable, nil
	}
	return facts, err
}

func (f *fakeRegistry) Against(_ context.Context, image release.Image, _ policy.Rung) ([]policy.Rejection, error) {
	return f.againstAt[image.Repository], nil
}

func (f *fakeRegistry) MayOverride(context.Context, policy.Rung) error { return f.mayOverride }

func (f *fakeRegistry) Override(_ context.Context, image release.Image, overriding policy.Overriding) (release.Digest, error) {
	f.requests = append(f.requests, fmt.Sprintf("override %s by %s: %s", overriding.Environment, overriding.Actor, strings.Join(overriding.Missing, "; ")))
	return image.Digest, f.overrideErr
}

func (f *fakeRegistry) CopyEvidence(_ context.Context, image release.Image, _ release.Digest, to release.Repository, _ string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, found := f.manifests[to.At(image.Digest)]; !found {
		return errors.New("copying a record of an image that is not there")
	}
	f.requests = append(f.requests, "copy evidence to "+to.String())
	return f.copyRecordErr
}

// now is a minute after the evidence of provedImage.
func now() time.Time { return time.Date(2026, 1, 2, 3, 5, 5, 0, time.UTC) }

// provedImage returns a registry with one image that staging proved, and the settings that promote it.
func provedImage(t *testing.T) (*fakeRegistry, promote.Settings) {
	t.Helper()
	image := release.Repository("localhost:5000/shop").At(releasetest.Digest(t, "a"))
	return &fakeRegistry{
		manifests: map[release.Image]release.TagState{image: {Manifest: []byte("{}"), Revision: commit.String()}},
		tags:      map[string]release.Digest{"localhost:5000/shop:" + commit.String(): image.Digest},
		immutable: true,
		evidence: []release.Evidence{{Image: image, Commit: commit, Environment: "staging", Verdict: release.Pass,
			Checks: []string{"/"}, Rounds: 3, At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}},
	}, promote.Settings{Image: image, To: "production", From: "staging", MaxAge: 30 * 24 * time.Hour}
}

func TestRunTagsTheProvenDigest(t *testing.T) {
	t.Parallel()
	registry, settings := provedImage(t)
	deps := promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: releasetest.DiscardReporter{}, Now: now}
	tag := "production-" + commit.String()
	for _, want := range []struct {
		outcome  release.Outcome
		requests []string
	}{
		{release.Created, []string{"inspect " + tag, "tag " + tag, "inspect " + tag}},
		{release.Unchanged, []string{"inspect " + tag}},
	} {
		registry.requests = nil
		result, err := promote.Run(t.Context(), settings, deps)
		if err != nil {
			t.Fatal(err)
		}
		if result.Outcome != want.outcome || result.Digest != settings.Image.Digest || result.Tag.String() != tag || result.Commit != commit {
			t.Errorf("got %+v, want outcome %q", result, want.outcome)
		}
		if diff := cmp.Diff(want.requests, registry.requests); diff != "" {
			t.Errorf("requests -want +got:\n%s", diff)
		}
	}
	if held := registry.tags["localhost:5000/shop:"+tag]; held != settings.Image.Digest {
		t.Errorf("the tag holds %v", held)
	}
}

// TestADryRunTagsNothing, and refuses what a promotion would refuse.
func TestADryRunTagsNothing(t *testing.T) {
	t.Parallel()
	registry, settings := provedImage(t)
	settings.DryRun, settings.MovingTag = true, "live"
	deps := promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: releasetest.DiscardReporter{}, Now: now}
	before := len(registry.tags)
	result, err := promote.Run(t.Context(), settings, deps)
	if err != nil || result.Outcome != release.Planned || result.Digest != settings.Image.Digest || result.Source != commit || len(registry.tags) != before {
		t.Errorf("got %+v, %v, tags %v", result, err, registry.tags)
	}
	registry.evidence[0].Verdict = release.Fail
	if _, err := promote.Run(t.Context(), settings, deps); release.ExitCode(err) != release.ExitFailed {
		t.Errorf("got %v, want a refusal", err)
	}
}

func TestRunFindsACommitsImage(t *testing.T) {
	t.Parallel()
	registry, settings := provedImage(t)
	settings = promote.Settings{Repository: settings.Image.Repository, Commit: commit, To: "production", From: "staging"}
	result, err := promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: releasetest.DiscardReporter{}, Now: now})
	if err != nil || result.Digest != releasetest.Digest(t, "a") {
		t.Errorf("got %+v, %v", result, err)
	}
	settings.Commit = otherCommit
	_, err = promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: releasetest.DiscardReporter{}, Now: now})
	wantRefusal(t, err, "holds no image of commit")
}

// build gives the image of an earlier commit the tag of a commit that changes nothing that enters it.
func TestRunFindsAReusedImage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		info    release.ImageInfo
		refused bool
	}{
		"reused by build":         {release.ImageInfo{Revision: commit.String(), Inputs: "sha256:x"}, false},
		"tagged by adopt":         {release.ImageInfo{}, false},
		"tagged by somebody else": {release.ImageInfo{Revision: commit.String()}, true},
		"a dirty one":             {release.ImageInfo{Revision: commit.String() + "-dirty", Inputs: "sha256:x"}, true},
	} {
		registry, settings := provedImage(t)
		test.info.Digest = settings.Image.Digest
		registry.found = &test.info
		settings = promote.Settings{Repository: settings.Image.Repository, Commit: otherCommit, To: "production", From: "staging"}
		result, err := promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: releasetest.DiscardReporter{}, Now: now})
		if test.refused {
			wantRefusal(t, err, "names an image labelled with revision")
			continue
		}
		if err != nil || result.Commit != commit || result.Source != otherCommit || result.Digest != releasetest.Digest(t, "a") {
			t.Errorf("%s: got %+v, %v", name, result, err)
		}
	}
}

// TestRunRefusesTheImageOfALaterCommit: build reuses images of earlier commits only, so that somebody else set the tag.
func TestRunRefusesTheImageOfALaterCommit(t *testing.T) {
	t.Parallel()
	for relation, refused := range map[release.Relation]bool{release.RelationAhead: false, "": false, release.RelationBehind: true, release.RelationDiverged: true} {
		registry, settings := provedImage(t)
		registry.found = &release.ImageInfo{Digest: settings.Image.Digest, Revision: commit.String(), Inputs: "sha256:x"}
		settings = promote.Settings{Repository: settings.Image.Repository, Commit: otherCommit, To: "production", From: "staging"}
		var log strings.Builder
		_, err := promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: warnings{log: &log}, Now: now,
			KnownRelation: func(_ context.Context, earlier, of release.Commit) (release.Relation, bool) {
				if earlier != commit || of != otherCommit {
					t.Errorf("asked about %s and %s", earlier, of)
				}
				return relation, relation != ""
			}})
		if !refused && err != nil {
			t.Errorf("%q: got %v", relation, err)
		}
		if refused {
			wantRefusal(t, err, "build reuses an image of an earlier commit only")
		}
	}
}

// TestRunTagsALaterCommit: in another repository, deploy accepts the image as the later commit's by its tag.
func TestRunTagsALaterCommit(t *testing.T) {
	t.Parallel()
	registry, settings := provedImage(t)
	digest, target := settings.Image.Digest, release.Repository("localhost:6000/prod/shop")
	registry.found = &release.ImageInfo{Digest: digest, Revision: commit.String(), Inputs: "sha256:x"}
	settings = promote.Settings{Repository: settings.Image.Repository, Commit: otherCommit, TargetRepository: target, To: "production", From: "staging", MaxAge: settings.MaxAge}
	for range 2 {
		var log strings.Builder
		if _, err := promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: warnings{log: &log}, Now: now}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log.String(), `it does not show that "staging" ran the chart and values of commit `+otherCommit.Short()) {
			t.Errorf("the log is %q", log.String())
		}
	}
	if held := registry.tags[target.String()+":"+otherCommit.String()]; held != digest {
		t.Errorf("the later commit's tag holds %v", held)
	}
}

// TestAMovingTagThatIsFixed is found before anything is tagged, by a dry run too.
func TestAMovingTagThatIsFixed(t *testing.T) {
	t.Parallel()
	fixed := release.RepositorySettings{Exists: true, Immutable: true}
	for name, test := range map[string]struct {
		held     bool
		found    release.RepositorySettings
		err      error
		dry      bool
		refused  bool
		reported string
	}{
		"a dry run":       {true, fixed, nil, true, true, ""},
		"a run":           {true, fixed, nil, false, true, ""},
		"the first time":  {false, fixed, nil, true, false, "lets tag \"live\" be set once"},
		"excluded":        {true, release.RepositorySettings{Exists: true, Immutable: true, Except: []string{"li*"}}, nil, true, false, ""},
		"another one is":  {true, release.RepositorySettings{Exists: true, Immutable: true, Except: []string{"l"}}, nil, true, true, ""},
		"mutable":         {true, release.RepositorySettings{Exists: true}, nil, true, false, ""},
		"made immutable":  {true, release.RepositorySettings{Exists: true, Except: []string{"*"}}, nil, true, true, ""},
		"not known":       {true, release.RepositorySettings{}, nil, true, false, ""},
		"may not be read": {true, fixed, errors.New("denied"), true, false, ""},
	} {
		registry, settings := provedImage(t)
		settings.DryRun, settings.MovingTag = test.dry, "live"
		if test.held {
			registry.tags["localhost:5000/shop:live"] = releasetest.Digest(t, "b")
		}
		before := len(registry.tags)
		var log strings.Builder
		_, err := promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: warnings{log: &log}, Now: now,
			Settings: func(context.Context, release.Repository) (release.RepositorySettings, error) {
				return test.found, test.err
			}})
		if (release.ExitCode(err) == release.ExitFailed) != test.refused || len(registry.tags) != before || !strings.Contains(log.String(), test.reported) {
			t.Errorf("%s: got %v, tags %v, %s", name, err, registry.tags, log.String())
		}
	}
}

func TestRunMovesTheMovingTag(t *testing.T) {
	t.Parallel()
	registry, settings := provedImage(t)
	registry.immutable, settings.MovingTag = false, "production"
	registry.tags["localhost:5000/shop:production"] = releasetest.Digest(t, "b")
	if _, err := promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: releasetest.DiscardReporter{}, Now: now}); err != nil {
		t.Fatal(err)
	}
	if held := registry.tags["localhost:5000/shop:production"]; held != settings.Image.Digest {
		t.Errorf("the moving tag holds %v", held)
	}
}

func TestRunCopiesIntoAnotherRepository(t *testing.T) {
	t.Parallel()
	registry, settings := provedImage(t)
	settings.TargetRepository = "localhost:6000/prod/shop"
	tag := "production-" + commit.String()
	inspect, evidence := "inspect "+tag, "copy evidence to localhost:6000/prod/shop"
	for _, want := range []struct {
		outcome  release.Outcome
		requests []string
	}{
		{release.Created, []string{inspect, inspect, "copy localhost:6000/prod/shop", "watch localhost:6000/prod/shop", evidence, inspect, "tag " + tag, inspect}},
		{release.Unchanged, []string{inspect, inspect, "watch localhost:6000/prod/shop", evidence}},
	} {
		registry.requests = nil
		deps := promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: releasetest.DiscardReporter{}, Now: now,
			WatchExpiry: func(_ context.Context, image release.Image, _ release.Tag, _ release.Environment) {
				registry.requests = append(registry.requests, "watch "+image.Repository.String()) // the image must be there
			}}
		result, err := promote.Run(t.Context(), settings, deps)
		if err != nil || result.Outcome != want.outcome || result.Image != settings.TargetRepository.At(settings.Image.Digest) {
			t.Errorf("got %+v, %v; want %q", result, err, want.outcome)
		}
		if diff := cmp.Diff(want.requests, registry.requests); diff != "" {
			t.Errorf("%s: requests -want +got:\n%s", want.outcome, diff)
		}
	}
}

// TestRunAsksTheTargetForRejections: one that only the target repository has refuses the image, unless it is lifted where the image is from.
func TestRunAsksTheTargetForRejections(t *testing.T) {
	t.Parallel()
	record := releasetest.Digest(t, "e")
	for name, test := range map[string]struct {
		change func(*fakeRegistry, *promote.Settings)
		want   string
	}{
		"rejected there": {nil, "orders are lost"},
		"a record without digest": {func(r *fakeRegistry, s *promote.Settings) {
			r.againstAt[s.TargetRepository][0].Record = release.Digest{}
		}, "orders are lost"},
		"for another environment":    {func(r *fakeRegistry, s *promote.Settings) { r.againstAt[s.TargetRepository][0].Environment = "staging" }, ""},
		"lifted":                     {func(r *fakeRegistry, _ *promote.Settings) { r.lifted = []release.Digest{record} }, ""},
		"another one is lifted":      {func(r *fakeRegistry, _ *promote.Settings) { r.lifted = []release.Digest{releasetest.Digest(t, "d")} }, "orders are lost"},
		"into the image's own place": {func(_ *fakeRegistry, s *promote.Settings) { s.TargetRepository = "" }, ""},
	} {
		registry, settings := provedImage(t)
		settings.TargetRepository = "localhost:6000/prod/shop"
		registry.againstAt = map[release.Repository][]policy.Rejection{settings.TargetRepository: {{Image: settings.TargetRepository.At(settings.Image.Digest), Reason: "orders are lost", Record: record}}}
		if test.change != nil {
			test.change(registry, &settings)
		}
		_, err := promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: releasetest.DiscardReporter{}, Now: now})
		if (test.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
		if lift := "--image localhost:6000/prod/shop@" + settings.Image.Digest.String(); err != nil && !strings.Contains(err.Error(), lift) {
			t.Errorf("%s: got %v, want the rejection to be lifted where it is recorded: %s", name, err, lift)
		}
		if wrote := slices.ContainsFunc(registry.requests, func(each string) bool { return !strings.HasPrefix(each, "inspect") }); wrote && err != nil {
			t.Errorf("%s: the registry was changed: %s", name, registry.requests)
		}
	}
}

// A target that does not take the record gets no tag: what carries the tag would lack its proof.
func TestRunTagsNothingWithoutItsRecord(t *testing.T) {
	t.Parallel()
	registry, settings := provedImage(t)
	settings.TargetRepository, settings.MovingTag = "localhost:6000/prod/shop", "production"
	registry.copyRecordErr = errors.New("artifacts are not accepted")
	_, err := promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: releasetest.DiscardReporter{}, Now: now})
	if !errors.Is(err, registry.copyRecordErr) {
		t.Errorf("got %v, want %v", err, registry.copyRecordErr)
	}
	for tag := range registry.tags {
		if strings.HasPrefix(tag, settings.TargetRepository.String()+":") {
			t.Errorf("the tag %s was set", tag)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(t *testing.T, registry *fakeRegistry, settings *promote.Settings)
		want   string
	}{
		"no evidence":                       {func(_ *testing.T, r *fakeRegistry, _ *promote.Settings) { r.evidence = nil }, `the registry holds no evidence that "staging" proved`},
		"evidence from another environment": {func(_ *testing.T, r *fakeRegistry, _ *promote.Settings) { r.evidence[0].Environment = "qa" }, "the registry holds no evidence"},
		"evidence of another digest": {func(t *testing.T, r *fakeRegistry, _ *promote.Settings) {
			r.evidence[0].Image.Digest = releasetest.Digest(t, "b")
		}, "evidence is about"},
		"a later failure": {func(_ *testing.T, r *fakeRegistry, _ *promote.Settings) {
			later := r.evidence[0]
			later.At, later.Verdict = later.At.Add(time.Hour), release.Fail
			r.evidence = append(r.evidence, later)
		}, `the verdict in "staging" was "fail"`},
		"a later failure that cannot be read": {func(_ *testing.T, r *fakeRegistry, _ *promote.Settings) {
			r.newestErr = &release.UnreadableRecordError{Record: "sha256:cccc", Environment: "staging", Verdict: release.Fail, Created: "2026-01-02T04:04:05Z"}
		}, `record sha256:cccc (of 2026-01-02T04:04:05Z), which cannot be read, declares the verdict "fail" in "staging", and no newer one says otherwise; run smoke`},
		"evidence that is ten years old": {func(_ *testing.T, r *fakeRegistry, _ *promote.Settings) {
			r.evidence[0].At = now().AddDate(-10, 0, 0)
		}, `older than 30 days; run smoke in "staging" again`},
		"evidence of the future": {func(_ *testing.T, r *fakeRegistry, _ *promote.Settings) {
			r.evidence[0].At = now().Add(release.ClockSkew + time.Second)
		}, "which is in the future; run smoke"},
		"evidence about another repository": {func(_ *testing.T, r *fakeRegistry, _ *promote.Settings) {
			r.evidence[0].Image.Repository = "localhost:5000/other"
		}, `about the image in "localhost:5000/other", not in "localhost:5000/shop"; promote localhost:5000/other@sha256:`},
		"evidence without a commit":    {func(_ *testing.T, r *fakeRegistry, _ *promote.Settings) { r.evidence[0].Commit = "" }, "names no commit"},
		"evidence with another commit": {func(_ *testing.T, r *fakeRegistry, _ *promote.Settings) { r.evidence[0].Commit = otherCommit }, "is labelled with revision"},
		"a dirty image": {func(_ *testing.T, r *fakeRegistry, p *promote.Settings) {
			r.manifests[p.Image] = release.TagState{Manifest: []byte("{}"), Revision: commit.String() + "-dirty"}
		}, "is labelled with revision"},
		"an image that names no revision, whose commit has another": {func(t *testing.T, r *fakeRegistry, p *promote.Settings) {
			r.manifests[p.Image] = release.TagState{Manifest: []byte("{}")}
			r.tags["localhost:5000/shop:"+commit.String()] = releasetest.Digest(t, "b")
		}, `has no revision label`},
		"an image that names no revision": {func(_ *testing.T, r *fakeRegistry, p *promote.Settings) {
			clear(r.tags)
			r.manifests[p.Image] = release.TagState{Manifest: []byte("{}")}
		}, `has no revision label`},
		"a dirty revision in the configuration only": {func(_ *testing.T, r *fakeRegistry, p *promote.Settings) {
			r.manifests[p.Image], r.configRevision = release.TagState{Manifest: []byte("{}")}, commit.String()+"-dirty"
		}, "-dirty"},
		"a tag taken in between elsewhere": {func(t *testing.T, r *fakeRegistry, p *promote.Settings) {
			p.TargetRepository, r.takenBy = "localhost:6000/shop", releasetest.Digest(t, "b")
		}, "names sha256:bbbb"},
		"a Helm chart": {func(_ *testing.T, r *fakeRegistry, p *promote.Settings) {
			r.manifests[p.Image] = release.TagState{Manifest: []byte(`{"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json"}}`), Revision: commit.String()}
		}, "is a Helm chart, which no node can run"},
		"an image that was deleted": {func(_ *testing.T, r *fakeRegistry, _ *promote.Settings) { clear(r.manifests) }, "not in its registry any more"},
		"a tag with another digest": {func(t *testing.T, r *fakeRegistry, _ *promote.Settings) {
			r.tags["localhost:5000/shop:production-"+commit.String()] = releasetest.Digest(t, "b")
		}, "names sha256:bbbb"},
		"a tag taken in between": {func(t *testing.T, r *fakeRegistry, _ *promote.Settings) { r.takenBy = releasetest.Digest(t, "b") }, "names sha256:bbbb"},
		"a moving tag that must not move": {func(t *testing.T, r *fakeRegistry, p *promote.Settings) {
			p.MovingTag = "production"
			r.tags["localhost:5000/shop:production"] = releasetest.Digest(t, "b")
		}, "does not let tag"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			registry, settings := provedImage(t)
			test.change(t, registry, &settings)
			_, err := promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: releasetest.DiscardReporter{}, Now: now})
			wantRefusal(t, err, test.want)
		})
	}
}

// TestATagThatIsNotStored: a registry that accepts a tag and does not have it afterwards is a failure that says so.
func TestATagThatIsNotStored(t *testing.T) {
	t.Parallel()
	registry, settings := provedImage(t)
	registry.forgets = true
	_, err := promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: releasetest.DiscardReporter{}, Now: now})
	if release.ExitCode(err) != release.ExitFailed || !strings.Contains(fmt.Sprint(err), "the registry does not have it") {
		t.Errorf("got %v", err)
	}
}

func wantRefusal(t *testing.T, err error, want string) {
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
		"neither image nor commit":   {nil, "--image: is missing"},
		"both image and commit":      {[]string{"--image", image, "--commit", commit.String(), "--repository", "localhost:5000/shop"}, "which can disagree"},
		"a reason that says nothing": {[]string{"--image", image, "--override-reason", "  because  "}, "say what happened and who agreed"},
		"from itself":                {[]string{"--image", image, "--from", "production"}, "cannot prove an image for itself"},
		"a short age":                {[]string{"--image", image, "--max-age", "24h"}, "24 hours is less than 7 days"},
		"a tag of evidence": {[]string{"--image", image, "--tag", "sha256-" + strings.Repeat("a", 64), "--moving-tag", "sha256-" + strings.Repeat("b", 64) + ".sig"},
			`--tag: "sha256-` + strings.Repeat("a", 64) + `" has the form`},
		"another moving tag of evidence":     {[]string{"--image", image, "--tag", "sha256-1", "--moving-tag", "sha512-1"}, `--moving-tag: "sha512-1" has the form`},
		"a moving commit":                    {[]string{"--image", image, "--moving-tag", commit.String()}, "which must not move"},
		"a moving promotion":                 {[]string{"--image", image, "--moving-tag", "production-" + commit.String()}, "which must not move"},
		"a promotion to another environment": {[]string{"--image", image, "--tag", "staging-" + commit.String()}, `is promoted to "staging", and this is a promotion to "production"`},
		"one of a commit of SHA-256":         {[]string{"--image", image, "--from", "qa", "--moving-tag", "qa-" + strings.Repeat("c", 64)}, `is promoted to "qa"`},
		"a tag of one's own":                 {[]string{"--image", image, "--tag", "release-" + commit.String()}, ""},
		"a moving tag of a commit":           {[]string{"--image", image, "--moving-tag", "release-" + commit.String()}, "which must not move"},
		"a promotion to this environment":    {[]string{"--image", image, "--to", "staging", "--from", "qa", "--tag", "staging-" + commit.String()}, ""},
		"uncommitted work":                   {[]string{"--image", image, "--tag", commit.String() + "-dirty-1"}, "registries are told to delete"},
		"tags of other forms":                {[]string{"--image", image, "--tag", "v1.2.3-" + commit.String(), "--moving-tag", "sha256"}, ""},
		"a rejection in another repository":  {[]string{"--image", image, "--reject", "orders are lost", "--target-repository", "localhost:5000/live"}, "--target-repository: is given together with --reject"},
		"a lift in another repository":       {[]string{"--image", image, "--lift-rejection", "it was another image", "--target-repository", "localhost:5000/live"}, "--image TARGET@sha256:…"},
		"a rejection with tags":              {[]string{"--image", image, "--reject", "orders are lost", "--tag", "x", "--moving-tag", "y"}, "--moving-tag: is given together with --reject"},
		"a rejection and a lift":             {[]string{"--image", image, "--reject", "orders are lost", "--lift-rejection", "it was another image"}, "--reject: is given together with --lift-rejection"},
		"a rejection of a dry run":           {[]string{"--image", image, "--reject", "orders are lost", "--dry-run"}, "--dry-run: is given together with --reject"},
		"a rejection alone":                  {[]string{"--image", image, "--reject", "orders are lost"}, ""},
		"digests of a matrix":                {[]string{"--matrix", "m.yaml", "--digests", `{"shop": "sha256:` + strings.Repeat("a", 64) + `"}`}, ""},
		"a commit of a matrix":               {[]string{"--matrix", "m.yaml", "--commit", commit.String()}, ""},
		"digests and a commit of a matrix":   {[]string{"--matrix", "m.yaml", "--commit", commit.String(), "--digests", `{"shop": "sha256:` + strings.Repeat("a", 64) + `"}`}, "--digests: is given together with --commit"},
		"a moving tag that is fixed":         {[]string{"--image", image, "--tag", "x", "--moving-tag", "x"}, "must not move"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := settingtest.Apply(new(promote.Settings).Declare(), test.args...)
			if got := fmt.Sprint(err); test.want == "" && err != nil || !strings.Contains(got, test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// lifter records nothing.
type lifter struct{ promote.Rejections }

func (lifter) MayLift(context.Context, policy.Rung) error { return nil }

func (lifter) Lift(context.Context, release.Image, policy.Rung, string, string, []policy.Rejection) (release.Digest, error) {
	return release.Digest{}, nil
}

// TestALiftWithoutASignature: what is not signed counts only where no keys are verified, and the report says so.
func TestALiftWithoutASignature(t *testing.T) {
	t.Parallel()
	for _, signed := range []bool{true, false} {
		registry, settings := provedImage(t)
		registry.against = []policy.Rejection{{Reason: "orders are lost"}}
		settings.LiftRejection = "it was another image"
		if signed {
			settings.SignKey.Name = "production.key"
		}
		warned := new(strings.Builder)
		_, err := promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Rejections: lifter{}, Reporter: warnings{log: warned}, Now: now})
		if got := warned.String(); err != nil || !strings.Contains(got, "do not count for") || strings.Contains(got, "except where --verify-key") == signed {
			t.Errorf("signed %v: warned %q, %v", signed, got, err)
		}
	}
}

// TestTagsOfListedEnvironments: a tag is that of another environment if the rules list the environment, and one's own if they do not.
func TestTagsOfListedEnvironments(t *testing.T) {
	t.Parallel()
	for _, listed := range []bool{true, false} {
		registry, settings := provedImage(t)
		settings.Tag = "qa-" + release.Tag(commit)
		registry.tags["localhost:5000/shop:"+commit.String()] = settings.Image.Digest
		var rules policy.Policy
		if listed {
			rules.Ladder = []policy.Rung{{Environment: "qa"}, {Environment: settings.To}}
		}
		before := len(registry.tags)
		_, err := promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Policy: rules, Reporter: releasetest.DiscardReporter{}, Now: now})
		if (release.ExitCode(err) == release.ExitInput) != listed || !listed && err != nil || listed && (len(registry.tags) != before || !strings.Contains(err.Error(), `is promoted to "qa"`)) {
			t.Errorf("listed %v: got %v and %d tags, before %d", listed, err, len(registry.tags), before)
		}
	}
}

// TestTagsOfOtherCommits: a tag that names a commit has to name the image's, the one that was asked for, or that of another image of the same release. All are refused at once, before
// anything is written.
func TestTagsOfOtherCommits(t *testing.T) {
	t.Parallel()
	for tag, refused := range map[release.Tag]bool{
		release.Tag(commit): false, "production-" + release.Tag(commit): false, release.Tag(otherCommit): true, "production-" + release.Tag(otherCommit): true, "v2": false,
	} {
		registry, settings := provedImage(t)
		settings.Tag = tag
		registry.tags["localhost:5000/shop:"+commit.String()] = settings.Image.Digest
		before := len(registry.tags)
		_, err := promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: releasetest.DiscardReporter{}, Now: now})
		if (release.ExitCode(err) == release.ExitInput) != refused || !refused && err != nil || refused && (len(registry.tags) != before || !strings.Contains(err.Error(), "is of commit "+commit.Short())) {
			t.Errorf("%s: got %v and %d tags, before %d", tag, err, len(registry.tags), before)
		}
	}
	registry, settings := severalImages(t)
	settings.Tag = release.Tag(strings.Repeat("9", 40))
	_, err := promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: releasetest.DiscardReporter{}, Now: now})
	if input := new(release.InputError); !errors.As(err, &input) || len(input.Problems) != 1+len(settings.Further) {
		t.Errorf("several images: got %v", err)
	}
}

// severalImages adds two further images that staging proved.
func severalImages(t *testing.T) (*fakeRegistry, promote.Settings) {
	t.Helper()
	registry, settings := provedImage(t)
	for name, digit := range map[string]string{"worker": "b", "web": "c"} {
		image := release.Repository("localhost:5000/" + name).At(releasetest.Digest(t, digit))
		registry.manifests[image] = release.TagState{Manifest: []byte("{}"), Revision: otherCommit.String()}
		evidence := registry.evidence[0]
		evidence.Image, evidence.Commit = image, otherCommit
		registry.evidence = append(registry.evidence, evidence)
		settings.Further = append(settings.Further, release.BuiltImage{Name: name, Image: image})
	}
	slices.SortFunc(settings.Further, func(a, b release.BuiltImage) int { return strings.Compare(a.Name, b.Name) })
	return registry, settings
}

func TestRunTagsEveryImage(t *testing.T) {
	t.Parallel()
	registry, settings := severalImages(t)
	for _, want := range []release.Outcome{release.Created, release.Unchanged} {
		result, err := promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: releasetest.DiscardReporter{}, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, image := range result.Images {
			got = append(got, fmt.Sprintf("%s %s %s:%s", image.Name, image.Outcome, image.Image.Repository, image.Tag))
			if held := registry.tags[image.Image.Repository.String()+":"+image.Tag.String()]; held != image.Digest {
				t.Errorf("%s:%s is %s, want %s", image.Image.Repository, image.Tag, held, image.Digest)
			}
		}
		outcome := string(want)
		if diff := cmp.Diff([]string{" " + outcome + " localhost:5000/shop:production-" + commit.String(), "web " + outcome + " localhost:5000/web:production-" + otherCommit.String(),
			"worker " + outcome + " localhost:5000/worker:production-" + otherCommit.String()}, got); diff != "" || result.Outcome != want || result.Digest != settings.Image.Digest {
			t.Errorf("got %+v, -want +got:\n%s", result, diff)
		}
	}
}

// TestRunTagsNoneOfSeveral: what is wrong with one image is found before another one is tagged, and all is told at once.
func TestRunTagsNoneOfSeveral(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*fakeRegistry, *promote.Settings)
		want   []string
	}{
		"none has evidence": {func(f *fakeRegistry, s *promote.Settings) { f.evidence = nil }, []string{"proved sha256:aaa", "proved sha256:bbb", "proved sha256:ccc"}},
		"one failed":        {func(f *fakeRegistry, s *promote.Settings) { f.evidence[1].Verdict = release.Fail }, []string{`the verdict in "staging" was "fail"`}},
		"a tag that is taken": {func(f *fakeRegistry, s *promote.Settings) {
			f.tags["localhost:5000/worker:production-"+otherCommit.String()] = s.Image.Digest
		}, []string{"names sha256:aaa", "a released tag is never moved"}},
		"a tag that is taken in the target": {func(f *fakeRegistry, s *promote.Settings) {
			s.FurtherTargets = map[string]release.Repository{"worker": "localhost:5000/live/worker"}
			f.tags["localhost:5000/live/worker:production-"+otherCommit.String()] = s.Image.Digest
		}, []string{"a released tag is never moved"}},
		"a later commit's tag that is taken in the target": {func(f *fakeRegistry, s *promote.Settings) {
			f.found = &release.ImageInfo{Digest: s.Image.Digest, Revision: commit.String(), Inputs: "sha256:x"}
			s.Repository, s.Image, s.Commit, s.TargetRepository = s.Image.Repository, release.Image{}, otherCommit, "localhost:5000/live/shop"
			f.tags["localhost:5000/live/shop:"+otherCommit.String()] = releasetest.Digest(t, "f")
		}, []string{"a released tag is never moved"}},
		"a moving tag that cannot be read": {func(f *fakeRegistry, s *promote.Settings) {
			s.MovingTag = "live"
			f.inspectErr = map[string]error{"localhost:5000/shop:live": &release.Refusal{Why: "the tag is denied"}}
		}, []string{"the tag is denied"}},
		"an image that is gone": {func(f *fakeRegistry, s *promote.Settings) { delete(f.manifests, s.Further[1].Image) }, []string{"not in its registry any more"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			registry, settings := severalImages(t)
			test.change(registry, &settings)
			tags := len(registry.tags)
			_, err := promote.Run(t.Context(), settings, promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: releasetest.DiscardReporter{}, Now: now})
			for _, want := range test.want {
				wantRefusal(t, err, want)
			}
			if len(registry.tags) != tags || slices.ContainsFunc(registry.requests, func(r string) bool { return strings.HasPrefix(r, "tag ") || strings.HasPrefix(r, "copy ") }) {
				t.Errorf("tags are %v after %q", registry.tags, registry.requests)
			}
		})
	}
}

// TestAFailedTagLeavesTheMainImageUnpromoted: its tag and all moving tags are written once every further image is tagged.
func TestAFailedTagLeavesTheMainImageUnpromoted(t *testing.T) {
	t.Parallel()
	for _, failing := range []string{"localhost:5000/worker:production-" + otherCommit.String(), "localhost:5000/web:production-" + otherCommit.String(), "localhost:5000/shop:production-" + commit.String()} {
		registry, settings := severalImages(t)
		registry.immutable, settings.MovingTag = false, "live"
		registry.tagErr = map[string]error{failing: errors.New("the connection was lost")}
		deps := promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: releasetest.DiscardReporter{}, Now: now}
		if _, err := promote.Run(t.Context(), settings, deps); err == nil {
			t.Fatal("no error")
		}
		for tag := range registry.tags {
			if tag == "localhost:5000/shop:production-"+commit.String() || strings.HasSuffix(tag, ":live") {
				t.Errorf("%s was written before %s failed: %q", tag, failing, registry.requests)
			}
		}
		registry.tagErr = nil
		if _, err := promote.Run(t.Context(), settings, deps); err != nil {
			t.Error(err)
		}
		if held := registry.tags["localhost:5000/shop:live"]; held != settings.Image.Digest || len(registry.tags) != 7 {
			t.Errorf("the second run leaves %v", registry.tags)
		}
	}
}

func TestSettingsOfSeveralImages(t *testing.T) {
	t.Parallel()
	one, two := "localhost:5000/shop@sha256:"+strings.Repeat("a", 64), "localhost:5000/worker@sha256:"+strings.Repeat("b", 64)
	for name, test := range map[string]struct {
		flags []string
		want  string
	}{
		"two":                      {[]string{"--image", one, "--image", "worker=" + two}, "<nil>"},
		"a target for each":        {[]string{"--image", one, "--image", "worker=" + two, "--target-repository", "localhost:5000/live/shop", "--target-repository", "worker=localhost:5000/live/worker"}, "<nil>"},
		"no main image":            {[]string{"--image", "worker=" + two}, "no main image"},
		"two main images":          {[]string{"--image", one, "--image", two}, "2 times without a name"},
		"two of a name":            {[]string{"--image", one, "--image", "a=" + two, "--image", "a=" + two}, "the name of two images"},
		"one repository":           {[]string{"--image", one, "--image", "worker=localhost:5000/shop@sha256:" + strings.Repeat("b", 64)}, "claimed by two images"},
		"one target":               {[]string{"--image", one, "--image", "worker=" + two, "--target-repository", "worker=localhost:5000/shop"}, "two images are promoted into localhost:5000/shop"},
		"a target without image":   {[]string{"--image", one, "--target-repository", "worker=localhost:5000/x"}, `there is no image "worker"`},
		"further images by commit": {[]string{"--repository", "localhost:5000/shop", "--commit", commit.String(), "--image", "worker=" + two}, "no main image"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := settingtest.Apply(new(promote.Settings).Declare(), test.flags...)
			if !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// warnings keeps the warnings.
type warnings struct {
	releasetest.DiscardReporter
	log *strings.Builder
}

func (w warnings) Warnf(format string, args ...any) { fmt.Fprintf(w.log, format+"\n", args...) }

// TestAMatrixPromotesAllServicesOrNone: a service without proof, or whose tag names another image, keeps all services from being tagged.
func TestAMatrixPromotesAllServicesOrNone(t *testing.T) {
	t.Parallel()
	const file = "services:\n- {name: shop, repository: localhost:5000/shop}\n- {name: worker, repository: localhost:5000/worker, part-of: shop}\n"
	tag := "production-" + commit.String()
	for name, test := range map[string]struct {
		spoil func(*fakeRegistry)
		want  string // the refusal; "" for a promotion
		moved bool
	}{
		"both are proved":              {func(*fakeRegistry) {}, "", true},
		"a part has no proof":          {func(f *fakeRegistry) { f.evidence = f.evidence[:1] }, "worker: refused: ", false},
		"a part's tag is another's":    {func(f *fakeRegistry) { f.tags["localhost:5000/worker:"+tag] = releasetest.Digest(t, "c") }, "worker: refused: tag", false},
		"a moving tag does not move":   {func(f *fakeRegistry) { f.tagErr = map[string]error{"localhost:5000/worker:live": errors.New("away")} }, "worker: away", true},
		"a part's tag is not accepted": {func(f *fakeRegistry) { f.tagErr = map[string]error{"localhost:5000/worker:" + tag: errors.New("away")} }, "worker: away", false},
	} {
		registry, settings := provedImage(t)
		registry.immutable = false
		worker := release.Repository("localhost:5000/worker").At(releasetest.Digest(t, "b"))
		registry.manifests[worker] = release.TagState{Manifest: []byte("{}"), Revision: commit.String()}
		proof := registry.evidence[0]
		proof.Image = worker
		registry.evidence = append(registry.evidence, proof)
		test.spoil(registry)
		before := len(registry.tags)
		var given promote.Settings
		var log strings.Builder
		digests := `{"shop":"` + settings.Image.Digest.String() + `","worker":"` + worker.Digest.String() + `"}`
		if err := settingtest.Apply(given.Declare(), "--matrix", "m.yaml", "--digests", digests, "--moving-tag", "live"); err != nil {
			t.Fatal(err)
		}
		result, err := promote.RunMatrix(t.Context(), []byte(file), given, promote.Deps{Registry: registry, Evidence: registry, Gate: registry, Reporter: warnings{log: &log}, Now: now})
		if (err == nil) != (test.want == "") || !strings.Contains(fmt.Sprint(err), test.want) && test.want != "" {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
		if test.want == "" && (len(result.Services) != 2 || result.Services[1].Service != "worker" || result.Outcome != release.Created) {
			t.Errorf("%s: got %+v", name, result)
		}
		if strings.HasSuffix(test.want, "away") && (result.Services[1].Error != "away" || result.Services[0].Error != "") {
			t.Errorf("%s: got %+v", name, result.Services)
		}
		if told := strings.Contains(log.String(), "name the promoted images of shop, and not those of worker"); told != (name == "a moving tag does not move") {
			t.Errorf("%s: the log is %q", name, log.String())
		}
		if strings.Contains(test.want, "refused") && len(registry.tags) != before {
			t.Errorf("%s: a tag was written: %v", name, registry.tags)
		}
		if _, moved := registry.tags["localhost:5000/shop:live"]; moved != test.moved {
			t.Errorf("%s: the moving tag was moved: %t", name, moved)
		}
	}
}
