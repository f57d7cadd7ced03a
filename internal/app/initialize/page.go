package initialize

import (
	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/initialize"
)

// Page is what init shows on GitHub.
func Page(_ *initialize.Settings, r initialize.Result, _ error) page.Page {
	table := page.Table{Head: []string{"file", "state"}}
	for _, file := range r.Files {
		table.Rows = append(table.Rows, []page.Text{{page.Code(file.Path)}, page.Line(string(file.State))})
	}
	section := page.Section{Title: page.Line("What is left to do")}
	for _, step := range r.Next {
		section.Lines = append(section.Lines, page.Line(step))
	}
	return page.Page{Sections: []page.Section{{Table: table}, section}}
}
