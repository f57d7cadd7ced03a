// Package history shows, from a registry alone, what happened to each commit's image: which environments it was deployed to, what
// their smoke found, and which image each environment runs.
package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"golang.org/x/sync/errgroup"
)

// Deps are what the verb works with.
type Deps struct {
	Registry Registry
	Evidence Evidence
	Files    Files
	Reporter release.Reporter
	Now      func() time.Time
	Board    func(Result) ([]byte, error) // renders the result as a page
	Policy   policy.Policy                // without a file, the settings are the rules
	Keys     map[string]string            // the keys that verify records, as they are named, by their IDs
	// TrustedRoot is the file by which certificates are verified; "": that of the public instance of Sigstore.
	TrustedRoot string
}

// Registry reads tags and what they name.
type Registry interface {
	// Tags lists the tags of a repository, in the registry's order. The error is a *release.Fault.
	Tags(ctx context.Context, repository release.Repository) ([]release.Tag, error)
	// Find reads what a tag names; false if it does not exist any more.
	Find(ctx context.Context, repository release.Repository, tag release.Tag) (release.ImageInfo, bool, error)
	// DeleteRecords deletes records about an image. Those that are gone already are no error.
	DeleteRecords(ctx context.Context, image release.Image, records []release.Digest) error
}

// Evidence reads all records about an image, and decides what counts in the environments of a ladder as promote and deploy do. A record that cannot be read
// is among them, with its Problem.
type Evidence interface {
	Overview(ctx context.Context, image release.Image, ladder []policy.Rung) (policy.Overview, error)
	// AllRecords reads the records of all kinds and environments about an image. The signer of each is whoever of all trusted signers signed it.
	AllRecords(ctx context.Context, image release.Image) ([]fact.Record, error)
}

// Files writes into the work tree.
type Files interface {
	CheckWritable(setting, path string) error
	Write(setting, path string, content []byte) error
}

// Result is the history of a repository.
type Result struct {
	Repository   release.Repository    `json:"repository"`
	Environments []release.Environment `json:"environments"`
	At           time.Time             `json:"at"`
	Commits      []Entry               `json:"commits"`           // newest first
	Running      []Running             `json:"running"`           // per environment
	LeftOut      int                   `json:"leftOut,omitempty"` // older commits beyond the limit
	Unread       int                   `json:"unread,omitempty"`  // older commits that were not read, so that an environment may run one of them
	Verified     bool                  `json:"verified"`          // signatures were checked
	Policy       policy.Source         `json:"policy,omitzero"`   // of the rules
	Board        string                `json:"board,omitempty"`   // path of the written page
	Source       string                `json:"source,omitempty"`  // address of the sources, to which commits are linked
	Keys         map[string]string     `json:"keys,omitempty"`    // the names of keys by their IDs, which records name as signers
	TrustedRoot  string                `json:"trustedRoot,omitempty"`
	Superseded   []Superseded          `json:"superseded,omitempty"` // records of the listed commits that nothing depends on, if they were looked for
}

// Entry is one commit's image.
type Entry struct {
	Commit  release.Commit `json:"commit"`
	Image   release.Image  `json:"image"`
	Created time.Time      `json:"created,omitzero"` // of the image, as its labels say
	Tags    []release.Tag  `json:"tags"`
	Cells   []Cell         `json:"environments"`
	Records []fact.Record  `json:"records"`           // about the image itself, not about an environment
	Problem string         `json:"problem,omitempty"` // why the records cannot be read; "" if they can
}

// Running is what an environment runs, by the newest recorded deploy.
type Running struct {
	Environment release.Environment `json:"environment"`
	Commit      release.Commit      `json:"commit,omitempty"` // "" if no deploy is recorded
	Image       release.Image       `json:"image,omitzero"`
	Since       time.Time           `json:"since,omitzero"`
	Because     string              `json:"because"`         // which facts allow it, one line
	Entry       *policy.Decision    `json:"entry,omitempty"` // whether it may enter now; nil if no deploy is recorded
}

// String says what the environment runs, and why, in one line.
func (r Running) String() string {
	if r.Commit == "" {
		return r.Because
	}
	return fmt.Sprintf("runs %s of commit %s since %s: %s", r.Image.Digest.Short(), r.Commit.Short(), formatTime(r.Since), r.Because)
}

