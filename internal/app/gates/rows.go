package gates

import (
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/policy"
)

// Rows shows in a summary what the rules asked for and what was found; nothing if the rules were not asked.
func Rows(decision *policy.Decision) (rows []app.Row) {
	if decision == nil {
		return nil
	}
	for _, line := range decision.Lines {
		rows = append(rows, app.Row{"gate: " + line.Fact, line.String()})
	}
	if overridden := decision.Overridden; overridden != nil {
		rows = append([]app.Row{{"OVERRIDDEN", "by " + overridden.Actor + ": " + overridden.Reason}}, rows...)
	}
	return rows
}
