package smoke

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/smoke"
)

// Page is what a smoke shows on GitHub.
func Page(settings *smoke.Settings, r smoke.Result, failed error) page.Page {
	if len(r.Services) > 0 {
		return matrixPage(r, failed)
	}
	if r.Verdict == "" {
		return page.Page{}
	}
	report := r.Report
	shown := page.Page{URL: report.URL, Facts: []page.Fact{
		{Name: "verdict", Value: page.Line(string(r.Verdict))},
		{Name: "environment", Value: page.Line(page.Code(settings.Environment.String()))},
		{Name: "commit", Value: page.Line(page.Commit(report.Expected))},
	}}
	if !r.Digest.IsZero() {
		shown.Facts = append(shown.Facts, page.Fact{Name: "digest", Value: page.Line(page.Code(r.Digest.String()))})
	}
	shown.Facts = append(shown.Facts, page.Fact{Name: "rounds", Value: page.Line(rounds(report))})
	if !r.Evidence.IsZero() {
		shown.Facts = append(shown.Facts, page.Fact{Name: "record", Value: page.Line(page.Code(r.Evidence.String()))})
	}
	where := page.Line("The service")
	if settings.Environment != "" {
		where = page.Line(page.Code(settings.Environment.String()))
	}
	switch {
	case r.Verdict == release.Pass && failed == nil:
		shown.Headline = page.Line(where, "answers as expected")
		if report.Expected != "" {
			shown.Headline = page.Line(where, "serves commit", page.Commit(report.Expected))
		}
	case r.Verdict == release.Fail:
		shown.Headline = page.Line(where, "gives wrong answers")
	case r.Verdict == release.Inconclusive:
		shown.Headline = page.Line("Smoke could not tell whether", where, "works")
	}
	shown.Sections = answers(report)
	return shown
}

func rounds(report smoke.Report) string {
	if report.Consecutive == 0 {
		return fmt.Sprintf("%d in %.1f s, the last one did not pass", report.Rounds, report.Seconds)
	}
	return fmt.Sprintf("%d in %.1f s, the last %d in a row passed", report.Rounds, report.Seconds, report.Consecutive)
}

// answers are the results of the checks, those that did not pass first, and folded if all passed.
func answers(report smoke.Report) (sections []page.Section) {
	table := page.Table{Head: []string{"", "check", "asked", "result"}}
	failed := 0
	sorted := slices.SortedStableFunc(slices.Values(report.Answers), func(a, b release.Answer) int { return rank(a) - rank(b) })
	for _, answer := range sorted {
		status, result := page.Done, page.Line(fmt.Sprintf("passed in %.0f ms", 1000*answer.Latency.Seconds()))
		if !answer.OK() {
			status, result = page.Failed, page.Line(string(answer.Stage)+": "+strings.Join(answer.Wrong, "; "))
			failed++
		}
		table.Rows = append(table.Rows, []page.Text{{page.Icon(status)}, {page.Code(answer.Check)}, {page.Code(cmp.Or(answer.Address, answer.URL))}, result})
		if answer.Output != "" {
			sections = append(sections, page.Section{Title: page.Line("What", page.Code(answer.Check), "wrote"), Block: answer.Output, Tail: true})
		}
	}
	if len(table.Rows) > 0 {
		title := page.Count(len(table.Rows), "answer") + " of the last round"
		if failed > 0 {
			title += fmt.Sprintf(", %d wrong", failed)
		}
		sections = append([]page.Section{{Title: page.Line(title), Folded: failed == 0, Table: table}}, sections...)
	}
	latencies := page.Table{Head: []string{"check", "p50", "p95", "p99", "requests"}}
	for _, latency := range report.Latencies {
		latencies.Rows = append(latencies.Rows, []page.Text{{page.Code(latency.Check)}, page.Line(milliseconds(latency.P50)), page.Line(milliseconds(latency.P95)), page.Line(milliseconds(latency.P99)),
			page.Line(fmt.Sprint(latency.Requests))})
	}
	if len(latencies.Rows) > 0 {
		sections = append(sections, page.Section{Title: page.Line("Latencies"), Folded: true, Table: latencies})
	}
	return sections
}

func rank(answer release.Answer) int {
	if answer.OK() {
		return 1
	}
	return 0
}

func milliseconds(seconds float64) string { return fmt.Sprintf("%.1f ms", 1000*seconds) }

// matrixPage shows the smokes of a matrix.
func matrixPage(r smoke.Result, failed error) page.Page {
	table := page.Table{Head: []string{"", "service", "verdict", "digest", "address"}}
	passed := 0
	for _, one := range r.Services {
		status, result := page.Done, page.Line(string(one.Verdict))
		if one.Error != "" {
			status, result = page.Failed, page.Explained(one.Error)
		} else {
			passed++
		}
		table.Rows = append(table.Rows, []page.Text{{page.Icon(status)}, {page.Code(strings.TrimPrefix(one.Cluster+"/"+one.Service, "/"))}, result, {page.Digest(one.Digest)}, {page.Link(one.Report.URL)}})
	}
	shown := page.Page{Headline: page.Line(fmt.Sprintf("%d of %d services passed", passed, len(r.Services))), Sections: []page.Section{{Table: table}}}
	if failed != nil {
		shown.Reason = []page.Text{page.Line(page.Count(len(r.Services)-passed, "service") + " did not pass.")}
	}
	return shown
}
