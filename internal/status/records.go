package status

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// ladder are the rules of promotion, and of the environments that are read and have none.
type ladder struct {
	rungs []policy.Rung // in the order of promotion
	bare  []policy.Rung // of other environments, without a rule
}

// ladders sets the rules: those of the policy, or without one those of promote.
func (r *reader) ladders(targets []Target) error {
	var environments []release.Environment
	for _, target := range targets {
		if !slices.Contains(environments, target.Environment) {
			environments = append(environments, target.Environment)
		}
	}
	if r.Policy.Source.File == "" {
		order := []release.Environment(release.DefaultPromotionOrder)
		if slices.ContainsFunc(environments, func(e release.Environment) bool { return !slices.Contains(order, e) }) && r.settings.Matrix == "" && len(r.settings.Environments) > 1 {
			order = environments // named in the order of promotion
		}
		r.ladder.rungs = policy.DefaultLadder(order, r.settings.MaxAge)
	} else {
		for _, environment := range r.Policy.Order() {
			rung, err := r.Policy.ForPromotion(environment, "", r.settings.MaxAge)
			if err != nil {
				return err
			}
			r.ladder.rungs = append(r.ladder.rungs, rung)
		}
	}
	for _, environment := range environments {
		if !slices.ContainsFunc(r.ladder.rungs, func(rung policy.Rung) bool { return rung.Environment == environment }) {
			r.ladder.bare = append(r.ladder.bare, policy.Rung{Environment: environment})
		}
	}
	return nil
}

// after returns the environments that come next: those whose rules ask for a pass or a deploy in this one, or else the one after it.
func (l ladder) after(environment release.Environment) (next []policy.Rung) {
	at := slices.IndexFunc(l.rungs, func(rung policy.Rung) bool { return rung.Environment == environment })
	if at < 0 {
		return nil
	}
	for _, rung := range l.rungs[at+1:] {
		smoked, deployed := rung.Requires.Smoked, rung.Requires.Deployed
		if smoked != nil && smoked.In == environment || deployed != nil && deployed.In == environment {
			next = append(next, rung)
		}
	}
	if len(next) == 0 && at+1 < len(l.rungs) && !l.rungs[at+1].IsGuarded() {
		next = l.rungs[at+1 : at+2]
	}
	return next
}

// isGuarded reports whether an environment takes only what an earlier one proved or ran.
func (l ladder) isGuarded(environment release.Environment) bool {
	return slices.ContainsFunc(l.rungs, func(rung policy.Rung) bool { return rung.Environment == environment && rung.IsGuarded() })
}

// recorded is what is recorded about an image.
type recorded struct {
	overview policy.Overview
	tags     map[release.Tag]release.Tag // by the tag of a commit for an environment, the one that names the image: that, or that of the commit that the image was built from
	err      error
}

// readRecords reads the records of all images that run, each once, and fills in what they say. The error of an image is that of every row that runs it.
func (r reader) readRecords(ctx context.Context, rows []Row) {
	r.readCommits(ctx, rows)
	var images []release.Image
	commits := map[release.Image][]release.Commit{}
	for _, row := range rows {
		image := row.image()
		if row.failed != nil || image.IsZero() {
			continue
		}
		if !slices.Contains(images, image) {
			images = append(images, image)
		}
		if row.Commit != "" && !slices.Contains(commits[image], row.Commit) {
			commits[image] = append(commits[image], row.Commit)
		}
	}
	var mu sync.Mutex
	known := map[release.Image]recorded{}
	each(r.settings.Concurrency, len(images), func(i int) {
		found := r.recordsOf(ctx, images[i], commits[images[i]])
		mu.Lock()
		defer mu.Unlock()
		known[images[i]] = found
	})
	for i := range rows {
		row := &rows[i]
		image := row.image()
		if row.failed != nil || image.IsZero() {
			continue
		}
		if found := known[image]; found.err != nil {
			row.failed = found.err
		} else {
			r.judge(row, rows, image, found)
		}
	}
}

// readCommits fills in the commits of releases that Argo CD applies, as their images' labels say them.
func (r reader) readCommits(ctx context.Context, rows []Row) {
	each(r.settings.Concurrency, len(rows), func(i int) {
		row := &rows[i]
		image := row.image()
		if row.failed != nil || row.Application == "" || image.IsZero() {
			return
		}
		ctx, cancel := context.WithTimeoutCause(ctx, r.settings.Timeout, r.late("the registry"))
		defer cancel()
		info, found, err := r.Registry.Describe(ctx, image)
		if err != nil {
			row.failed = timedOut(ctx, err)
			return
		}
		commit, err := release.ParseCommit(info.Revision)
		if !found || err != nil {
			row.Limits = append(row.Limits, "the commit is not known: the image is not in the registry, or has no label of a full commit")
			return
		}
		row.Commit = commit
	})
}

// recordsOf reads the records of an image, and the tags by which its commits were promoted.
func (r reader) recordsOf(ctx context.Context, image release.Image, commits []release.Commit) recorded {
	ctx, cancel := context.WithTimeoutCause(ctx, r.settings.Timeout, r.late("the registry"))
	defer cancel()
	found := recorded{tags: map[release.Tag]release.Tag{}}
	if found.overview, found.err = r.Evidence.Overview(ctx, image, slices.Concat(r.ladder.rungs, r.ladder.bare)); found.err != nil {
		found.err = timedOut(ctx, found.err)
		return found
	}
	for _, commit := range commits {
		for _, rung := range r.ladder.rungs {
			if !rung.IsGuarded() {
				continue
			}
			tag, err := r.promotedBy(ctx, rung.Environment, commit, image)
			if err != nil {
				found.err = timedOut(ctx, err)
				return found
			}
			found.tags[tagOf(rung.Environment, commit)] = tag
		}
	}
	return found
}

