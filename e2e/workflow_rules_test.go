package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// workflow is what the rules below look at.
type workflow struct {
	On          map[string]any `json:"true"` // YAML 1.1 reads the key on as a boolean
	Permissions *map[string]string
	Concurrency concurrency
	Jobs        map[string]workflowJob
}

type workflowJob struct {
	Uses        string
	If          string
	Needs       needs
	Permissions *map[string]string
	Outputs     map[string]string
	Environment environment
	Concurrency concurrency
	Steps       []step
}

// needs is written as one name, or as a list.
type needs []string

func (n *needs) UnmarshalJSON(text []byte) error {
	var one string
	if err := json.Unmarshal(text, &one); err == nil {
		*n = needs{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(n))
}

type concurrency struct {
	Group            string
	CancelInProgress any `json:"cancel-in-progress"`
	Queue            string
}

// environment is written as its name, or as a mapping.
type environment struct {
	Name, URL  string
	Deployment any
}

func (e *environment) UnmarshalJSON(text []byte) error {
	if err := json.Unmarshal(text, &e.Name); err == nil {
		return nil
	}
	type mapping environment
	return json.Unmarshal(text, (*mapping)(e))
}

type step struct {
	ID, Name, If, Uses, Run string
	With                    map[string]string
}

// TestWorkflowRules holds what a reader relies on in every workflow and actionlint does not look for.
func TestWorkflowRules(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../.github/workflows/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no workflow found: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			beside(t)
			text, read := readWorkflow(t, path)
			checkPins(t, text)
			// A called workflow gets the caller's permissions, and its jobs take what they need of them; those in hasCallersPermissions take what there is,
			// because a job that asks for more than the caller has keeps the whole run from starting.
			_, isCalled := read.On["workflow_call"]
			if read.Permissions == nil && !isCalled {
				t.Error("no permissions at the top: jobs without their own would get the repository's default")
			}
			if group := read.Concurrency; group.CancelInProgress == true && group.Queue != "" {
				t.Errorf("concurrency %+v: GitHub refuses a queue whose runs are cancelled", group)
			}
			if err := checkConditions(read.Jobs, isCalled); err != nil {
				t.Error(err)
			}
			// An older commit whose run is slower is to take no newer one's place before it is found to be superseded.
			if first, found := read.Jobs["first"]; found && (first.Concurrency.Queue != "max" || first.Concurrency.Group != "first-${{ fromJSON(inputs.environments)[0].name }}"+releaseGroup) {
				t.Errorf("the first environment has concurrency %+v; want a group of its own, and queue: max", first.Concurrency)
			}
			for name, job := range read.Jobs {
				checkSteps(t, name, job.Steps)
				if filepath.Base(path) != "preview.yaml" { // whose images prove nothing for others
					checkEvidence(t, name, job.Steps)
				}
				if isCalled && (job.Permissions == nil) != slices.Contains(hasCallersPermissions, name) {
					t.Errorf("job %q has the permissions %v of its own", name, job.Permissions)
				}
				checkDeployments(t, name, job)
				checkOutcomes(t, name, job)
				for output, value := range job.Outputs {
					if !passes.MatchString(value) {
						t.Errorf("job %q: output %q is %q; only a digest, an outcome, or the names of services, may pass between jobs", name, output, value)
					}
				}
				if job.Environment.Name == "" || job.Environment.Name == "release" || strings.HasSuffix(job.Environment.Name, "-plan") { // which deploy nothing
					continue
				}
				// Two services have no group in common, and what a person asked for waits for no push.
				if want := job.Environment.Name + releaseGroup + byHandGroup; job.Concurrency.Group != want || job.Concurrency.CancelInProgress != false {
					t.Errorf("job %q deploys to %q with concurrency %+v; want the group %s, and cancel-in-progress: false", name, job.Environment.Name, job.Concurrency, want)
				}
				checkRollback(t, job.Steps)
				if !strings.HasPrefix(job.Environment.URL, "${{ steps.deploy.outputs.url") {
					t.Errorf("job %q: environment URL %q; want the deploy step's output", name, job.Environment.URL)
				}
			}
		})
	}
}