// maxParallel is how many images are read at once. It is far below what registries allow.
const maxParallel = 8

// Run reads the history. It changes nothing in the registry, unless the settings say that superseded records are deleted.
func Run(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	if settings.Board != "" {
		if err := deps.Files.CheckWritable("board", settings.Board); err != nil {
			return Result{}, err
		}
	}
	verified := deps.Policy.HasSigners() || len(deps.Keys) > 0
	if err := checkCompact(settings.Compact, verified); err != nil {
		return Result{}, err
	}
	ladder, err := ladderOf(settings, deps.Policy)
	if err != nil {
		return Result{}, err
	}
	entries, unread, err := commits(ctx, settings, deps)
	if err != nil {
		return Result{}, err
	}
	overviews, err := overviewsOf(ctx, entries, ladder, deps)
	if err != nil {
		return Result{}, err
	}
	warnMany(overviews, deps.Reporter)
	result := Result{Repository: settings.Repository, Environments: policy.Policy{Ladder: ladder}.Order(), At: deps.Now().UTC(), Unread: unread,
		Verified: verified, Policy: deps.Policy.Source, Source: settings.Source, Keys: deps.Keys, TrustedRoot: deps.TrustedRoot}
	result.setStates(entries, ladder, overviews)
	result.filter(settings)
	if ctx.Err() != nil { // a cancelled run writes nothing, also if its last request was answered
		return Result{}, fmt.Errorf("reading the history of %s: %w", settings.Repository, context.Cause(ctx))
	}
	if settings.Compact != CompactNothing {
		if err := result.compact(ctx, settings, deps); err != nil {
			return result, err
		}
	}
	if settings.Board == "" {
		return result, nil
	}
	page, err := deps.Board(result)
	if err != nil {
		return result, err
	}
	if err := deps.Files.Write("board", settings.Board, page); err != nil {
		return result, err
	}
	result.Board = settings.Board
	deps.Reporter.Infof("wrote the board of %d commits to %s", len(result.Commits), settings.Board)
	return result, nil
}

// ladderOf returns the rules of the environments that the settings name, of all that the policy lists if they name none. Without a policy they are those
// of promote. The error is a *release.InputError.
func ladderOf(settings Settings, rules policy.Policy) ([]policy.Rung, error) {
	environments := settings.Environments
	if rules.Source.File == "" {
		if len(environments) == 0 {
			environments = release.DefaultPromotionOrder
		}
		return policy.DefaultLadder(environments, settings.MaxAge), nil
	}
	if len(environments) == 0 {
		environments = rules.Order()
	}
	var ladder []policy.Rung
	for _, environment := range environments {
		if _, found := rules.Rung(environment); !found {
			return nil, release.BadSetting("environments", fmt.Sprintf("%q is not an environment of %s", environment, rules.Source.File), "name its environments, or leave it out for all of them")
		}
		rung, err := rules.ForPromotion(environment, "", settings.MaxAge)
		if err != nil {
			return nil, err
		}
		ladder = append(ladder, rung)
	}
	return ladder, nil
}

// filter drops the commits that the settings do not ask for. What each environment runs was derived from all of them before.
func (r *Result) filter(settings Settings) {
	if settings.Commit != "" {
		r.Commits = slices.DeleteFunc(r.Commits, func(e Entry) bool { return e.Commit != settings.Commit })
		return
	}
	r.LeftOut = max(0, len(r.Commits)-settings.Limit)
	r.Commits = r.Commits[:len(r.Commits)-r.LeftOut]
}

