package preview

import (
	"fmt"
	"time"

	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/preview"
	"github.com/onedigest/onedigest/internal/release"
)

// Page is what a preview shows on GitHub: that of its deploy, with another sentence and when it expires.
func Page(settings *preview.Settings, r preview.Result, failed error) page.Page {
	switch {
	case r.Mode == preview.Sweep && failed == nil:
		shown := page.Page{Headline: page.Line(fmt.Sprintf("%s removed, %d left", page.Count(len(r.Removed), "expired preview"), len(r.Left)))}
		for _, namespace := range r.Removed {
			shown.Facts = append(shown.Facts, page.Fact{Name: "removed", Value: page.Line(page.Code(namespace))})
		}
		return shown
	case r.Mode == preview.Close && failed == nil && r.Outcome == preview.Removed:
		return removedPage(release.Preview{Release: settings.Release, PullRequest: settings.PullRequest})
	case r.Mode == preview.Close && failed == nil && len(r.Left) > 0:
		return page.Page{Headline: page.Line(name(r.PullRequest), "is left: another run has created it again")}
	case r.Mode == preview.Close && failed == nil:
		return page.Page{Headline: page.Line(name(r.PullRequest), "was removed before")}
	case r.Deploy == nil:
		return page.Page{}
	}
	shown := appdeploy.Page(&deploy.Settings{Environment: settings.Environment, DryRun: false}, *r.Deploy, failed)
	if failed == nil && r.Outcome != release.Superseded {
		shown.Headline = page.Line(name(r.PullRequest), "runs", what(*r.Deploy))
	}
	shown.Facts = append([]page.Fact{{Name: "expires", Value: page.Line(r.Expires.Format(time.RFC3339))}, {Name: "namespace", Value: page.Line(page.Code(r.Namespace))}}, shown.Facts...)
	return shown
}

func name(pull int) string { return fmt.Sprintf("the preview of pull request %d", pull) }

func what(r deploy.Result) page.Text {
	if r.Commit != "" {
		return page.Line("commit", page.Commit(r.Commit))
	}
	return page.Line(page.Digest(r.Image.Digest))
}

// removedPage says that a preview is gone.
func removedPage(p release.Preview) page.Page {
	return page.Page{Status: page.Done, Headline: page.Line(name(p.PullRequest), "is removed"), Facts: []page.Fact{{Name: "namespace", Value: page.Line(page.Code(p.Namespace()))}}}
}
