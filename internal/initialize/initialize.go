// Package initialize writes into a repository what takes its services to production: the workflow that calls pipeline.yaml, the values of each environment, the
// smoke checks, and where they are wanted the rules of promotion and the variables of Terraform.
package initialize

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/initialize/survey"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/pmezard/go-difflib/difflib"
)

// Deps are what the verb works with.
type Deps struct {
	Tree     fs.FS // the repository
	Files    Files
	Ask      func(question string) (answer string, err error) // nil: nobody can be asked
	Version  string                                           // of this program if it is a release, else ""
	Reporter release.Reporter
}

// Files writes into the repository.
type Files interface {
	// Write writes a file, or replaces it, and makes its directories. It follows no symbolic link out of the repository.
	Write(path string, content []byte) error
}

// Result says what the repository has now.
type Result struct {
	Files []File   `json:"files"`
	Next  []string `json:"next"` // what is left to do, outside of the repository
}

// File is a written file.
type File struct {
	Path  string `json:"path"`
	State State  `json:"state"`
}

// State is what became of a file.
type State string

// The states of a file.
const (
	Created   State = "created"
	Replaced  State = "replaced"
	Unchanged State = "unchanged"
	Kept      State = "kept" // it differs, and is the repository's own
)

// Run decides what the files say, compares them with those that are there, and writes the others. If one that is there differs and may not be replaced, nothing is
// written, and the error is a *release.Refusal.
func Run(ctx context.Context, settings *Settings, deps Deps) (Result, error) {
	found, err := survey.Look(deps.Tree)
	if err != nil {
		return Result{}, err
	}
	settings.recall(found)
	made, err := settle(ctx, settings, found, deps)
	if err != nil {
		return Result{}, err
	}
	report(made, deps.Reporter)
	files := made.files()
	if err := distinct(files); err != nil {
		return Result{}, err
	}
	states, err := compare(files, settings.OverwriteOwn, deps)
	if err != nil {
		return Result{}, err
	}
	if err := permit(ctx, settings.Overwrite, settings.OverwriteOwn, files, states, deps); err != nil {
		return Result{}, err
	}
	result := Result{Next: made.next(found)}
	for i, file := range files {
		if states[i] == Created || states[i] == Replaced {
			if err := deps.Files.Write(file.path, []byte(file.content)); err != nil {
				return result, err
			}
		}
		result.Files = append(result.Files, File{file.path, states[i]})
		note := ""
		if states[i] == Kept {
			note = ", which differs as shown; --overwrite-own replaces it"
		}
		deps.Reporter.Infof("%s: %s%s", states[i], file.path, note)
	}
	if !slices.ContainsFunc(states, func(state State) bool { return state != Unchanged && state != Kept }) {
		deps.Reporter.Infof("nothing has changed: the repository has all files")
	}
	for _, step := range result.Next {
		deps.Reporter.Infof("next: %s", step)
	}
	return result, nil
}

// report says what was found.
func report(made plan, reporter release.Reporter) {
	if made.notOurs != "" {
		reporter.Infof("%s was not written by init, so it stays and no workflow for promotions by hand is written; rename it and run init again to get one", made.notOurs)
	}
	for _, s := range made.services {
		what := "Go main package"
		if s.main != "." {
			what += " " + s.main
		}
		if s.builder == "docker" {
			what = s.dockerfile
			if !strings.Contains(path.Base(what), "Dockerfile") {
				what = "Dockerfile " + what
			}
		}
		line := fmt.Sprintf("%s: %s of %q", firstOf(s.name, "the service"), what, s.context)
		if s.chart != nil {
			line += fmt.Sprintf(", chart %q", s.chart.Dir)
		} else {
			line += ", the common chart, which runs it as user 65532 with a file system that it cannot write"
		}
		if s.port.Value != "" {
			line += fmt.Sprintf(", port %s (%s)", s.port.Value, s.port.File)
		}
		if s.ready.Value != "" {
			line += fmt.Sprintf(", ready at %s (%s)", s.ready.Value, s.ready.File)
		}
		reporter.Infof("%s", line)
		reportPort(s, reporter)
		reportCommands(s, reporter)
		if s.name != "" && s.chart != nil {
			for _, e := range made.environments {
				if unused := s.chart.Values[e.name]; unused != "" {
					reporter.Warnf("%q is not used: the values of %q in %q are %q", unused, s.name, e.name, valuesFile(s, e.name))
				}
			}
		}
	}
}

// reportPort says that a chart's own port is another one than the service listens on.
func reportPort(s service, reporter release.Reporter) {
	switch {
	case s.chart == nil || s.port.Value == "" || s.chart.PortValue == "" || s.chart.PortValue == s.port.Value:
	case s.chart.Port == "":
		reporter.Warnf("%q has containerPort %s, and no value sets it: let the program listen there, or change the chart to %s", s.chart.Dir, s.chart.PortValue, s.port.Value)
	default:
		reporter.Infof("note: %q has port %s; %s sets it to %s in the values of each environment; --port decides otherwise", s.chart.Dir, s.chart.PortValue, s.chart.Port, s.port.Value)
	}
}

