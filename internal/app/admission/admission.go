// Package admission wires the admission verb: the rules of promotion, and the keys that they name.
package admission

import (
	"context"

	"github.com/onedigest/onedigest/internal/admission"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/gates"
	"github.com/onedigest/onedigest/internal/evidence"
)

// Command returns the admission verb as a program.
func Command() app.Command {
	return app.NewCommand(app.Wiring[admission.Settings, admission.Result]{
		Verb: admission.Verb, Declare: (*admission.Settings).Declare, Run: Run,
		Outputs: func(r admission.Result) map[string]string { return map[string]string{"manifest": r.Manifest} },
		Page:    Page,
	})
}

// Run runs the verb with its adapters.
func Run(ctx context.Context, settings *admission.Settings, run *app.RunContext) (admission.Result, error) {
	rules, err := gates.Load(run, settings.Policy)
	if err != nil {
		return admission.Result{}, err
	}
	signers, err := gates.NewSigners(run, rules)
	if err != nil {
		return admission.Result{}, err
	}
	return admission.Run(ctx, *settings, admission.Deps{Policy: rules, Signers: signers, Files: run.Workspace(), Reporter: run.Reporter, TypeOf: evidence.TypeOf})
}
