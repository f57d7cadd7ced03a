package app

import (
	"context"

	"github.com/onedigest/onedigest/internal/promote"
)

// Promote is the promote verb as a command.
func Promote(ctx context.Context, process Process) int {
	return perform(ctx, process, verb[*promote.Settings, promote.Result]{
		about: promote.Verb, settings: new(promote.Settings), run: runPromote,
		outputs: func(r promote.Result) map[string]string {
			return map[string]string{"image": r.Image.String(), "digest": r.Digest.String(), "tag": r.Tag.String(),
				"commit": r.Commit.String(), "outcome": string(r.Outcome)}
		},
		summary: func(r promote.Result) []row {
			return []row{{"outcome", string(r.Outcome)}, {"image", r.Image.String()}, {"tag", r.Tag.String()},
				{"commit", r.Commit.String()}, {"proved by", r.From.String()}, {"for", r.To.String()}}
		},
	})
}

func runPromote(ctx context.Context, settings *promote.Settings, desk *desk) (promote.Result, error) {
	images, err := newImages(ctx, desk)
	if err != nil {
		return promote.Result{}, err
	}
	return promote.Run(ctx, *settings, promote.Deps{Registry: images, Evidence: images, Reporter: desk.account})
}