// commits returns the newest commits that have an image, at most maxCommits besides the one that the settings name, and how many older ones are left out.
func commits(ctx context.Context, settings Settings, deps Deps) ([]Entry, int, error) {
	tags, err := deps.Registry.Tags(ctx, settings.Repository)
	if err != nil {
		return nil, 0, err
	}
	wanted := namedBy(tags)
	if settings.Commit != "" && !slices.ContainsFunc(wanted, func(each taggedCommit) bool { return each.commit == settings.Commit }) {
		return nil, 0, &release.Refusal{Why: fmt.Sprintf("%q has no image of commit %s", settings.Repository, settings.Commit.Short()), Do: "name a commit that was built, or leave it out"}
	}
	done := report(deps, "reading %d of %d images", len(wanted))
	found := make([]*Entry, len(wanted))
	err = each(ctx, len(wanted), func(ctx context.Context, i int) error {
		defer done()
		info, exists, err := deps.Registry.Find(ctx, settings.Repository, wanted[i].tag)
		if err == nil && exists {
			found[i] = &Entry{Commit: wanted[i].commit, Image: settings.Repository.At(info.Digest), Created: info.Created, Tags: []release.Tag{}, Records: []fact.Record{}}
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	var entries []Entry
	for _, entry := range found {
		isNew := entry != nil && !slices.ContainsFunc(entries, func(e Entry) bool { return e.Commit == entry.Commit && e.Image == entry.Image })
		if isNew { // and not another tag of the same image
			entry.Tags = tagsOf(entry.Commit, tags)
			entries = append(entries, *entry)
		}
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.Commit, b.Commit)) })
	unread := 0
	if len(entries) > maxCommits {
		older := slices.DeleteFunc(slices.Clone(entries[maxCommits:]), func(e Entry) bool { return e.Commit != settings.Commit })
		unread = len(entries) - maxCommits - len(older)
		entries = append(entries[:maxCommits:maxCommits], older...)
	}
	return entries, unread, nil
}

// taggedCommit is a tag that names the image of a commit.
type taggedCommit struct {
	commit release.Commit
	tag    release.Tag
}

// namedBy returns the tags by which the images of commits are found: a commit's own, and of one without it those by which it was promoted, as in a repository into which images are
// copied.
func namedBy(tags []release.Tag) (wanted []taggedCommit) {
	own := map[release.Commit]bool{}
	for _, tag := range tags {
		if commit, err := release.ParseCommit(tag.String()); err == nil {
			own[commit] = true
			wanted = append(wanted, taggedCommit{commit, tag})
		}
	}
	for _, tag := range tags {
		if environment, commit, is := tag.Named(); is && environment != "" && !own[commit] {
			wanted = append(wanted, taggedCommit{commit, tag})
		}
	}
	return wanted
}

