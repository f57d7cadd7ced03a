// Package history shows, from a registry alone, what happened to each commit's image: which environments it was deployed to, what
// their smoke found, and which image each environment runs.
package history

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

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
	Keys     map[string]string            // the keys that verify records, as they were given, by their IDs
}

// Registry reads tags and what they name.
type Registry interface {
	// Tags lists the tags of a repository, in the registry's order. The error is a *release.Fault.
	Tags(ctx context.Context, repository release.Repository) ([]release.Tag, error)
	// Find reads what a tag names; false if it does not exist any more.
	Find(ctx context.Context, repository release.Repository, tag release.Tag) (release.ImageInfo, bool, error)
}

// Evidence reads all records about an image. A record that cannot be read is among them, with its Problem.
type Evidence interface {
	Facts(ctx context.Context, image release.Image, kinds ...fact.Kind) ([]fact.Record, error)
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
	Verified     bool                  `json:"verified"`          // signatures were checked with the given keys
	Board        string                `json:"board,omitempty"`   // path of the written page
	Source       string                `json:"source,omitempty"`  // address of the sources, to which commits are linked
	Keys         map[string]string     `json:"keys,omitempty"`    // the given keys by their IDs, which records name as signers
}

// Entry is one commit's image.
type Entry struct {
	Commit  release.Commit `json:"commit"`
	Image   release.Image  `json:"image"`
	Created time.Time      `json:"created,omitzero"` // of the image, as its labels say
	Tags    []release.Tag  `json:"tags"`
	Cells   []Cell         `json:"environments"`
	Records []fact.Record  `json:"records"` // about the image itself, not about an environment
}

