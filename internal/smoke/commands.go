package smoke

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// splitChecks separates the checks that send requests from the commands. If the file has only commands, requests is nil, so
// that smoke's own checks find out when the release can be reached.
func splitChecks(checks []release.Check) (requests, commands []release.Check) {
	for _, check := range checks {
		if check.IsCommand() {
			commands = append(commands, check)
		} else {
			requests = append(requests, check)
		}
	}
	return requests, commands
}

// finalChecks compares the latencies of the rounds that have passed and, if they are right, runs the commands. An error means that there
// is nothing to ask.
func (a *roundRunner) finalChecks(ctx context.Context, latencies latencyWindow, settings Settings) ([]release.Answer, error) {
	if wrong := latencies.exceeded(a.Checks); len(wrong) > 0 {
		return wrong, nil
	}
	return a.runCommands(ctx, settings)
}

// commandCutShort returns the name of the command that was ended because the time was up; "" for none.
func commandCutShort(ctx context.Context, answers []release.Answer) string {
	if last := answers[len(answers)-1]; ctx.Err() != nil && last.Kind.IsCommand() {
		return last.Check
	}
	return ""
}

// runCommands runs each command once, in the order of the file, after the requests have passed. After a command that fails, it runs none,
// because they may depend on it. An error means that there is nothing to ask.
func (a *roundRunner) runCommands(ctx context.Context, settings Settings) (answers []release.Answer, err error) {
	if len(a.commands) == 0 {
		return nil, nil
	}
	endpoints, err := a.commandEndpoints(ctx)
	if err != nil {
		return nil, err
	}
	if len(endpoints) == 0 {
		return []release.Answer{{Check: a.commands[0].Name, Kind: a.commands[0].Kind, Stage: release.StageConnect,
			Wrong: []string{fmt.Sprintf("not run: no pod of release %q can be reached", a.Release)}}}, nil
	}
	target := release.CommandTarget{Endpoints: endpoints, Commit: settings.ExpectCommit, Digest: a.Image.Digest}
	for _, check := range a.commands {
		a.deps.Reporter.Infof("running check %q, at most %s", check.Name, text.Duration(check.Command.Timeout))
		answer := a.deps.Commands.Run(ctx, check, target)
		answers = append(answers, answer)
		if answer.OK() {
			a.deps.Reporter.Infof("check %q passed in %.1f s", check.Name, answer.Latency.Seconds())
			continue
		}
		a.showOutput(answer)
		break
	}
	return answers, nil
}

// commandEndpoints returns the endpoints that a command may use: the release's URL, or its ready pods if it has none.
func (a *roundRunner) commandEndpoints(ctx context.Context) (endpoints []release.Endpoint, err error) {
	if a.URL != "" {
		return []release.Endpoint{{Base: a.URL}}, nil
	}
	backends, _, err := a.backends(ctx)
	if err != nil {
		a.infoOnce("the pods are not known: %v", err)
		return nil, nil
	}
	requests, err := a.insideRequests(backends, a.commands)
	for _, request := range requests {
		endpoints = append(endpoints, request.Endpoint)
	}
	return endpoints, err
}

// maxShown is the number of outputs that are shown of a command that fails repeatedly.
const maxShown = 2

// showOutput shows the output of a failed command.
func (a *roundRunner) showOutput(answer release.Answer) {
	if a.outputs[answer.Check]++; answer.Output == "" || a.outputs[answer.Check] > maxShown {
		return
	}
	end := a.deps.Reporter.Group(fmt.Sprintf("output of check %q, which %s", answer.Check, strings.Join(answer.Wrong, "; ")))
	a.deps.Reporter.Raw(answer.Output)
	end()
}

// shortenOutput keeps only the end of the outputs of failed commands, because the whole was shown and the size of a result is limited.
func shortenOutput(answers []release.Answer) []release.Answer {
	const limit = 2000 // bytes
	short := slices.Clone(answers)
	for i, answer := range short {
		if over := len(answer.Output) - limit; over > 0 {
			end := answer.Output[over:]
			_, end, _ = strings.Cut(end, "\n")
			short[i].Output = "…\n" + end
		}
	}
	return short
}