// tagsOf returns the tags that name the commit, its own first.
func tagsOf(commit release.Commit, tags []release.Tag) []release.Tag {
	named := []release.Tag{}
	for _, tag := range tags {
		if is, _ := environmentOf(tag, commit); is || tag.String() == commit.String() {
			named = append(named, tag)
		}
	}
	slices.SortFunc(named, func(a, b release.Tag) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return named
}

// environmentOf returns the environment for which a tag promotes the commit (production-<sha>), as promote names it by default.
func environmentOf(tag release.Tag, commit release.Commit) (bool, release.Environment) {
	name, is := strings.CutSuffix(tag.String(), "-"+commit.String())
	environment, err := release.ParseEnvironment(name)
	return is && err == nil, environment
}

// overviewsOf reads what is recorded about each image, once for each digest. An entry whose image's records cannot be listed gets its Problem, and the others are read; if the first ones all cannot,
// that is the error.
func overviewsOf(ctx context.Context, entries []Entry, ladder []policy.Rung, deps Deps) (map[release.Digest]policy.Overview, error) {
	var images []release.Image
	seen := map[release.Digest]bool{}
	for _, entry := range entries {
		if !seen[entry.Image.Digest] {
			seen[entry.Image.Digest] = true
			images = append(images, entry.Image)
		}
	}
	var (
		mu         sync.Mutex
		overviews  = map[release.Digest]policy.Overview{}
		unreadable = map[release.Digest]error{}
	)
	done := report(deps, "reading the records of %d of %d images", len(images))
	err := each(ctx, len(images), func(ctx context.Context, i int) error {
		defer done()
		read, err := deps.Evidence.Overview(ctx, images[i], ladder)
		mu.Lock()
		defer mu.Unlock()
		if isPassedOver(ctx, err) && (len(unreadable) < maxParallel || len(overviews) > 0) {
			unreadable[images[i].Digest] = err
			return nil
		}
		if err == nil {
			overviews[images[i].Digest] = read
		}
		return err
	})
	if err == nil && len(overviews) == 0 { // the registry, and not an image
		for _, image := range images {
			err = cmp.Or(err, unreadable[image.Digest])
		}
	}
	if err != nil {
		return nil, err
	}
	for i := range entries {
		if why := unreadable[entries[i].Image.Digest]; why != nil {
			entries[i].Problem = why.Error()
		}
	}
	for _, image := range images {
		if why := unreadable[image.Digest]; why != nil {
			deps.Reporter.Warnf("the records of %s are not shown (an environment may run this image): %v", image.Digest.Short(), why)
		}
	}
	return overviews, nil
}

// isPassedOver reports whether an error is about the records of one image that the registry cannot list, so that the others may be shown.
func isPassedOver(ctx context.Context, err error) bool {
	var fault *release.Fault
	return ctx.Err() == nil && errors.As(err, &fault) && fault.Side == "registry" && !fault.Unanswered
}

// manyRecords is the number of records of an image above which a warning is logged: Kyverno's verifier gives up above 50 of what is attached to an image.
const manyRecords = 40

// warnMany warns of images with many records, of which nothing is deleted without being asked.
func warnMany(overviews map[release.Digest]policy.Overview, reporter release.Reporter) {
	var many []string
	for digest, overview := range overviews {
		if len(overview.Records) >= manyRecords {
			many = append(many, fmt.Sprintf("%s (%d)", digest.Short(), len(overview.Records)))
		}
	}
	slices.Sort(many)
	if len(many) > 0 {
		reporter.Warnf("%d images have %d records or more, and verifiers such as Kyverno give up above 50 (docs/evidence.md; --compact list names those that nothing depends on): %s", len(many), manyRecords, strings.Join(many[:min(len(many), 5)], ", "))
	}
}

// setStates sets the state of each commit in each environment, and what each environment runs, from the records.
func (r *Result) setStates(entries []Entry, ladder []policy.Rung, overviews map[release.Digest]policy.Overview) {
	live := map[release.Environment]release.Digest{}
	r.Running, r.Commits = make([]Running, len(r.Environments)), []Entry{}
	for i, environment := range r.Environments {
		r.Running[i] = Running{Environment: environment, Because: "no deploy is recorded"}
		for _, entry := range entries { // the newest commit first, so that of two with the same image it is the one, unless the record says whose chart and values are deployed
			deployed, found := newestIn(overviews[entry.Image.Digest].Records, entry.Image, fact.Deployed, environment)
			if found && deployed.At.After(r.Running[i].Since) {
				live[environment] = entry.Image.Digest
				r.Running[i].Commit, r.Running[i].Image, r.Running[i].Since = entry.Commit, entry.Image, deployed.At
				source := sourceOf(deployed, overviews[entry.Image.Digest].Records)
				if slices.ContainsFunc(entries, func(e Entry) bool { return e.Commit == source && e.Image == entry.Image }) {
					r.Running[i].Commit = source
				}
			}
		}
	}
	for i := range r.Running {
		if slices.ContainsFunc(entries, func(e Entry) bool { return e.Problem != "" }) && r.Running[i].Commit == "" {
			r.Running[i].Because += " in what can be read"
		}
		if r.Unread > 0 && r.Running[i].Commit == "" {
			r.Running[i].Because += fmt.Sprintf(" in the newest %d commits", maxCommits)
		}
	}
	for _, entry := range entries {
		overview := overviews[entry.Image.Digest]
		for _, record := range overview.Records {
			if record.Environment == "" {
				entry.Records = append(entry.Records, record)
			}
		}
		entry.Cells = make([]Cell, len(r.Environments))
		for i, environment := range r.Environments {
			tagged := slices.ContainsFunc(entry.Tags, func(tag release.Tag) bool { is, of := environmentOf(tag, entry.Commit); return is && of == environment })
			entry.Cells[i] = cellOf(environment, entry.Image, overview, live[environment] == entry.Image.Digest, tagged)
			if entry.Problem != "" {
				entry.Cells[i].State = StateUnread
			}
		}
		for i := range r.Running {
			if r.Running[i].Commit == entry.Commit {
				standing := overview.Standings[ladder[i].Environment]
				r.Running[i].Entry, r.Running[i].Because = &standing.Entry, r.explainRunning(overview, ladder[i], entry.Image)
				if verdict, at := verdictOf(standing.Smoked); verdict == release.Fail && at.After(r.Running[i].Since) {
					r.Running[i].Because += fmt.Sprintf("; its smoke failed at %s, and no rollback is recorded: the environment may run an earlier image", at.UTC().Format(time.RFC3339))
				}
			}
		}
		r.Commits = append(r.Commits, entry)
	}
}

// sourceOf returns the commit whose chart and values a recorded deploy has; "" if that is not recorded. Those of a rollback are those of the revision that it
// applied again, whose record is among the image's.
func sourceOf(deployed fact.Record, records []fact.Record) release.Commit {
	is := deployed.Deployment
	for is != nil && is.RolledBackTo > 0 {
		rollback := is
		is = nil
		for _, record := range records {
			if d := record.Deployment; d != nil && record.Counts() && record.Image == deployed.Image && record.Environment == deployed.Environment && d.Revision == rollback.RolledBackTo &&
				d.Revision < rollback.Revision && d.Cluster == rollback.Cluster && d.Namespace == rollback.Namespace && d.Release == rollback.Release {
				is = d
			}
		}
	}
	if is == nil {
		return ""
	}
	return is.Source
}

// explainRunning describes in one line what allows an environment to run an image: the promotion, and the smoke of the environment that must have proved
// it; with a policy, whether its rules would let the image enter now.
func (r *Result) explainRunning(overview policy.Overview, rung policy.Rung, image release.Image) string {
	var reasons []string
	switch smoked := rung.Requires.Smoked; {
	case smoked != nil:
		reasons = append(reasons, r.explainSmoke(overview, smoked.In))
	case !rung.IsGuarded() && !rung.Requires.AsksOfTheImage():
		reasons = append(reasons, "the first environment accepts every build")
	}
	if promoted, found := newestIn(overview.Records, image, fact.Promoted, rung.Environment); found && rung.IsGuarded() {
		reasons = append(reasons, fmt.Sprintf("promoted at %s, %s", promoted.At.UTC().Format(time.RFC3339), Signature(promoted, r.Keys)))
		if promoted.Promotion.Override != "" {
			reasons = append(reasons, "a rule was overridden: "+promoted.Promotion.Override)
		}
	}
	if entry := overview.Standings[rung.Environment].Entry; r.Policy.File != "" {
		verdict := "what %s requires is met"
		if !entry.Opens {
			verdict = "%s would not let it in now"
		}
		reasons = append(reasons, fmt.Sprintf(verdict, r.Policy.File))
		for _, line := range entry.Missing() {
			reasons = append(reasons, line.Found)
		}
	}
	return strings.Join(reasons, "; ")
}

// explainSmoke says what the newest smoke in an environment found that must have proved an image.
func (r *Result) explainSmoke(overview policy.Overview, in release.Environment) string {
	standing, found := overview.Standings[in]
	if !found {
		return fmt.Sprintf("%q must have proved it, and is not among the environments", in)
	}
	verdict, at := verdictOf(standing.Smoked)
	switch {
	case verdict == "":
		return fmt.Sprintf("no smoke in %q is recorded", in)
	case standing.Smoked.Err != nil:
		return standing.Smoked.Err.Error()
	}
	var record fact.Record
	for _, each := range overview.Records {
		if each.Record == standing.Smoked.Fact.Record {
			record = each
		}
	}
	signature := Signature(record, r.Keys)
	if verdict == release.Pass {
		return fmt.Sprintf("%q proved it at %s, %s", in, at.UTC().Format(time.RFC3339), signature)
	}
	of := ""
	if target := standing.Smoked.Fact.Target; !target.IsZero() {
		of = " of " + target.String()
	}
	return fmt.Sprintf("the newest smoke%s in %q is %q, of %s, %s", of, in, verdict, at.UTC().Format(time.RFC3339), signature)
}

// each calls a function for 0 to n-1, some at once, until one fails.
func each(ctx context.Context, n int, call func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallel)
	for i := range n {
		group.Go(func() error { return call(ctx, i) })
	}
	return group.Wait()
}

// reportEvery is how often a long reading is reported.
const reportEvery = 2 * time.Second

// report returns a function to call after each of n steps. It reports the progress every two seconds.
func report(deps Deps, format string, n int) func() {
	var (
		mu    sync.Mutex
		count int
		last  = deps.Now()
	)
	return func() {
		mu.Lock()
		defer mu.Unlock()
		count++
		if now := deps.Now(); now.Sub(last) >= reportEvery {
			last = now
			deps.Reporter.Infof(format, count, n)
		}
	}
}
