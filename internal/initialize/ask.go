package initialize

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/initialize/survey"
	"github.com/onedigest/onedigest/internal/release"
)

// questions are the settings in the order in which a person answers them: what the service is, how it is built, where it listens, where its image goes, where it runs,
// what it is allowed. Those that are not among them are asked last.
var questions = []string{"context", "service", "main", "builder", "port", "probe", "chart", "branch", "repository", "role", "environments", "cluster", "environment-role", "region", "sign-key",
	"preview-repository", "preview-cluster", "preview-role"}

// order returns the place of a setting among the questions.
func order(name string) int {
	if at := slices.Index(questions, name); at >= 0 {
		return at
	}
	return len(questions)
}

// maxQuestions is how often somebody is asked.
const maxQuestions = 50

// settle makes the plan, and asks for what is missing if somebody can be asked. Otherwise all of it is one *release.InputError.
func settle(ctx context.Context, settings *Settings, found survey.Found, deps Deps) (plan, error) {
	for range maxQuestions {
		d := &decider{settings: settings, found: found, tree: deps.Tree, version: deps.Version}
		made, err := d.decide()
		if err != nil {
			return made, err
		}
		if len(d.problems) == 0 {
			return made, nil
		}
		slices.SortStableFunc(d.problems, func(a, b release.Problem) int { return cmp.Compare(order(a.Setting), order(b.Setting)) })
		input := &release.InputError{Problems: d.problems}
		if deps.Ask == nil || ctx.Err() != nil {
			return made, errors.Join(context.Cause(ctx), input)
		}
		first := d.problems[0]
		deps.Reporter.Infof("%s; %s", first.What, first.Do)
		answer, err := deps.Ask("--" + first.Setting)
		if err != nil {
			return made, errors.Join(err, input)
		}
		name, value := read(first, answer, d.of[first])
		if wrong := new(release.InputError); errors.As(settings.answer(name, value), &wrong) {
			deps.Reporter.Infof("%s", wrong)
		}
	}
	return plan{}, release.BadInput("the answers", fmt.Sprintf("%d of them left something open", maxQuestions), "give flags")
}

// read returns what an answer decides. It may name another flag, as the advice does ("--runner mine"), and the name before a "=" may be left out.
func read(asked release.Problem, answer, of string) (name, value string) {
	answer = strings.TrimSpace(answer)
	if flag, is := strings.CutPrefix(answer, "--"); is {
		if at := strings.IndexAny(flag, " ="); at > 0 {
			return flag[:at], strings.TrimSpace(flag[at+1:])
		}
		return flag, "true"
	}
	if of != "" && answer != "" && !strings.HasPrefix(answer, of+"=") {
		answer = of + "=" + answer
	}
	return asked.Setting, answer
}