// Running is what an environment runs, by the newest recorded deploy.
type Running struct {
	Environment release.Environment `json:"environment"`
	Commit      release.Commit      `json:"commit,omitempty"` // "" if no deploy is recorded
	Image       release.Image       `json:"image,omitzero"`
	Since       time.Time           `json:"since,omitzero"`
	Because     string              `json:"because"` // which facts allow it, one line
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

// Run reads the history. It changes nothing in the registry.
func Run(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	if settings.Board != "" {
		if err := deps.Files.CheckWritable("board", settings.Board); err != nil {
			return Result{}, err
		}
	}
	entries, unread, err := commits(ctx, settings, deps)
	if err != nil {
		return Result{}, err
	}
	records, err := recordsOf(ctx, entries, deps)
	if err != nil {
		return Result{}, err
	}
	result := Result{Repository: settings.Repository, Environments: settings.Environments, At: deps.Now().UTC(), Unread: unread,
		Verified: len(deps.Keys) > 0, Source: settings.Source, Keys: deps.Keys}
	result.setStates(entries, records)
	result.filter(settings)
	if ctx.Err() != nil { // a cancelled run writes nothing, also if its last request was answered
		return Result{}, fmt.Errorf("reading the history of %s: %w", settings.Repository, context.Cause(ctx))
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
	var wanted []release.Commit
	for _, tag := range tags {
		commit, err := release.ParseCommit(tag.String())
		if err == nil {
			wanted = append(wanted, commit)
		}
	}
	if settings.Commit != "" && !slices.Contains(wanted, settings.Commit) {
		return nil, 0, &release.Refusal{Why: fmt.Sprintf("%q has no image of commit %s", settings.Repository, settings.Commit.Short()), Do: "name a commit that was built, or leave it out"}
	}
	done := report(deps, "reading %d of %d images", len(wanted))
	found := make([]*Entry, len(wanted))
	err = each(ctx, len(wanted), func(ctx context.Context, i int) error {
		defer done()
		info, exists, err := deps.Registry.Find(ctx, settings.Repository, release.Tag(wanted[i].String()))
		if err == nil && exists {
			found[i] = &Entry{Commit: wanted[i], Image: settings.Repository.At(info.Digest), Created: info.Created, Tags: []release.Tag{}, Records: []fact.Record{}}
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	var entries []Entry
	for _, entry := range found {
		if entry != nil {
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

// recordsOf reads the records about each image, once for each digest.
func recordsOf(ctx context.Context, entries []Entry, deps Deps) (map[release.Digest][]fact.Record, error) {
	var images []release.Image
	seen := map[release.Digest]bool{}
	for _, entry := range entries {
		if !seen[entry.Image.Digest] {
			seen[entry.Image.Digest] = true
			images = append(images, entry.Image)
		}
	}
	var (
		mu      sync.Mutex
		records = map[release.Digest][]fact.Record{}
	)
	done := report(deps, "reading the records of %d of %d images", len(images))
	err := each(ctx, len(images), func(ctx context.Context, i int) error {
		defer done()
		read, err := deps.Evidence.Facts(ctx, images[i])
		mu.Lock()
		defer mu.Unlock()
		records[images[i].Digest] = read
		return err
	})
	return records, err
}

// setStates sets the state of each commit in each environment, and what each environment runs, from the records.
func (r *Result) setStates(entries []Entry, records map[release.Digest][]fact.Record) {
	live := map[release.Environment]release.Digest{}
	r.Running, r.Commits = make([]Running, len(r.Environments)), []Entry{}
	for i, environment := range r.Environments {
		r.Running[i] = Running{Environment: environment, Because: "no deploy is recorded"}
		for _, entry := range entries { // the newest commit first, so that of two with the same image it is the one
			deployed, found := fact.Newest(records[entry.Image.Digest], fact.Deployed, environment, func(record fact.Record) bool {
				return record.Image == entry.Image && (!r.Verified || record.Trusted())
			})
			if found && deployed.At.After(r.Running[i].Since) {
				live[environment] = entry.Image.Digest
				r.Running[i].Commit, r.Running[i].Image, r.Running[i].Since = entry.Commit, entry.Image, deployed.At
			}
		}
	}
	for i := range r.Running {
		if r.Unread > 0 && r.Running[i].Commit == "" {
			r.Running[i].Because += fmt.Sprintf(" in the newest %d commits", maxCommits)
		}
	}
	for _, entry := range entries {
		known := records[entry.Image.Digest]
		for _, record := range known {
			if record.Environment == "" {
				entry.Records = append(entry.Records, record)
			}
		}
		entry.Cells = make([]Cell, len(r.Environments))
		for i, environment := range r.Environments {
			tagged := slices.ContainsFunc(entry.Tags, func(tag release.Tag) bool { is, of := environmentOf(tag, entry.Commit); return is && of == environment })
			entry.Cells[i] = cellOf(environment, known, blockingRejections(known, entry.Image, environment, i == 0, r.Keys), live[environment] == entry.Image.Digest, tagged, r.Verified)
		}
		for i := range r.Running {
			if r.Running[i].Commit == entry.Commit {
				r.Running[i].Because = r.explainRunning(known, i)
				if smoked, found := newestSmoke(known, r.Environments[i], r.Verified); found && smoked.Smoke.Verdict == release.Fail && smoked.At.After(r.Running[i].Since) {
					r.Running[i].Because += fmt.Sprintf("; its smoke failed at %s, and no rollback is recorded: the environment may run an earlier image", smoked.At.UTC().Format(time.RFC3339))
				}
			}
		}
		r.Commits = append(r.Commits, entry)
	}
}

// explainRunning describes in one line the records that allow an environment to run an image: the promotion, and the smoke of the environment before it.
func (r *Result) explainRunning(records []fact.Record, at int) string {
	if at == 0 {
		return "the first environment accepts every build"
	}
	before := r.Environments[at-1]
	reason := fmt.Sprintf("no smoke in %q is recorded", before)
	if smoked, found := newestSmoke(records, before, r.Verified); found {
		reason = fmt.Sprintf("the newest smoke in %q is %q, of %s, %s", before, smoked.Smoke.Verdict, smoked.At.UTC().Format(time.RFC3339), Signature(smoked, r.Keys))
		if smoked.Smoke.Verdict == release.Pass {
			reason = fmt.Sprintf("%q proved it at %s, %s", before, smoked.At.UTC().Format(time.RFC3339), Signature(smoked, r.Keys))
		}
	}
	if promoted, found := newestIn(records, fact.Promoted, r.Environments[at], r.Verified); found {
		reason += fmt.Sprintf("; promoted at %s, %s", promoted.At.UTC().Format(time.RFC3339), Signature(promoted, r.Keys))
		if promoted.Promotion.Override != "" {
			reason += "; a rule was overridden: " + promoted.Promotion.Override
		}
	}
	return reason
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
