package doctor

import (
	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/doctor"
)

// Page is what doctor shows on GitHub.
func Page(_ *doctor.Settings, r doctor.Result, _ error) page.Page {
	table := page.Table{Head: []string{"check", "state", "what was found", "how to fix it"}}
	for _, finding := range r.Findings {
		fix := finding.Fix
		if finding.State == doctor.OK {
			fix = ""
		}
		table.Rows = append(table.Rows, []page.Text{page.Line(finding.Check), page.Line(string(finding.State)), page.Line(finding.What), page.Line(fix)})
	}
	return page.Page{Sections: []page.Section{{Table: table}}}
}