// promotedBy returns the tag by which the image of a commit was promoted to an environment; "" if there is none. Of an image that build reused for a later commit
// it is the tag of the commit that the image was built from, which promote takes where only the image is given.
func (r reader) promotedBy(ctx context.Context, environment release.Environment, commit release.Commit, image release.Image) (release.Tag, error) {
	tag := tagOf(environment, commit)
	info, exists, err := r.Registry.Find(ctx, image.Repository, tag)
	if err != nil || exists {
		if info.Digest != image.Digest {
			tag = ""
		}
		return tag, err
	}
	info, exists, err = r.Registry.Find(ctx, image.Repository, release.Tag(commit.String()))
	if err != nil || !exists || info.Digest != image.Digest {
		return "", err
	}
	built, err := release.ParseCommit(info.Revision)
	if err != nil || built == commit { // no label names another one
		return "", nil
	}
	tag = tagOf(environment, built)
	info, exists, err = r.Registry.Find(ctx, image.Repository, tag)
	if err != nil || !exists || info.Digest != image.Digest {
		return "", err
	}
	return tag, nil
}

// tagOf returns the tag by which promote promotes a commit, unless it is told otherwise.
func tagOf(environment release.Environment, commit release.Commit) release.Tag {
	return release.Tag(environment.String() + "-" + commit.String())
}

// judge fills in what is recorded about the image that a row runs.
func (r reader) judge(row *Row, rows []Row, image release.Image, found recorded) {
	standing := found.overview.Standings[row.Environment]
	row.Verified = verifiedOf(standing, row.where, r.Keys)
	if row.Application != "" { // whose deploy is recorded by its image alone
		record, isRecorded := fact.Newest(found.overview.Records, fact.Deployed, row.Environment, func(r fact.Record) bool { return r.Counts() && r.Image == image })
		if isRecorded {
			row.Since, row.By = record.At, record.By
		}
	}
	if row.guarded = r.ladder.isGuarded(row.Environment); row.guarded {
		row.Promoted = r.promoted(*row, image, found)
	}
	if !slices.ContainsFunc(r.ladder.bare, func(rung policy.Rung) bool { return rung.Environment == row.Environment }) {
		row.Entry = &standing.Entry
	}
	for _, rung := range r.ladder.after(row.Environment) {
		entry := found.overview.Standings[rung.Environment].Entry
		next := Next{Environment: rung.Environment, Opens: entry.Opens, Promoted: found.tags[tagOf(rung.Environment, row.Commit)] != ""}
		for _, line := range entry.Missing() {
			next.Missing = append(next.Missing, line.Found)
		}
		next.Runs = runsEverywhere(rows, rung.Environment, row.Service, row.Digest)
		row.Next = append(row.Next, next)
	}
}

// runsEverywhere reports whether all releases of a service in an environment were read and run a digest, by their records and by their pods.
func runsEverywhere(rows []Row, environment release.Environment, service string, digest release.Digest) bool {
	seen := false
	for _, row := range rows {
		if row.Environment != environment || row.Service != service {
			continue
		}
		if row.failed != nil || row.State != StateLive || row.Digest != digest || !row.podsMatch() {
			return false
		}
		seen = true
	}
	return seen
}

// verifiedOf returns what is recorded of smoke at a target.
func verifiedOf(standing policy.Standing, at release.Target, keys map[string]string) *Verified {
	verified := new(Verified)
	for _, rejection := range standing.Against {
		if rejection.Failed {
			verified.Failures = append(verified.Failures, rejection.Failure())
		} else {
			verified.Against = append(verified.Against, rejection.Reason)
		}
	}
	if unreadable := new(release.UnreadableRecordError); errors.As(standing.Smoked.Err, &unreadable) && (unreadable.Target.IsZero() || unreadable.Target.Is(at)) {
		verified.Verdict, verified.Problem = unreadable.Verdict, standing.Smoked.Err.Error()
		verified.At, _ = time.Parse(time.RFC3339, unreadable.Created) // zero if it is undated
		return verified
	}
	if smoked, found := standing.At(at); found {
		verified.Verdict, verified.At, verified.By = smoked.Verdict, smoked.At, smoked.Signer
		if name := keys[verified.By]; name != "" {
			verified.By = name
		}
	}
	return verified
}

// promoted returns how the image came into the row's environment; nil if neither a record nor a tag says so.
func (r reader) promoted(row Row, image release.Image, found recorded) *Promoted {
	promoted := new(Promoted)
	record, isRecorded := fact.Newest(found.overview.Records, fact.Promoted, row.Environment, func(r fact.Record) bool { return r.Counts() && r.Image == image })
	if isRecorded {
		promoted.At, promoted.By = record.At, record.By
		if record.Promotion != nil {
			promoted.Override = record.Promotion.Override
		}
	}
	if tag := found.tags[tagOf(row.Environment, row.Commit)]; tag != "" {
		promoted.Tag = tag
	} else if !isRecorded {
		return nil
	}
	return promoted
}
