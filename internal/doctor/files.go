package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/initialize/survey"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// tools looks for the programs that build and deploy run.
func (e *examination) tools(context.Context) {
	programs := map[string]string{"git": "it reads the commit and its history"}
	builder := e.target.builder
	for _, build := range e.found.Builds {
		if (builder == "" || builder == "auto") && e.target.context == build.Dir {
			switch goes, dockers := len(build.Mains) > 0, len(build.Dockerfiles) > 0; {
			case goes && !dockers:
				builder = "go"
			case dockers && !goes:
				builder = "docker"
			}
		}
	}
	switch builder {
	case "go":
		programs["go"] = "it compiles the service"
	case "docker":
		programs["docker"] = "it builds the Dockerfile"
	default:
		e.add("tools", NotChecked, "which builder the service has is not known, so neither go nor docker was looked for", "")
	}
	for _, name := range []string{"git", "go", "docker"} {
		use, needed := programs[name]
		if !needed {
			continue
		}
		if err := e.Machine.Find(name); err != nil && name != "git" && e.buildsElsewhere() {
			e.add("tools", NotChecked, fmt.Sprintf("%s is missing here, and the build runs on another runner", name), "")
			continue
		} else if err != nil {
			e.add("tools", Fails, fmt.Sprintf("%s is missing: %v", name, err), "install "+name+": "+use)
			continue
		}
		e.add("tools", OK, name+" is there", "")
	}
}

// buildsElsewhere reports whether this is a job, and the workflow builds on another runner than it deploys on.
func (e *examination) buildsElsewhere() bool {
	const usual = "ubuntu-latest" // of pipeline.yaml
	caller := e.found.Caller
	return e.Cloud.InJob() && caller != nil && cmp.Or(caller.With["build-runner"], usual) != cmp.Or(caller.With["runner"], usual)
}

var (
	pinned = regexp.MustCompile(`^([0-9a-f]{40}|v[0-9]+\.[0-9]+\.[0-9]+)$`)
	isFile = regexp.MustCompile(`\.ya?ml$`)
)

// workflow looks at the workflow that calls pipeline.yaml.
func (e *examination) workflow(context.Context) {
	const check = "workflow"
	caller := e.found.Caller
	switch {
	case e.Tree == nil:
		e.add(check, NotChecked, "this is not the work tree of a git repository", "")
		return
	case caller == nil:
		e.add(check, NotChecked, "no workflow of this repository calls pipeline.yaml when a branch is pushed", "onedigest init writes one")
		return
	}
	e.add(check, OK, fmt.Sprintf("%s calls pipeline.yaml", caller.File), "")
	if !pinned.MatchString(caller.Pin) {
		e.add(check, Limited, fmt.Sprintf("it calls pipeline.yaml@%s, which may be another one tomorrow", caller.Pin), "name the full commit or the version of a release")
	}
	services, known := caller.Services()
	needed := map[string][]string{"contents": {"read", "write"}, "id-token": {"write"}}
	if len(services) > 0 || !known {
		needed["actions"] = []string{"read", "write"}
	}
	for _, each := range [][2]string{{"pull-requests", "comment"}, {"deployments", "github-deployment"}, {"artifact-metadata", "artifact-record"}} {
		name, input := each[0], each[1]
		if caller.With[input] == "true" && caller.Permissions[name] != "write" {
			e.add(check, Limited, fmt.Sprintf("it has %s: true, and the calling job is not granted %s: write: nothing is written there", input, name), fmt.Sprintf("add `%s: write` to its permissions", name))
		}
	}
	for _, name := range []string{"contents", "id-token", "actions"} {
		if levels := needed[name]; levels != nil && !slices.Contains(levels, caller.Permissions[name]) {
			e.add(check, Fails, fmt.Sprintf("the calling job is not granted %s: %s, and does not start", name, levels[0]), fmt.Sprintf("add `%s: %s` to its permissions", name, levels[0]))
		}
	}
	if caller.Concurrency {
		e.add(check, Limited, "it has a concurrency group of its own, so the next commit waits for an approval of this one", "remove it: pipeline.yaml has one for each environment")
	}
	environments, known := caller.Environments()
	switch {
	case !known:
		e.add(check, NotChecked, "the environments are given by an expression", "")
	case !slices.ContainsFunc(environments, func(each calledEnvironment) bool { return each.Name == e.target.Environment.String() }):
		e.add(check, Fails, fmt.Sprintf("it has no environment %q", e.target.Environment), "add it to environments, or name another one")
	}
	names := []string{caller.With["checks"]}
	var given []string
	isHere := func(each calledEnvironment) bool { return each.Via != survey.ViaArgoCD } // and not in a configuration repository
	here := len(environments) == 0 || slices.ContainsFunc(environments, isHere)
	if here {
		given = append(given, caller.With["values"])
	}
	for _, each := range environments {
		if _, err := release.ParseOwnEnvironment(each.Name); err != nil && !survey.HasExpression(each.Name) {
			e.add(check, Fails, err.Error(), "")
		}
		if isHere(each) {
			given = append(given, each.Values)
		}
		names = append(names, each.Checks)
	}
	if len(services) == 0 {
		services = map[string]survey.CalledService{"": {}}
	}
	byExpression := false
	for name, each := range services {
		if !here {
			each.Values = ""
		}
		for _, values := range append([]string{each.Values}, given...) {
			files, known := filesOf(values, name)
			names, byExpression = append(names, files...), byExpression || !known
		}
		names = append(names, each.Checks)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if survey.HasExpression(name) {
			byExpression = true
			continue
		}
		if !isFile.MatchString(name) {
			continue
		}
		if info, err := fs.Stat(e.Tree, strings.TrimPrefix(name, "./")); err != nil || !info.Mode().IsRegular() {
			e.add(check, Fails, fmt.Sprintf("%q, which it names, is not there", name), "write it, or leave it out of the workflow")
		}
	}
	if byExpression {
		e.add(check, NotChecked, "whether the files are there that it names by an expression, whose value only a run knows", "")
	}
}

