package github

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/text"
)

// TestEveryCommandIsRedacted: whatever is handed to the runner by any command, except the one that masks, shows no secret.
func TestEveryCommandIsRedacted(t *testing.T) {
	t.Parallel()
	const canary = "canary-secret-1"
	for name, command := range map[string]func(r *Runner) error{
		"summary":        func(r *Runner) error { return r.Summary("| " + canary + " |") },
		"output":         func(r *Runner) error { return r.SetOutput("a", canary) },
		"output of JSON": func(r *Runner) error { return r.SetOutput("a", `{"a":"`+canary+`"}`) },
		"group":          func(r *Runner) error { r.Group(canary); return nil },
		"warning":        func(r *Runner) error { r.Warning(Annotation{Title: canary, File: canary, Message: canary}); return nil },
		"error":          func(r *Runner) error { r.Error(Annotation{Title: canary, File: canary, Message: canary}); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := environment(t)
			secrets := new(text.Secrets)
			secrets.Add(canary)
			var stdout bytes.Buffer
			r := New(Options{Getenv: func(name string) string { return env[name] }, Stdout: &stdout, Secrets: secrets})
			if err := errors.Join(command(r), command(r)); err != nil {
				t.Fatal(err)
			}
			shown := stdout.String() + content(t, env["GITHUB_STEP_SUMMARY"]) + content(t, env["GITHUB_OUTPUT"])
			if strings.Contains(shown, "canary") || !strings.Contains(shown, text.Redacted) {
				t.Errorf("shows %q", shown)
			}
		})
	}
}
