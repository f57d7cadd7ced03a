package deploy

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// warnOtherCheckout warns if chart and values are of another commit than the image's: that combination was never tested. It
// happens when a workflow promotes an older image with its own checkout. Another commit with the same chart and values gives no
// warning.
func (r request) warnOtherCheckout(ctx context.Context) {
	commit := r.deployment.Commit
	if commit == "" {
		return
	}
	var paths []string
	if chart, err := r.Workspace.Inside(r.chart.Source); err == nil { // not of a registry, nor the action's own
		paths = append(paths, chart)
	}
	paths = append(paths, r.deployment.ValuesFiles...)
	if len(paths) == 0 {
		return
	}
	found, err := r.Commits.CheckedOut(ctx, paths, commit)
	if ctx.Err() != nil {
		return
	}
	advice := fmt.Sprintf("check out %s to deploy what was built and tested together", commit.Short())
	switch {
	case err != nil:
		r.Reporter.Infof("whether chart and values are those of commit %s is unknown: %v", commit.Short(), err)
	case found.Unknown:
		r.Reporter.Warnf("chart and values are those of commit %s, and the image is that of commit %s: whether they differ is unknown, because the work tree's history lacks that commit; %s",
			found.Commit.Short(), commit.Short(), advice)
	case len(found.Differing) > 0:
		names := make([]string, len(found.Differing))
		for i, path := range found.Differing {
			names[i] = filepath.Base(path)
		}
		r.Reporter.Warnf("chart and values are those of commit %s, and the image is that of commit %s, which has others: %s; %s",
			found.Commit.Short(), commit.Short(), strings.Join(names, ", "), advice)
	}
}
