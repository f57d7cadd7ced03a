package build

import (
	"strings"

	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/release"
)

// Page is what a build shows on GitHub.
func Page(_ *build.Settings, r build.Result, failed error) (shown page.Page) {
	if len(r.Services) > 0 {
		return matrixPage(r, failed)
	}
	if r.Image.IsZero() {
		return page.Page{}
	}
	switch {
	case failed != nil:
	case r.Outcome == release.Reused:
		shown.Headline = page.Line("The image of commit", page.Commit(r.Commit), "exists already and is reused")
	default:
		shown.Headline = page.Line("Built commit", page.Commit(r.Commit))
	}
	shown.Facts = []page.Fact{
		{Name: "commit", Value: page.Line(page.Commit(r.Commit))},
		{Name: "digest", Value: page.Line(page.Code(r.Digest.String()))},
		{Name: "image", Value: page.Line(page.Code(r.Image.String()))},
		{Name: "tag", Value: page.Line(page.Code(r.Tag.String()))},
		{Name: "unchanged since commit", Value: page.Line(page.Commit(r.From))},
		{Name: "platforms", Value: page.Line(page.Code(strings.Join(r.Platforms, ", ")))},
	}
	for _, record := range []struct {
		name   string
		digest release.Digest
	}{{"signed record", r.Record}, {"SBOM", r.SBOM}} {
		if !record.digest.IsZero() {
			shown.Facts = append(shown.Facts, page.Fact{Name: record.name, Value: page.Line(page.Code(record.digest.String()))})
		}
	}
	return shown
}

// matrixPage shows the builds of a matrix.
func matrixPage(r build.Result, failed error) page.Page {
	table := page.Table{Head: []string{"", "service", "outcome", "digest", "commit"}}
	built := 0
	for _, one := range r.Services {
		status, outcome := page.Done, page.Line(string(one.Outcome))
		if one.Error != "" {
			status, outcome = page.Failed, page.Explained(one.Error)
		} else {
			built++
		}
		table.Rows = append(table.Rows, []page.Text{{page.Icon(status)}, {page.Code(one.Service)}, outcome, {page.Digest(one.Digest)}, {page.Commit(one.Commit)}})
	}
	shown := page.Page{Headline: page.Line(page.Words("%d of %d services have their image", built, len(r.Services))), Sections: []page.Section{{Table: table}}}
	if failed != nil {
		shown.Reason = []page.Text{page.Line(page.Count(len(r.Services)-built, "service") + " failed.")}
	}
	return shown
}
