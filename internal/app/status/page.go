package status

import (
	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/status"
)

// Page is what status shows on GitHub.
func Page(_ *status.Settings, r status.Result, _ error) page.Page {
	if len(r.Releases) == 0 {
		return page.Page{}
	}
	table := page.Table{Head: []string{"", "environment", "release", "commit", "digest", "revision", "since", "by", "verified", "promoted", "next"}}
	var notes []page.Text
	for _, row := range r.Releases {
		mark := page.Done
		if row.Error != "" {
			mark = page.Failed
		} else if !row.InOrder() {
			mark = page.Warning
		}
		commit := page.Text{page.Words("%s", row.CommitText())}
		if row.Commit != "" {
			commit = page.Text{page.Commit(row.Commit)}
		}
		digest := page.Text{}
		if row.Digest != (release.Digest{}) {
			digest = page.Text{page.Digest(row.Digest)}
		}
		table.Rows = append(table.Rows, []page.Text{{page.Icon(mark)}, {page.Code(row.Title())}, {page.Code(row.Release)}, commit, digest, page.Line(row.RevisionText()), page.Line(row.SinceText()), page.Line(row.By),
			page.Line(row.VerifiedText()), page.Line(row.PromotedText()), page.Line(row.NextText())})
		for _, note := range row.Notes() {
			notes = append(notes, page.Text{page.Code(row.Title()), page.Words(": %s", note)})
		}
	}
	return page.Page{Headline: page.Line("What runs where"), Sections: []page.Section{{Table: table, Lines: notes}}}
}