// checkDeployments wants one deployment on GitHub for one deploy: GitHub makes one of each job with an environment unless its "deployment" is false, so a step that
// records one has a job without an environment, or one whose own is off exactly if the step's is on. A rollback of what such a step has recorded says so too.
// Source: https://docs.github.com/en/actions/how-tos/deploy/configure-and-manage-deployments/control-deployments#using-environments-without-deployments.
func checkDeployments(t *testing.T, name string, job workflowJob) {
	t.Helper()
	const wanted = "fromJSON(inputs.settings).github-deployment"
	for _, each := range job.Steps {
		given := each.With["github-deployment"]
		switch {
		case given != "" && job.Environment.Name != "" && (given != "${{ "+wanted+" }}" || job.Environment.Deployment != "${{ !"+wanted+" }}"):
			t.Errorf("job %q: the step %q has github-deployment: %s, and the environment deployment: %v; want one of them on, and the other off", name, each.ID, given, job.Environment.Deployment)
		case given == "" && each.With["rollback-failed-smoke"] == "true":
			t.Errorf("job %q: the step %q does not say on GitHub that smoke has failed", name, each.ID)
		}
	}
}

// checkOutcomes wants what comes after a deploy to leave out both outcomes that have changed nothing: smoke would judge what ran before, and the next environment would
// be promoted to what this one does not run.
func checkOutcomes(t *testing.T, name string, job workflowJob) {
	t.Helper()
	conditions := map[string]string{"job": job.If}
	for _, each := range job.Steps {
		conditions["step "+each.ID] = each.If
	}
	for what, condition := range conditions {
		if strings.Count(condition, ".outcome != 'superseded'") != strings.Count(condition, ".outcome != 'proposed'") {
			t.Errorf("job %q, %s: the condition %q leaves out one of superseded and proposed", name, what, condition)
		}
	}
}

// passes matches what GitHub does not drop as a secret: a digest, or one of a few words.
var passes = regexp.MustCompile(`\.outputs\.(digest|plan-digest|outcome) }}$|^\$\{\{ steps\.changes\.outputs\.services }}$`)

// hasCallersPermissions are the jobs of called workflows that have the permissions of the caller: "changes", and those that deploy, for which the caller may
// grant pull-requests: write, deployments: write or neither.
var hasCallersPermissions = []string{"changes", "service", "first", "second", "third", "plan", "deploy", "open", "close", "sweep"}

const (
	releaseGroup = "-${{ fromJSON(inputs.service).release || fromJSON(inputs.settings).release || inputs.name || fromJSON(inputs.settings).repository }}"
	byHandGroup  = "${{ fromJSON(inputs.settings).to && (fromJSON(inputs.settings).allow-rollback && '-rollback' || '-by-hand') || '' }}"
)

var (
	statusFunction = regexp.MustCompile(`(!cancelled|always|failure)\(\)`)
	skippedIsFine  = regexp.MustCompile(`needs\.[\w-]+\.result == 'skipped'(?: && (\S))?`)
)

