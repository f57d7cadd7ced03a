package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// workflow is what the rules below look at.
type workflow struct {
	On          map[string]any `json:"true"` // YAML 1.1 reads the key on as a boolean
	Permissions *map[string]string
	Concurrency concurrency
	Jobs        map[string]struct {
		Uses        string
		Permissions *map[string]string
		Outputs     map[string]string
		Environment environment
		Concurrency concurrency
		Steps       []step
	}
}

type concurrency struct {
	Group            string
	CancelInProgress any `json:"cancel-in-progress"`
	Queue            string
}

// environment is written as its name, or as a mapping.
type environment struct{ Name, URL string }

func (e *environment) UnmarshalJSON(text []byte) error {
	if err := json.Unmarshal(text, &e.Name); err == nil {
		return nil
	}
	type mapping environment
	return json.Unmarshal(text, (*mapping)(e))
}

type step struct {
	Name, Uses, Run string
	With            map[string]string
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
			t.Parallel()
			text, read := readWorkflow(t, path)
			checkPins(t, text)
			// A called workflow gets the caller's permissions, and its jobs take what they need of them; "changes" takes what there is, because a job that
			// asks for more than the caller has keeps the whole run from starting.
			_, isCalled := read.On["workflow_call"]
			if read.Permissions == nil && !isCalled {
				t.Error("no permissions at the top: jobs without their own would get the repository's default")
			}
			if group := read.Concurrency; group.CancelInProgress == true && group.Queue != "" {
				t.Errorf("concurrency %+v: GitHub refuses a queue whose runs are cancelled", group)
			}
			for name, job := range read.Jobs {
				checkSteps(t, name, job.Steps)
				if isCalled && job.Permissions == nil && name != "changes" {
					t.Errorf("job %q has no permissions of its own", name)
				}
				for output, value := range job.Outputs {
					if !strings.HasSuffix(value, ".outputs.digest }}") && !strings.HasSuffix(value, ".outputs.plan-digest }}") && name != "changes" {
						t.Errorf("job %q: output %q is %q; only a digest, or the names of services, may pass between jobs", name, output, value)
					}
				}
				if job.Environment.Name == "" || job.Environment.Name == "release" || strings.HasSuffix(job.Environment.Name, "-plan") { // which deploy nothing
					continue
				}
				if !strings.HasPrefix(job.Concurrency.Group, job.Environment.Name) || job.Concurrency.CancelInProgress != false {
					t.Errorf("job %q deploys to %q with concurrency %+v; want that group, and cancel-in-progress: false", name, job.Environment.Name, job.Concurrency)
				}
				if !strings.HasPrefix(job.Environment.URL, "${{ steps.deploy.outputs.url") {
					t.Errorf("job %q: environment URL %q; want the deploy step's output", name, job.Environment.URL)
				}
			}
		})
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
