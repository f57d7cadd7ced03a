package deploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
	"golang.org/x/sync/errgroup"
)

// Many checks every deploy of every wave, and then runs the waves one after the other, the deploys of a wave at once up to a
// limit. The first wave in which one fails is the last: its other deploys end by themselves, later waves are not begun
// and are told as such.
func Many(ctx context.Context, waves []Wave, concurrency int, account release.Reporter, world func(Settings, release.Reporter) (Deps, error)) (Result, error) {
	prepared, err := prepareAll(ctx, waves, concurrency, account, world)
	if err != nil {
		return Result{}, err
	}
	var all Result
	var failures error
	for i, wave := range prepared {
		if failures != nil || ctx.Err() != nil {
			account.Warnf("not begun: wave %q, %d deploys", waves[i].Name, len(wave))
			all.Skipped += len(wave)
			continue
		}
		account.Infof("wave %q (%d of %d): %d deploys", waves[i].Name, i+1, len(waves), len(wave))
		results := make([]Result, len(wave))
		failures = atOnce(wave, concurrency, func(n int, d *deploy) (err error) {
			results[n], err = d.run(ctx)
			if err != nil && results[n].State == "" {
				results[n].State = "failed"
			}
			return err
		})
		all.Deploys = append(all.Deploys, results...)
	}
	all.Outcome = outcome(all.Deploys)
	for _, result := range all.Deploys {
		account.Infof("%-12s %s/%s  %s", result.Outcome, result.Namespace, result.Release, result.State)
	}
	if failures == nil && all.Skipped > 0 {
		failures = context.Cause(ctx)
	}
	return all, failures
}

// prepareAll finds everything that is wrong with any of the deploys while nothing has been changed.
func prepareAll(ctx context.Context, waves []Wave, concurrency int, account release.Reporter, world func(Settings, release.Reporter) (Deps, error)) ([][]*deploy, error) {
	var all []*deploy
	prepared := make([][]*deploy, len(waves))
	for i, wave := range waves {
		for _, settings := range wave.Deploys {
			around, err := world(settings, &prefixed{Reporter: account, prefix: settings.title()})
			if err != nil {
				return nil, in(settings, err)
			}
			d := &deploy{settings: settings, Deps: around}
			prepared[i], all = append(prepared[i], d), append(all, d)
		}
	}
	return prepared, atOnce(all, concurrency, func(_ int, d *deploy) error { return d.prepare(ctx) })
}

// atOnce does something with every deploy, and joins what went wrong.
func atOnce(deploys []*deploy, concurrency int, do func(int, *deploy) error) error {
	failed := make([]error, len(deploys))
	var group errgroup.Group
	group.SetLimit(concurrency)
	for i, d := range deploys {
		group.Go(func() error {
			failed[i] = in(d.settings, do(i, d))
			return nil
		})
	}
	_ = group.Wait() // errors are kept one by one
	return errors.Join(failed...)
}

func in(settings Settings, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", settings.title(), err)
}

// title names a deploy among others.
func (s Settings) title() string {
	where := s.Namespace
	if place := first(s.Cluster, s.Context); place != "" {
		where = place + "/" + where
	}
	return where + "/" + s.Release
}

func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// outcome of many is what all of them did, or changed if they did not do the same.
func outcome(results []Result) release.Outcome {
	if len(results) == 0 {
		return ""
	}
	for _, result := range results {
		if result.Outcome != results[0].Outcome {
			return release.Changed
		}
	}
	return results[0].Outcome
}

// prefixed tells which of several deploys a line is about. Groups would fold one deploy's lines into another's.
type prefixed struct {
	release.Reporter
	prefix string
}

func (p *prefixed) Infof(format string, args ...any) {
	p.Reporter.Infof("[%s] %s", p.prefix, fmt.Sprintf(format, args...))
}

func (p *prefixed) Warnf(format string, args ...any) {
	p.Reporter.Warnf("[%s] %s", p.prefix, fmt.Sprintf(format, args...))
}

func (p *prefixed) Step(step release.RolloutStep) {
	step.Object.Name = step.Object.Name + " of " + p.prefix
	p.Reporter.Step(step)
}

func (p *prefixed) Raw(text string) { p.Reporter.Raw("[" + p.prefix + "] " + text) }

func (p *prefixed) Group(title string) func() {
	p.Infof("%s", title)
	return func() {}
}