// checkConditions wants a status function, and the result of each job that is needed, in the condition of a job before which another one may be skipped: a
// condition without a status function is `success() && …`, which is false if any job before it was skipped, in the calling workflow too. In a workflow that is
// called, that may be any job. A job that goes on after a skipped one says in which case that is right.
// Source: https://github.com/actions/runner/issues/2205.
func checkConditions(jobs map[string]workflowJob, called bool) error {
	var problems []error
	var maySkip func(name string) bool // the job, or one before it
	maySkip = func(name string) bool {
		return called || jobs[name].If != "" || slices.ContainsFunc(jobs[name].Needs, maySkip)
	}
	for _, name := range slices.Sorted(maps.Keys(jobs)) {
		job := jobs[name]
		for _, match := range skippedIsFine.FindAllStringSubmatch(job.If, -1) {
			if match[1] == "" && !strings.HasPrefix(match[0], "needs.refuse.") { // refuse runs only to stop the run
				problems = append(problems, fmt.Errorf("job %q takes %s for any reason: %s", name, match[0], job.If))
			}
		}
		if !called && !slices.ContainsFunc(job.Needs, maySkip) {
			continue
		}
		if !statusFunction.MatchString(job.If) {
			problems = append(problems, fmt.Errorf("job %q: the condition %q has no status function, and a job before it may be skipped", name, job.If))
		}
		for _, need := range job.Needs {
			if !strings.Contains(job.If, "needs."+need+".result == ") {
				problems = append(problems, fmt.Errorf("job %q: the condition %q does not ask for the result of %s", name, job.If, need))
			}
		}
	}
	return errors.Join(problems...)
}

// TestConditionsAreChecked: the rule finds what it is for.
func TestConditionsAreChecked(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		jobs   map[string]workflowJob
		called bool
		want   []string
	}{
		"nothing may be skipped": {map[string]workflowJob{"a": {}, "b": {Needs: needs{"a"}}}, false, nil},
		"the one before":         {map[string]workflowJob{"a": {If: "x"}, "b": {Needs: needs{"a"}, If: "needs.a.result == 'success'"}}, false, []string{`"b"`, "no status function"}},
		"one before that": {map[string]workflowJob{"a": {If: "x"}, "b": {Needs: needs{"a"}, If: "!cancelled() && needs.a.result == 'success'"}, "c": {Needs: needs{"b"}}}, false,
			[]string{`"c"`, "no status function", "result of b"}},
		"in the caller":              {map[string]workflowJob{"a": {If: "inputs.x"}}, true, []string{`"a"`, "no status function"}},
		"an answer is not asked for": {map[string]workflowJob{"a": {If: "x"}, "b": {Needs: needs{"a"}, If: "!cancelled()"}}, false, []string{"result of a"}},
		"skipped for any reason":     {map[string]workflowJob{"a": {If: "x"}, "b": {Needs: needs{"a"}, If: "!cancelled() && (needs.a.result == 'success' || needs.a.result == 'skipped')"}}, false, []string{"for any reason"}},
		"skipped for a reason":       {map[string]workflowJob{"a": {If: "x"}, "b": {Needs: needs{"a"}, If: "!cancelled() && (needs.a.result == 'success' || needs.a.result == 'skipped' && !inputs.x)"}}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			beside(t)
			err := checkConditions(test.jobs, test.called)
			if (err != nil) != (test.want != nil) {
				t.Fatalf("got %v", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v lacks %q", err, want)
				}
			}
		})
	}
}

// checkRollback wants the step that rolls back to run after a smoke that was cancelled too, which a condition of failure() alone leaves out.
func checkRollback(t *testing.T, steps []step) {
	t.Helper()
	at := slices.IndexFunc(steps, func(s step) bool { return s.ID == "rollback" })
	if at < 0 {
		t.Fatal("no step is called rollback")
	}
	for _, want := range []string{"failure()", "cancelled()", "steps.smoke.outcome == 'failure'", "steps.smoke.outcome == 'cancelled'"} {
		if !strings.Contains(steps[at].If, want) {
			t.Errorf("the step rollback has the condition %q, without %s", steps[at].If, want)
		}
	}
}

