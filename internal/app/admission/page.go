package admission

import (
	"github.com/onedigest/onedigest/internal/admission"
	"github.com/onedigest/onedigest/internal/app/page"
)

// Page is what the policy of an admission controller shows on GitHub.
func Page(_ *admission.Settings, r admission.Result, failed error) page.Page {
	if failed != nil {
		return page.Page{}
	}
	shown := page.Page{Headline: page.Line("Wrote what", page.Code(r.Environment.String()), "requires, for", page.Code(r.Format)),
		Sections: []page.Section{{Title: page.Line("The manifest"), Folded: true, Block: r.Manifest, Syntax: "yaml"}}}
	if len(r.Differences) > 0 {
		section := page.Section{Title: page.Line("Unlike the gate")}
		for _, line := range r.Differences {
			section.Lines = append(section.Lines, page.Line(line))
		}
		shown.Sections = append([]page.Section{section}, shown.Sections...)
	}
	return shown
}
