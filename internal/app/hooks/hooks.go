// Package hooks is the wiring of what explains a chart's hooks that fail while a release is uninstalled.
package hooks

import (
	"context"
	"errors"
	"time"

	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/rollout"
	"github.com/onedigest/onedigest/internal/release"
)

// explainTime limits what is asked of a hook that has failed already.
const explainTime = 15 * time.Second

// Explain returns what finds out why a hook of a release has failed, with the last log lines of its pod, which it reports: nil if the cluster does not tell.
func Explain(client *kube.Client, namespace string, reporter release.Reporter) func(ctx context.Context, hook []release.Object) error {
	return func(ctx context.Context, hook []release.Object) error {
		watcher, err := rollout.New(client)
		if err != nil {
			return nil //nolint:nilerr // Helm has said that it failed
		}
		ctx, stop := context.WithTimeout(ctx, explainTime)
		defer stop()
		err = watcher.WatchHook(ctx, namespace, hook, release.Baseline{}, func(release.RolloutStep) {})
		var diagnosed release.Diagnosed
		if !release.IsBadRelease(err) || !errors.As(err, &diagnosed) {
			return nil
		}
		diagnosis := diagnosed.Diagnosis()
		show(reporter, "last events", diagnosis.Events)
		show(reporter, "last lines of the hook", diagnosis.Logs)
		show(reporter, "last lines of its previous run", diagnosis.Previous)
		return err
	}
}

// show reports untrusted lines below a title; nothing if there are none.
func show(reporter release.Reporter, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	reporter.Infof("%s:", title)
	for _, line := range lines {
		reporter.Raw(line)
	}
}
