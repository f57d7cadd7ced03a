package promote

import (
	"cmp"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/app/gates"
	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
)

// Page is what a promotion shows on GitHub.
func Page(settings *promote.Settings, r promote.Result, failed error) page.Page {
	if len(r.Services) > 0 {
		return matrixPage(r, failed)
	}
	if r.Image.IsZero() {
		return page.Page{}
	}
	to := page.Code(cmp.Or(r.To, settings.To).String())
	shown := page.Page{Facts: []page.Fact{
		{Name: "commit", Value: page.Line(page.Commit(r.Commit))},
		{Name: "digest", Value: page.Line(page.Code(r.Image.Digest.String()))},
		{Name: "tag", Value: page.Line(page.Code(r.Tag.String()))},
		{Name: "image", Value: page.Line(page.Code(r.Image.String()))},
	}}
	if !r.Proved.IsZero() {
		shown.Facts = append(shown.Facts, page.Fact{Name: "proved", Value: page.Line("in", page.Code(r.From.String()), "at", page.Code(r.Proved.UTC().Format(time.RFC3339)))})
	}
	what := page.Line("commit", page.Commit(r.Commit))
	if r.Commit == "" {
		what = page.Line(page.Digest(r.Image.Digest))
	}
	switch {
	case failed != nil && release.ExitCode(failed) == release.ExitFailed:
		shown.Headline = page.Line(to, "does not take", what)
	case failed != nil:
	case settings.Reject != "":
		shown.Headline = page.Line("Rejected", what, "for", to)
	case settings.LiftRejection != "":
		shown.Headline = page.Line("Lifted the rejections of", what, "for", to)
	case settings.DryRun:
		shown.Status, shown.Headline = page.Planned, page.Line("A promotion of", what, "to", to, "would succeed")
	case r.Outcome == release.Unchanged:
		shown.Headline = page.Line(what, "was promoted to", to, "already")
	default:
		shown.Headline = page.Line("Promoted", what, "to", to)
	}
	shown.Sections = gates.Section("", r.Gate)
	if further := r.Images[min(1, len(r.Images)):]; len(further) > 0 {
		table := page.Table{Head: []string{"image", "outcome", "digest"}}
		for _, one := range further {
			table.Rows = append(table.Rows, []page.Text{{page.Code(one.Name)}, page.Line(string(one.Outcome)), {page.Digest(one.Image.Digest)}})
		}
		shown.Sections = append(shown.Sections, page.Section{Title: page.Line("Further images"), Table: table})
	}
	return shown
}

// matrixPage shows the promotions of a matrix.
func matrixPage(r promote.Result, failed error) page.Page {
	table := page.Table{Head: []string{"", "service", "outcome", "digest", "tag"}}
	promoted := 0
	for _, one := range r.Services {
		status, outcome := page.Done, page.Line(string(one.Outcome))
		if one.Error != "" {
			status, outcome = page.Failed, page.Explained(one.Error)
		} else {
			promoted++
		}
		table.Rows = append(table.Rows, []page.Text{{page.Icon(status)}, {page.Code(one.Service)}, outcome, {page.Digest(one.Image.Digest)}, {page.Code(one.Tag.String())}})
	}
	shown := page.Page{Headline: page.Line(fmt.Sprintf("%d of %d services may go to", promoted, len(r.Services)), page.Code(r.To.String())), Sections: []page.Section{{Table: table}}}
	if failed != nil {
		shown.Reason = []page.Text{page.Line(page.Count(len(r.Services)-promoted, "service") + " failed.")}
	}
	return shown
}
