package survey

import (
	"encoding/json"
	"io/fs"
	"iter"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Caller is a workflow of the repository that calls pipeline.yaml when a branch is pushed.
type Caller struct {
	File        string
	Pin         string // commit or tag of the release that it calls
	Branch      string
	With        map[string]string
	Secrets     map[string]string // that the job hands on; "" is "inherit" for all
	Permissions map[string]string // of the calling job
	Concurrency bool              // the workflow or the job has a concurrency group
}

// CalledEnvironment is an entry of the input environments of pipeline.yaml.
type CalledEnvironment struct {
	Name      string `json:"name"`
	Cluster   string `json:"cluster,omitempty"`
	Region    string `json:"region,omitempty"`
	Role      string `json:"role,omitempty"`
	Values    string `json:"values,omitempty"`
	Checks    string `json:"checks,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	SignKey   string `json:"sign-key,omitempty"`
	Plan      bool   `json:"plan,omitempty"`
	VerifyKey string `json:"verify-key,omitempty"`
	PlanRole  string `json:"plan-role,omitempty"`
	CodeBuild string `json:"codebuild,omitempty"`
	Via       string `json:"via,omitempty"`

	// Those of an environment with via.
	Application       string `json:"application,omitempty"`
	ConfigRepository  string `json:"config-repository,omitempty"`
	ConfigBranch      string `json:"config-branch,omitempty"`
	ConfigFile        string `json:"config-file,omitempty"`
	ConfigKey         string `json:"config-key,omitempty"`
	ConfigPullRequest bool   `json:"config-pull-request,omitempty"`
}

// ViaArgoCD is the Via of an environment whose chart and values are in a configuration repository.
const ViaArgoCD = "argo-cd"

// CalledService is an entry of its input services.
type CalledService struct {
	Paths      []string `json:"paths,omitempty"`
	Context    string   `json:"context,omitempty"`
	Builder    string   `json:"builder,omitempty"`
	Main       string   `json:"main,omitempty"`
	Dockerfile string   `json:"dockerfile,omitempty"`
	Repository string   `json:"repository,omitempty"`
	Release    string   `json:"release,omitempty"`
	Chart      string   `json:"chart,omitempty"`
	Values     string   `json:"values,omitempty"`
	Checks     string   `json:"checks,omitempty"`
}

// Environments returns the environments; false if they are not known, because an expression is among them.
func (c Caller) Environments() (all []CalledEnvironment, known bool) {
	return all, json.Unmarshal([]byte(c.With["environments"]), &all) == nil
}

// Services returns the services, none if the repository has one without a name; false if they are not known.
func (c Caller) Services() (all map[string]CalledService, known bool) {
	if c.With["services"] == "" {
		return nil, true
	}
	return all, json.Unmarshal([]byte(c.With["services"]), &all) == nil
}

// HasExpression reports whether a text has an expression of GitHub Actions, whose value only a run knows.
func HasExpression(text string) bool { return strings.Contains(text, "${{") }

var expression = regexp.MustCompile(`(?s)\$\{\{.*?(?:\}\}|$)`)

// Lines returns the lines of an input without the white space around them, and no empty ones. An expression that goes over several lines is on one of them.
func Lines(input string) (lines []string) {
	input = expression.ReplaceAllStringFunc(input, func(found string) string { return strings.Join(strings.Fields(found), " ") })
	for line := range strings.Lines(input) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// Given returns an input, "" if it is an expression.
func (c Caller) Given(input string) string {
	if HasExpression(c.With[input]) {
		return ""
	}
	return c.With[input]
}

const pipelineWorkflow = "onedigest/onedigest/.github/workflows/pipeline.yaml@"

// PreviewWorkflow is how a workflow calls preview.yaml, without the commit or tag of the release.
const PreviewWorkflow = "onedigest/onedigest/.github/workflows/preview.yaml@"

// preview returns the first workflow that calls preview.yaml, and what its first job by name gives to it; "" if none does.
func preview(tree fs.FS, files []string) (file string, with map[string]string) {
	for name, with := range calls(tree, files, PreviewWorkflow) {
		return name, with
	}
	return "", nil
}

// promotion returns the first workflow that calls pipeline.yaml to promote to one environment, "" if there is none.
func promotion(tree fs.FS, files []string) string {
	for name, with := range calls(tree, files, pipelineWorkflow) {
		if with["to"] != "" {
			return name
		}
	}
	return ""
}

// calls yields the workflows that call a reusable one, with what each job that does gives to it, in the order of the files and of the jobs' names. It passes over
// files that cannot be read as workflows.
func calls(tree fs.FS, files []string, called string) iter.Seq2[string, map[string]string] {
	return func(yield func(string, map[string]string) bool) {
		for _, name := range files {
			content := read(tree, name)
			if path.Dir(name) != ".github/workflows" || !strings.Contains(content, called) {
				continue
			}
			var workflow struct {
				Jobs map[string]struct {
					Uses string
					With map[string]string
				}
			}
			if err := yaml.Unmarshal([]byte(content), &workflow); err != nil {
				continue
			}
			for _, job := range slices.Sorted(maps.Keys(workflow.Jobs)) {
				if strings.HasPrefix(workflow.Jobs[job].Uses, called) && !yield(name, workflow.Jobs[job].With) {
					return
				}
			}
		}
	}
}

// caller returns the first workflow that calls pipeline.yaml when a branch is pushed, nil if none does.
func caller(tree fs.FS, files []string) *Caller {
	for _, name := range files {
		content := read(tree, name)
		if path.Dir(name) != ".github/workflows" || !strings.Contains(content, pipelineWorkflow) {
			continue
		}
		var workflow struct {
			On          yaml.Node
			Permissions yaml.Node
			Concurrency yaml.Node
			Jobs        map[string]struct {
				Uses        string
				With        map[string]string
				Secrets     yaml.Node
				Permissions yaml.Node
				Concurrency yaml.Node
			}
		}
		if err := yaml.Unmarshal([]byte(content), &workflow); err != nil {
			continue
		}
		var on struct {
			Push *struct{ Branches []string }
		}
		if err := workflow.On.Decode(&on); err != nil || on.Push == nil {
			continue
		}
		for _, job := range workflow.Jobs {
			pin, calls := strings.CutPrefix(job.Uses, pipelineWorkflow)
			if !calls {
				continue
			}
			found := &Caller{File: name, Pin: pin, With: job.With, Concurrency: !workflow.Concurrency.IsZero() || !job.Concurrency.IsZero()}
			if found.Permissions = permissions(job.Permissions); job.Permissions.IsZero() {
				found.Permissions = permissions(workflow.Permissions)
			}
			if all := ""; job.Secrets.Decode(&all) == nil && all != "" {
				found.Secrets = map[string]string{"": all}
			} else {
				_ = job.Secrets.Decode(&found.Secrets) // none of another type
			}
			if len(on.Push.Branches) == 1 {
				found.Branch = on.Push.Branches[0]
			}
			return found
		}
	}
	return nil
}

// permissions reads what a job is granted. Source: GitHub Docs, "Workflow syntax for GitHub Actions", permissions.
func permissions(node yaml.Node) map[string]string {
	granted := map[string]string{}
	var all string
	if node.Decode(&all) == nil && all == "write-all" {
		return map[string]string{"contents": "write", "id-token": "write", "actions": "write", "pull-requests": "write", "deployments": "write", "artifact-metadata": "write"}
	}
	if all == "read-all" {
		return map[string]string{"contents": "read", "actions": "read"}
	}
	_ = node.Decode(&granted) // none of another type
	return granted
}

var (
	headOf    = regexp.MustCompile(`^ref: refs/(?:heads|remotes/origin)/(\S+)`)
	originURL = regexp.MustCompile(`(?s)\[remote "origin"\][^\[]*?\n\s*url\s*=\s*(?:https://|ssh://)?(?:[^@\s]*@)?github\.com[:/]([A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+?)(?:\.git)?\s*(?:\n|$)`)
)

// repository returns the branch that others start from, and the repository on GitHub: what git's files say of the remote "origin", else the branch that
// is checked out if it has one of the usual names.
func repository(tree fs.FS) (branch, gitHub string) {
	if found := headOf.FindStringSubmatch(read(tree, ".git/refs/remotes/origin/HEAD")); found != nil {
		branch = found[1]
	} else if found := headOf.FindStringSubmatch(read(tree, ".git/HEAD")); found != nil && (found[1] == "main" || found[1] == "master" || found[1] == "trunk") {
		branch = found[1]
	}
	if found := originURL.FindStringSubmatch(read(tree, ".git/config")); found != nil {
		gitHub = found[1]
	}
	return branch, gitHub
}