// hasFile reports whether the work tree has a file.
func (e *examination) hasFile(name string) bool {
	if e.Tree == nil {
		return false
	}
	_, err := fs.Stat(e.Tree, name)
	return err == nil
}

// history looks at the history of the branch.
func (e *examination) history(ctx context.Context) {
	const check = "history"
	if e.Tree == nil {
		e.add(check, NotChecked, "this is not the work tree of a git repository", "")
		return
	}
	shallow, err := e.Machine.IsShallow(ctx)
	switch {
	case err != nil:
		e.fails(check, err)
	case shallow:
		e.add(check, Limited, "the history is cut off: a deploy fetches the commits that it misses, or asks GitHub for them", "check out with fetch-depth: 0, or git fetch --unshallow")
	default:
		e.add(check, OK, "the whole history is here", "")
	}
}

// chart looks at the chart with its values, and at the smoke checks.
func (e *examination) chart(ctx context.Context) {
	if e.withoutRole("chart, values and smoke checks") {
		return
	}
	if e.target.Repository == "" {
		e.add("chart", NotChecked, "the repository of the image is not known", "give --repository")
		return
	}
	if e.target.viaArgoCD {
		e.add("chart, values and smoke checks", NotChecked, "the chart and the values are in the configuration repository", "")
		return
	}
	if why, fix := e.target.givenByExpression("chart", "values"); why != "" {
		e.add("chart, values and smoke checks", NotChecked, why, fix)
		return
	}
	if err := e.Chart.Check(ctx, e.target); err != nil {
		e.fails("chart, values and smoke checks", err)
		return
	}
	chart := e.target.Chart
	if chart == "" {
		chart = "the common chart, which comes with the actions and this program"
		if e.hasFile("charts/service/Chart.yaml") {
			chart = "charts/service"
		}
	}
	e.add("chart", OK, chart, "")
	if len(e.target.Values) == 0 {
		e.add("values", OK, "those of the chart alone", "")
	} else {
		e.add("values", OK, strings.Join(e.target.Values, ", "), "")
	}
	if why, fix := e.target.givenByExpression("checks"); why != "" {
		e.add("smoke checks", NotChecked, why, fix)
	} else if file := e.target.Checks; (file == "" || file == setting.ChecksByDefault) && !e.target.several && e.hasFile(setting.DefaultChecks) {
		e.add("smoke checks", OK, setting.DefaultChecks+", as no other file is given", "")
	} else if !setting.IsChecksFile(file) {
		e.add("smoke checks", OK, "none: the readiness probe's request is sent", "")
	} else {
		e.add("smoke checks", OK, e.target.Checks, "")
	}
}

// signers looks whether the keys of the environment's signers can be read: a deploy or a promotion ends where one cannot.
func (e *examination) signers(ctx context.Context) {
	found, err := e.Signers(ctx, e.target.Environment)
	if err != nil {
		e.fails("signers", err)
		return
	}
	var readable []string
	for _, signer := range found {
		var fault *release.Fault
		switch {
		case signer.Err == nil:
			readable = append(readable, signer.Name)
		case signer.OfJob && !e.Cloud.InJob():
			e.add("signers", NotChecked, signer.Name+" is in the environment of the job", "run doctor in the job")
		case errors.As(signer.Err, &fault) && e.denied:
			e.add("signers", NotChecked, signer.Name+": the role could not be assumed", "")
		default:
			e.fails("signers", signer.Err)
		}
	}
	if len(readable) > 0 {
		e.add("signers", OK, strings.Join(readable, ", "), "")
	}
}
