package uninstall

import (
	"slices"

	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/uninstall"
)

// Page is what uninstall shows on GitHub.
func Page(s *uninstall.Settings, r uninstall.Result, failed error) page.Page {
	if failed != nil || r.Outcome == "" {
		return page.Page{}
	}
	of := page.Line("release", page.Code(s.Release), "in namespace", page.Code(s.Namespace))
	shown := page.Page{Headline: append(page.Line("nothing to remove:"), of...)}
	title, objects := "What went", r.Deleted
	switch r.Outcome {
	case uninstall.OutcomeRemoved:
		shown.Headline = append(page.Line("removed"), of...)
	case release.Planned:
		shown.Headline, title = append(page.Line("would remove"), of...), "What would go"
		if r.Plan != nil {
			objects = slices.Concat(r.Plan.Deletes, r.Plan.WithNamespace)
		}
	}
	if len(objects) > 0 {
		table := page.Table{Head: []string{"object"}}
		for _, object := range objects {
			table.Rows = append(table.Rows, []page.Text{{page.Code(object.String())}})
		}
		shown.Sections = append(shown.Sections, page.Section{Title: page.Line(title), Table: table, Folded: true})
	}
	if len(r.Kept) > 0 {
		table := page.Table{Head: []string{"object", "why"}}
		for _, kept := range r.Kept {
			table.Rows = append(table.Rows, []page.Text{{page.Code(kept.Object.String())}, page.Line(kept.Why)})
		}
		shown.Sections = append(shown.Sections, page.Section{Title: page.Line("What stays"), Table: table})
	}
	return shown
}