// reportCommands says that a chart runs commands which an image of the Go builder may not have.
func reportCommands(s service, reporter release.Reporter) {
	if s.chart == nil || s.builder != "go" {
		return
	}
	var commands []string
	for _, command := range s.chart.Commands {
		if !strings.HasPrefix(command, "/app/") { // where the program is
			commands = append(commands, fmt.Sprintf("%q", command))
		}
	}
	program := "/app, called as its module"
	if s.main != "." {
		program = "/app/" + path.Base(s.main)
	}
	if len(commands) > 0 {
		reporter.Warnf("the templates of %q run %s, and an image of the Go builder has one program, %s, which runs without a command, and no shell: a container or a probe of it with another command does not start; working-dir /app lets ./NAME be found, and --builder docker builds what a Dockerfile adds",
			s.chart.Dir, strings.Join(commands, ", "), program)
	}
}

func firstOf(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// compare compares the files with those that are there. Those that are the repository's own once they are there are kept, unless they are to be replaced.
func compare(files []file, overwriteOwn bool, deps Deps) ([]State, error) {
	states := make([]State, len(files))
	for i, file := range files {
		there, err := fs.ReadFile(deps.Tree, file.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			states[i] = Created
		case err != nil:
			return nil, release.BadInput(file.path, err.Error(), "move it away")
		case bytes.Equal(there, []byte(file.content)):
			states[i] = Unchanged
		default:
			states[i] = Replaced
			if file.own() && !overwriteOwn {
				states[i] = Kept
			}
			deps.Reporter.Raw(difference(file, string(there)))
		}
	}
	return states, nil
}

// difference returns how a file that is there differs from what would be written. What somebody else wrote into values may be a secret: only its keys are shown.
func difference(file file, there string) string {
	if file.values {
		there = keysOnly(there, file.content)
	}
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{A: difflib.SplitLines(there), B: difflib.SplitLines(file.content), FromFile: file.path, ToFile: "what init writes", Context: 2})
	if err != nil {
		return file.path + " differs"
	}
	return text
}

// keysOnly returns a text of YAML without the values of those lines that another text does not have.
func keysOnly(there, content string) string {
	known := strings.Split(content, "\n")
	lines := strings.Split(there, "\n")
	for i, line := range lines {
		if slices.Contains(known, line) {
			continue
		}
		key, _, hasKey := strings.Cut(line, ":")
		if !hasKey || strings.ContainsAny(key, "{[\"'#") {
			key = line[:len(line)-len(strings.TrimLeft(line, " -"))]
		} else {
			key += ":"
		}
		lines[i] = key + " …"
	}
	return strings.Join(lines, "\n")
}

// permit refuses to replace files unless that was asked for.
func permit(ctx context.Context, overwrite, overwriteOwn bool, files []file, states []State, deps Deps) error {
	var differing []string
	for i, state := range states {
		if state == Replaced && !(files[i].own() && overwriteOwn) {
			differing = append(differing, fmt.Sprintf("%q", files[i].path))
		}
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("writing the files: %w", err)
	}
	if len(differing) == 0 || overwrite {
		return nil
	}
	if deps.Ask != nil {
		answer, err := deps.Ask("replace " + strings.Join(differing, ", ") + "? yes or no")
		if err == nil && strings.EqualFold(strings.TrimSpace(answer), "yes") {
			return nil
		}
	}
	return &release.Refusal{Why: strings.Join(differing, ", ") + " differ from what init writes, as shown, and nothing was written", Do: "give --overwrite to replace them, or the flags that they were written with"}
}

// next returns what is left to do.
func (p plan) next(found survey.Found) (steps []string) {
	steps = append(steps, "commit the files")
	if account, _ := awsOf(p.repository); account == "" && p.buildRunner == "" {
		steps = append(steps, fmt.Sprintf("the build runs on GitHub's own runner, which has no credentials for %s: give init --build-runner with one that has", p.repository.Host()))
	}
	settings := "the repository's settings"
	if found.GitHub != "" {
		settings = "https://github.com/" + found.GitHub + "/settings/environments"
	}
	for i, e := range p.environments {
		if i == 0 {
			steps = append(steps, fmt.Sprintf("make the environment %q in %s, before the first run", e.name, settings))
			continue
		}
		steps = append(steps, fmt.Sprintf("make the environment %q there with reviewers and a rule for the branch %q: otherwise GitHub makes it without reviewers, and nobody is asked for an approval", e.name, p.branch))
	}
	if p.previews != nil {
		if p.previews.role != "" {
			steps = append(steps, "let the role of previews trust the pull requests of this repository and its default branch, and reach nothing of production (docs/previews.md of onedigest)")
		}
		if found.HasRules && !p.policy {
			steps = append(steps, fmt.Sprintf("list the environment %q in .onedigest.yaml, with beside: true", previewEnvironment))
		}
	}
	if p.terraform != nil {
		steps = append(steps, "apply terraform/aws_infra of onedigest with -var-file="+p.terraform.file)
	} else if p.role != "" {
		steps = append(steps, "let the AWS roles trust this repository (docs/existing-cluster.md of onedigest)")
	}
	steps = append(steps, "run onedigest doctor: it says what is missing of roles, registry and cluster, and changes nothing")
	return steps
}
