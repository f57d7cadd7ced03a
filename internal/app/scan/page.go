package scan

import (
	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/scan"
)

// Page is what a scan shows on GitHub.
func Page(_ *scan.Settings, r scan.Result, _ error) page.Page {
	if r.Image.IsZero() {
		return page.Page{}
	}
	return page.Page{Headline: page.Line("Recorded what", page.Code(r.Scan.Scanner), "found in", page.Digest(r.Image.Digest)), Facts: []page.Fact{
		{Name: "findings", Value: page.Line(r.Scan.String())},
		{Name: "image", Value: page.Line(page.Code(r.Image.String()))},
		{Name: "record", Value: page.Line(page.Code(r.Record.String()))},
	}}
}