// checkEvidence wants the key that signs wherever a verb records something, and of what is required either the settings or the file of rules: verbs refuse
// both if they differ.
func checkEvidence(t *testing.T, job string, steps []step) {
	t.Helper()
	const previous = "fromJSON(inputs.previous)"
	for _, each := range steps {
		verb, isOurs := strings.CutPrefix(each.Uses, "./actions/")
		if !isOurs || !slices.Contains([]string{"build", "promote", "deploy", "smoke"}, verb) {
			continue
		}
		if each.With["sign-key"] == "" && each.With["dry-run"] != "true" && each.With["heal"] != "true" {
			t.Errorf("job %q: %s has no sign-key", job, verb)
		}
		proof := map[string]string{"promote": "from", "deploy": "proved-in"}[verb]
		if proof == "" || each.With["rollback-failed-smoke"] == "true" || each.With["heal"] == "true" {
			continue
		}
		for input, want := range map[string]string{
			proof:    "${{ " + previous + ".verify-key != 'policy' && " + previous + ".name || '' }}",
			"policy": "${{ " + previous + ".verify-key == 'policy' && '.onedigest.yaml' || '' }}",
		} {
			if each.With[input] != want {
				t.Errorf("job %q: %s has %s: %q, want %q", job, verb, input, each.With[input], want)
			}
		}
		if got := each.With["verify-key"]; !strings.Contains(got, previous+".verify-key != 'policy' &&") {
			t.Errorf("job %q: %s has the verify-key %q, although the file of rules may name the signers", job, verb, got)
		}
	}
}

// TestUnsetKeysAreRefused: pipeline.yaml refuses environments whose passes would need no signature, if signatures are required or one has a key.
func TestUnsetKeysAreRefused(t *testing.T) {
	beside(t)
	_, read := readWorkflow(t, "../.github/workflows/pipeline.yaml")
	condition := strings.Join(strings.Fields(read.Jobs["refuse"].If), " ")
	environment := func(at int, key string) string { return fmt.Sprintf("fromJSON(inputs.environments)[%d].%s", at, key) }
	for _, want := range []string{
		"(inputs.require-signatures || " + environment(0, "sign-key") + " || " + environment(1, "sign-key") + " || " + environment(2, "sign-key") + ") && (",
		environment(1, "name") + " && !" + environment(0, "sign-key") + " && !" + environment(0, "verify-key"),
		environment(2, "name") + " && !" + environment(1, "sign-key") + " && !" + environment(1, "verify-key"),
		"fromJSON(inputs.environments)[1] && !" + environment(1, "name") + " || fromJSON(inputs.environments)[2] && (!" + environment(1, "name") + " || !" + environment(2, "name") + ")", // an environment would be skipped
		"!inputs.to && (inputs.digest || inputs.commit || inputs.service)",                                                                                                                // HEAD would be built instead
	} {
		if !strings.Contains(condition, want) {
			t.Errorf("the condition %q lacks %q", condition, want)
		}
	}
}

var pinned = regexp.MustCompile(`uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)

// checkPins wants every remote action at a commit's full SHA, with its release beside it.
func checkPins(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.Contains(line, "uses: ") && !strings.Contains(line, "uses: ./") && !pinned.MatchString(line) {
			t.Errorf("%q is not pinned as uses: owner/name@<40 hex> # vX.Y.Z", strings.TrimSpace(line))
		}
	}
}

func checkSteps(t *testing.T, job string, steps []step) {
	t.Helper()
	for _, step := range steps {
		if strings.Contains(step.Run, "${{") {
			t.Errorf("job %q: run %q holds an expression; let it travel by env", job, step.Run)
		}
		if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != "false" {
			t.Errorf("job %q leaves the token in .git/config", job)
		}
	}
}

func readWorkflow(t *testing.T, path string) (string, workflow) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var read workflow
	// Values of with: may be booleans or numbers to YAML and are strings to GitHub.
	quoted := regexp.MustCompile(`(?m)^(\s+persist-credentials: )(true|false)$`).ReplaceAll(text, []byte(`$1"$2"`))
	if err := yaml.Unmarshal(quoted, &read); err != nil {
		t.Fatal(err)
	}
	return string(text), read
}
