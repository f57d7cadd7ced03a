package history

import (
	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/history"
)

// Page is what a history shows on GitHub.
func Page(_ *history.Settings, r history.Result, failed error) page.Page {
	if failed != nil || len(r.Running) == 0 {
		return page.Page{}
	}
	table := page.Table{Head: []string{"environment", "commit", "digest", "since", "because"}}
	for _, is := range r.Running {
		since := page.Text{}
		if !is.Since.IsZero() {
			since = page.Line(page.Code(is.Since.UTC().Format("2006-01-02 15:04")))
		}
		table.Rows = append(table.Rows, []page.Text{{page.Code(is.Environment.String())}, {page.Commit(is.Commit)}, {page.Digest(is.Image.Digest)}, since, page.Line(is.Because)})
	}
	return page.Page{Headline: page.Line("What runs where, by the records of", page.Code(r.Repository.String())), Sections: []page.Section{{Table: table}}}
}
