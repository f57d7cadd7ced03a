package gates

import (
	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/policy"
)

// Section shows what the rules asked of an image and what was found; nothing if the rules were not asked. It is folded if all of it holds.
func Section(image string, decision *policy.Decision) []page.Section {
	if decision == nil || len(decision.Lines) == 0 && decision.Overridden == nil {
		return nil
	}
	title := page.Text{page.Words("What"), page.Code(decision.Environment.String()), page.Words("asks for, and what was found")}
	if image != "" {
		title = append(title, page.Words(", of the image"), page.Code(image))
	}
	section := page.Section{Title: title, Folded: decision.Opens && decision.Overridden == nil, Table: page.Table{Head: []string{"", "asks for", "found", "by"}}}
	for _, line := range decision.Lines {
		mark, found := page.Done, page.Text{page.Words("%s", line.Found)}
		if !line.Holds {
			mark = page.Refused
			if line.Do != "" {
				found = append(found, page.Words("; to pass: %s", line.Do))
			}
		}
		section.Table.Rows = append(section.Table.Rows, []page.Text{{page.Icon(mark)}, {page.Words("%s: %s", line.Fact, line.Required)}, found, {page.Code(line.By)}})
	}
	if overridden := decision.Overridden; overridden != nil {
		section.Lines = []page.Text{{page.Icon(page.Warning), page.Words("Overridden by"), page.Code(overridden.Actor), page.Words(": %s", overridden.Reason)}}
	}
	return []page.Section{section}
}
