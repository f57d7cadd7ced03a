package history_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/history"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

const repository = release.Repository("registry.example/team/shop")

// fakes are a registry with images of commits, and what is recorded about them.
type fakes struct {
	t       *testing.T
	tags    []release.Tag
	images  map[release.Tag]release.ImageInfo
	records map[release.Digest][]fact.Record
	written map[string]string
	policy  policy.Policy
	verify  bool // records count only if "ours" signed them
	broken  map[release.Digest]error
}

func commit(n int) release.Commit { return release.Commit(fmt.Sprintf("%040x", n)) }

func (f *fakes) digest(n int) release.Digest { return digestOf(f.t, n) }

func digestOf(t *testing.T, of ...int) release.Digest {
	t.Helper()
	digest, err := release.ParseDigest(fmt.Sprintf("sha256:%x", sha256.Sum256(fmt.Append(nil, of))))
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// build pushes the image of a commit, n hours after noon.
func (f *fakes) build(n, image int, tags ...release.Tag) {
	own := release.Tag(commit(n).String())
	f.images[own] = release.ImageInfo{Digest: f.digest(image), Created: noon.Add(time.Duration(n) * time.Hour)}
	f.tags = append(append(f.tags, own), tags...)
}

// record records a fact about an image, some minutes after noon.
func (f *fakes) record(image, minutes int, signer string, of fact.Fact) {
	digest := f.digest(image)
	of.Image, of.At = repository.At(digest), noon.Add(time.Duration(minutes)*time.Minute)
	f.records[digest] = append(f.records[digest], fact.Record{Fact: of, Record: digestOf(f.t, image, minutes), Signed: signer != "", Signer: signer})
}

func (f *fakes) Tags(context.Context, release.Repository) ([]release.Tag, error) { return f.tags, nil }

func (f *fakes) Find(_ context.Context, _ release.Repository, tag release.Tag) (release.ImageInfo, bool, error) {
	info, found := f.images[tag]
	return info, found, nil
}

// Overview decides as the gate does, in short: the newest verdict by its time, without copies.
func (f *fakes) Overview(_ context.Context, image release.Image, ladder []policy.Rung) (policy.Overview, error) {
	if err := f.broken[image.Digest]; err != nil {
		return policy.Overview{}, err
	}
	overview := policy.Overview{Records: slices.Clone(f.records[image.Digest]), Standings: map[release.Environment]policy.Standing{}}
	ours := policy.Signer{Key: "cosign.pub"}
	for i, record := range overview.Records {
		if f.verify && record.Signer == "" {
			overview.Records[i].Untrusted = "it is not signed"
		}
	}
	for _, rung := range ladder {
		var standing policy.Standing
		smoked, found := fact.Newest(overview.Records, fact.Smoked, rung.Environment, func(r fact.Record) bool { return r.Counts() || r.Smoke.Verdict != release.Pass })
		if found {
			evidence := *smoked.Smoke
			evidence.At = smoked.At
			standing.Smoked = policy.Finding[release.Record]{Found: true, Fact: release.Record{Evidence: evidence, Record: smoked.Record, Signer: smoked.Signer}}
		}
		if rung.UnsignedLifts = !f.verify; f.verify {
			rung.Signers = []policy.Signer{ours}
		}
		standing.Against, _ = policy.Against(overview.Records, image, rung, policy.Trust{ours: {"ours"}})
		standing.Entry = policy.Evaluate(f.policy.Source, rung, policy.Facts{Image: image, Against: standing.Against}, noon)
		overview.Standings[rung.Environment] = standing
	}
	return overview, nil
}

// AllRecords returns what is recorded.
func (f *fakes) AllRecords(_ context.Context, image release.Image) ([]fact.Record, error) {
	return slices.Clone(f.records[image.Digest]), nil
}

func (f *fakes) DeleteRecords(_ context.Context, image release.Image, records []release.Digest) error {
	f.records[image.Digest] = slices.DeleteFunc(f.records[image.Digest], func(r fact.Record) bool { return slices.Contains(records, r.Record) })
	return nil
}

func (f *fakes) CheckWritable(string, string) error { return nil }

func (f *fakes) Write(_, path string, content []byte) error {
	f.written[path] = string(content)
	return nil
}

// cancelling answers, and cancels the run meanwhile.
type cancelling struct {
	*fakes
	cancel context.CancelFunc
}

func (c cancelling) Tags(ctx context.Context, named release.Repository) ([]release.Tag, error) {
	c.cancel()
	return c.fakes.Tags(ctx, named)
}

// TestACancelledRunWritesNoBoard, although its last request was answered.
func TestACancelledRunWritesNoBoard(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	var settings history.Settings
	if err := settings.Declare().ApplyDefaults(func() { settings.Repository, settings.Board = repository, "board.html" }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := history.Run(ctx, settings, history.Deps{Registry: cancelling{f, cancel}, Evidence: f, Files: f, Reporter: releasetest.DiscardReporter{}, Now: func() time.Time { return noon },
		Board: func(history.Result) ([]byte, error) { return []byte("a board"), nil }})
	if !errors.Is(err, context.Canceled) || len(f.written) > 0 {
		t.Errorf("wrote %v, error %v", f.written, err)
	}
}

func newFakes(t *testing.T) *fakes {
	t.Helper()
	return &fakes{t: t, images: map[release.Tag]release.ImageInfo{}, records: map[release.Digest][]fact.Record{}, written: map[string]string{}}
}

func (f *fakes) run(verify bool, change func(*history.Settings)) (history.Result, error) {
	f.t.Helper()
	var settings history.Settings
	err := settings.Declare().ApplyDefaults(func() {
		settings.Repository = repository
		if change != nil {
			change(&settings)
		}
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f = &fakes{t: f.t, tags: f.tags, images: f.images, records: f.records, written: f.written, policy: f.policy, verify: verify, broken: f.broken}
	deps := history.Deps{Registry: f, Policy: f.policy, Evidence: f, Files: f, Reporter: releasetest.DiscardReporter{}, Now: func() time.Time { return noon },
		Board: func(r history.Result) ([]byte, error) { return fmt.Appendf(nil, "%d commits", len(r.Commits)), nil }}
	if verify {
		deps.Keys = map[string]string{"ours": "cosign.pub"}
	}
	return history.Run(f.t.Context(), settings, deps)
}

func smoked(environment release.Environment, verdict release.Verdict) fact.Fact {
	return fact.Fact{Kind: fact.Smoked, Environment: environment, Smoke: &release.Evidence{Verdict: verdict, Rounds: 3, Checks: []string{"/"}}}
}

func deployed(environment release.Environment) fact.Fact {
	return fact.Fact{Kind: fact.Deployed, Environment: environment, Deployment: &fact.Deployment{Cluster: "c", Release: "shop", Revision: 1}}
}

func promoted() fact.Fact {
	return fact.Fact{Kind: fact.Promoted, Environment: "production", Promotion: &fact.Promotion{From: "staging", Tag: "production"}}
}

// TestRun tells the life of five commits: the second and the third have one image.
func TestRun(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.build(1, 1, release.Tag("production-"+commit(1)), "latest")
	f.build(2, 2)
	f.build(3, 2, release.Tag("production-"+commit(3)))
	f.build(4, 4)
	f.build(5, 5)
	f.tags = append(f.tags, release.Tag(commit(6))) // removed since
	f.record(1, 1, "ours", deployed("staging"))
	f.record(1, 2, "ours", smoked("staging", release.Pass))
	f.record(1, 3, "ours", deployed("production"))
	f.record(1, 4, "ours", smoked("production", release.Fail))
	f.record(2, 10, "ours", fact.Fact{Kind: fact.Built, Build: &fact.Build{Source: "s", Builder: "b"}})
	f.record(2, 11, "ours", deployed("staging"))
	f.record(2, 12, "", smoked("staging", release.Fail))
	f.record(2, 13, "ours", smoked("staging", release.Pass))
	f.record(2, 14, "ours", promoted())
	f.record(2, 15, "ours", deployed("production"))
	f.record(4, 20, "ours", smoked("staging", release.Fail))
	f.record(4, 21, "", smoked("staging", release.Pass)) // forged
	f.record(4, 22, "", fact.Fact{Kind: fact.Rejected, Rejection: &fact.Rejection{Reason: "recalled", Cause: fact.ByPerson}})
	f.record(5, 30, "", deployed("production")) // forged
	f.record(1, 40, "", fact.Fact{Kind: fact.Rejected, Environment: "production", Rejection: &fact.Rejection{Reason: "by mistake", Cause: fact.ByPerson}})
	f.record(1, 41, "ours", fact.Fact{Kind: fact.Lifted, Environment: "production", Lift: &fact.Lift{Reason: "sorry", Rejections: []release.Digest{digestOf(t, 1, 40)}}})

	for name, test := range map[string]struct {
		verify bool
		want   string
	}{
		"with keys": {true, `staging: runs sha256:D2 of commit 000000000000 since 2026-11-01 12:11: the first environment accepts every build
production: runs sha256:D2 of commit 000000000000 since 2026-11-01 12:15: "staging" proved it at 2026-11-01T12:13:00Z, signed by cosign.pub; promoted at 2026-11-01T12:14:00Z, signed by cosign.pub
COMMIT        CREATED           DIGEST     STAGING                         PRODUCTION
000000000000  2026-11-01 17:00  sha256:D5  -                               -
000000000000  2026-11-01 16:00  sha256:D4  rejected, smoke fail 2026-11-01 12:22  rejected 2026-11-01 12:22
000000000000  2026-11-01 15:00  sha256:D2  live, smoke pass 2026-11-01 12:11      live 2026-11-01 12:15
000000000000  2026-11-01 14:00  sha256:D2  live, smoke pass 2026-11-01 12:11      live 2026-11-01 12:15
000000000000  2026-11-01 13:00  sha256:D1  proved 2026-11-01 12:02                rejected, smoke fail 2026-11-01 12:04
2 commits have the image sha256:D2: their rows tell of the image, not of the chart and the values of each`},
		"without": {false, `staging: runs sha256:D2 of commit 000000000000 since 2026-11-01 12:11: the first environment accepts every build
production: runs sha256:D5 of commit 000000000000 since 2026-11-01 12:30: no smoke in "staging" is recorded
COMMIT        CREATED           DIGEST     STAGING                         PRODUCTION
000000000000  2026-11-01 17:00  sha256:D5  -                               live 2026-11-01 12:30
000000000000  2026-11-01 16:00  sha256:D4  rejected, smoke pass 2026-11-01 12:22  rejected 2026-11-01 12:22
000000000000  2026-11-01 15:00  sha256:D2  live, smoke pass 2026-11-01 12:11      replaced 2026-11-01 12:15
000000000000  2026-11-01 14:00  sha256:D2  live, smoke pass 2026-11-01 12:11      replaced 2026-11-01 12:15
000000000000  2026-11-01 13:00  sha256:D1  proved 2026-11-01 12:02                rejected, smoke fail 2026-11-01 12:04
2 commits have the image sha256:D2: their rows tell of the image, not of the chart and the values of each`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, err := f.run(test.verify, nil)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, n := range []int{1, 2, 4, 5} {
				names = append(names, f.digest(n).Short(), fmt.Sprintf("sha256:D%d", n))
			}
			got := strings.NewReplacer(names...).Replace(strings.Join(result.Table(), "\n"))
			if diff := cmp.Diff(fields(test.want), fields(got)); diff != "" {
				t.Errorf("-want +got:\n%s\n%s", diff, got)
			}
			if result.LeftOut != 0 || len(result.Commits[2].Records) != 1 || len(result.Commits[4].Tags) != 2 {
				t.Errorf("got %+v", result)
			}
		})
	}
}

// TestTheCommitOfWhatRuns: of several commits with one image, an environment runs the one whose chart and values its newest deploy has, a rollback those of the
// revision that it applied again.
func TestTheCommitOfWhatRuns(t *testing.T) {
	t.Parallel()
	release := func(revision, rolledBackTo, source int) fact.Fact {
		d := &fact.Deployment{Cluster: "c", Namespace: "staging", Release: "shop", Revision: revision, RolledBackTo: rolledBackTo}
		if source > 0 {
			d.Source = commit(source)
		}
		return fact.Fact{Kind: fact.Deployed, Environment: "staging", Deployment: d}
	}
	for name, test := range map[string]struct {
		facts []fact.Fact // the oldest first
		want  int
	}{
		"the newest commit":              {[]fact.Fact{release(1, 0, 2), release(2, 0, 3)}, 3},
		"an older commit":                {[]fact.Fact{release(1, 0, 3), release(2, 0, 2)}, 2},
		"a rollback":                     {[]fact.Fact{release(1, 0, 2), release(2, 0, 3), release(3, 1, 0)}, 2},
		"a rollback to a rollback":       {[]fact.Fact{release(1, 0, 2), release(2, 0, 3), release(3, 1, 0), release(4, 0, 3), release(5, 3, 0)}, 2},
		"not recorded":                   {[]fact.Fact{release(1, 0, 0)}, 3},
		"a rollback, not recorded":       {[]fact.Fact{release(5, 4, 0)}, 3},
		"a commit with another image":    {[]fact.Fact{release(1, 0, 1)}, 3},
		"a rollback to its own revision": {[]fact.Fact{release(2, 2, 0)}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFakes(t)
			f.build(1, 1)
			f.build(2, 2)
			f.build(3, 2)
			for i, each := range test.facts {
				f.record(2, i+1, "ours", each)
			}
			result, err := f.run(true, nil)
			if err != nil || result.Running[0].Commit != commit(test.want) {
				t.Errorf("runs %s, want %s; error %v", result.Running[0].Commit, commit(test.want), err)
			}
		})
	}
}

// fields splits lines into their words.
func fields(lines string) (split [][]string) {
	for line := range strings.SplitSeq(lines, "\n") {
		split = append(split, strings.Fields(line))
	}
	return split
}

// warnings keeps what a run warns of.
type warnings struct {
	releasetest.DiscardReporter
	told []string
}

func (w *warnings) Warnf(format string, args ...any) {
	w.told = append(w.told, fmt.Sprintf(format, args...))
}

// TestAnImageWhoseRecordsCannotBeListed is a row that says so, and the others are shown; if no image's can, or the registry does not answer, that is the error.
func TestAnImageWhoseRecordsCannotBeListed(t *testing.T) {
	t.Parallel()
	damaged := &release.Fault{Side: "registry", Err: errors.New("the list is malformed")}
	for name, test := range map[string]struct {
		broken map[int]error
		fails  bool
	}{
		"one":                           {map[int]error{1: damaged}, false},
		"all":                           {map[int]error{1: damaged, 2: damaged}, true},
		"one that nobody answers about": {map[int]error{1: &release.Fault{Side: "registry", Err: errors.New("HTTP 503"), Unanswered: true}}, true},
		"keys that cannot be read":      {map[int]error{1: release.BadSetting("policy", "there is no key", "")}, true},
	} {
		f := newFakes(t)
		f.build(1, 1)
		f.build(2, 2)
		f.record(1, 1, "", deployed("staging"))
		f.record(2, 2, "", smoked("staging", release.Pass))
		f.broken = map[release.Digest]error{}
		for image, err := range test.broken {
			f.broken[f.digest(image)] = err
		}
		result, err := f.run(false, nil)
		if (err != nil) != test.fails {
			t.Errorf("%s: got %v", name, err)
		}
		if test.fails {
			continue
		}
		table := strings.Join(result.Table(), "\n")
		if len(result.Commits) != 2 || result.Commits[0].Problem != "" || result.Commits[0].Cells[0].State != history.StateProved || result.Commits[1].Cells[0].State != history.StateUnread ||
			!strings.Contains(result.Commits[1].Problem, "malformed") || !strings.Contains(table, "unread") || !strings.Contains(table, "no deploy is recorded in what can be read") {
			t.Errorf("%s: got\n%s", name, table)
		}
		f.verify = true
		if _, err := f.run(true, func(s *history.Settings) { s.Compact = history.CompactList }); err != nil {
			t.Errorf("%s: compact: got %v", name, err)
		}
	}
}

// TestARepositoryOfPromotedImages: into which images are copied, so that they have no tag of their commit alone.
func TestARepositoryOfPromotedImages(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	for n, tags := range map[int][]release.Tag{1: {release.Tag("production-" + commit(1)), release.Tag("qa-" + commit(1))}, 2: {release.Tag("production-" + commit(2))}} {
		for _, tag := range tags {
			f.tags = append(f.tags, tag)
			f.images[tag] = release.ImageInfo{Digest: f.digest(n), Created: noon.Add(time.Duration(n) * time.Hour)}
		}
	}
	f.build(3, 3, release.Tag("production-"+commit(3)))
	f.images[release.Tag("production-"+commit(3))] = release.ImageInfo{Digest: f.digest(4)} // the commit's own tag decides
	f.tags = append(f.tags, "latest", "v1.0-"+release.Tag(commit(5)), release.Tag(commit(6)+"-dirty-1"))
	f.record(1, 1, "", smoked("staging", release.Pass))
	result, err := f.run(false, nil)
	if err != nil || len(result.Commits) != 3 {
		t.Fatalf("got %+v, %v", result.Commits, err)
	}
	for i, n := range []int{3, 2, 1} {
		if entry := result.Commits[i]; entry.Commit != commit(n) || entry.Image.Digest != f.digest(n) {
			t.Errorf("row %d: got %+v", i, entry)
		}
	}
	last := result.Commits[2]
	if last.Cells[0].State != history.StateProved || last.Cells[1].State != history.StatePromoted || len(last.Tags) != 2 {
		t.Errorf("got %+v", last)
	}
	if result, err := f.run(false, func(s *history.Settings) { s.Commit = commit(2) }); err != nil || len(result.Commits) != 1 {
		t.Errorf("got %+v, %v", result.Commits, err)
	}
	if table := strings.Join(history.Result{}.Table(), ""); !strings.Contains(table, "ENVIRONMENT-SHA") {
		t.Errorf("got %q", table)
	}
}

// TestManyRecordsAreToldOf: before other verifiers give up.
func TestManyRecordsAreToldOf(t *testing.T) {
	t.Parallel()
	for count, want := range map[int]int{39: 0, 40: 1} {
		f := newFakes(t)
		f.build(1, 1)
		f.build(2, 2)
		for n := range count {
			f.record(1, n, "", smoked("staging", release.Pass))
		}
		told := new(warnings)
		var settings history.Settings
		if err := settings.Declare().ApplyDefaults(func() { settings.Repository = repository }); err != nil {
			t.Fatal(err)
		}
		_, err := history.Run(t.Context(), settings, history.Deps{Registry: f, Evidence: f, Files: f, Reporter: told, Now: func() time.Time { return noon }})
		if err != nil || len(told.told) != want || want > 0 && !strings.Contains(told.told[0], f.digest(1).Short()+" (40)") {
			t.Errorf("%d records: %v, %v", count, told.told, err)
		}
	}
}

func TestRunOfPart(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	for n := range 5 {
		f.build(n+1, n+1)
	}
	result, err := f.run(false, func(s *history.Settings) { s.Limit, s.Board = 2, "board.html" })
	if err != nil || len(result.Commits) != 2 || result.LeftOut != 3 || result.Commits[0].Commit != commit(5) || f.written["board.html"] != "2 commits" || result.Board != "board.html" {
		t.Errorf("got %+v, %v, %q", result, err, f.written)
	}
	const advice = "only with --sign-key"
	if table := strings.Join(result.Table(), "\n"); !strings.Contains(table, advice) {
		t.Errorf("no deploy is recorded, and the table does not say with what it would be:\n%s", table)
	}
	result, err = f.run(false, func(s *history.Settings) { s.Commit = commit(3) })
	if err != nil || len(result.Commits) != 1 || result.Commits[0].Commit != commit(3) {
		t.Errorf("got %+v, %v", result, err)
	}
	f.record(3, 1, "", deployed("staging"))
	f.record(2, 2, "", deployed("staging")) // an older commit, after it
	for name, change := range map[string]func(*history.Settings){
		"a commit that ran": func(s *history.Settings) { s.Commit = commit(3) },
		"the newest two":    func(s *history.Settings) { s.Limit = 2 },
	} {
		result, err = f.run(false, change)
		if err != nil || result.Running[0].Commit != commit(2) || result.Commits[0].Cells[0].State == history.StateLive || strings.Contains(strings.Join(result.Table(), "\n"), advice) {
			t.Errorf("%s: got %+v, %v, want that staging runs the second", name, result, err)
		}
	}
	f.record(2, 3, "", smoked("staging", release.Fail))
	if result, err = f.run(false, nil); err != nil || !strings.Contains(result.Running[0].Because, "may run an earlier image") {
		t.Errorf("after a failed smoke: got %+v, %v", result.Running, err)
	}
	back := deployed("staging")
	back.Deployment.Revision, back.Deployment.RolledBackTo = 3, 1
	f.record(3, 4, "", back)
	if result, err = f.run(false, nil); err != nil || result.Running[0].Commit != commit(3) || !strings.Contains(history.Detail(f.records[f.digest(3)][1]), "was rolled back to revision 1, as revision 3") {
		t.Errorf("after a rollback: got %+v, %v", result.Running, err)
	}
	var refusal *release.Refusal
	if _, err = f.run(false, func(s *history.Settings) { s.Commit = commit(9) }); !errors.As(err, &refusal) {
		t.Errorf("got %v, want a refusal", err)
	}
	if result, err = newFakes(t).run(false, nil); err != nil || result.Commits == nil {
		t.Errorf("an empty repository: got %+v, %v", result, err)
	}
}
