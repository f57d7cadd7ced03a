package survey

import (
	"io/fs"
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Caller is a workflow of the repository that calls pipeline.yaml when a branch is pushed.
type Caller struct {
	File   string
	Pin    string // commit or tag of the release that it calls
	Branch string
	With   map[string]string
}

const pipelineWorkflow = "onedigest/onedigest/.github/workflows/pipeline.yaml@"

// caller returns the first workflow that calls pipeline.yaml when a branch is pushed, nil if none does.
func caller(tree fs.FS, files []string) *Caller {
	for _, name := range files {
		content := read(tree, name)
		if path.Dir(name) != ".github/workflows" || !strings.Contains(content, pipelineWorkflow) {
			continue
		}
		var workflow struct {
			On   yaml.Node
			Jobs map[string]struct {
				Uses string
				With map[string]string
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
			if pin, calls := strings.CutPrefix(job.Uses, pipelineWorkflow); calls {
				found := &Caller{File: name, Pin: pin, With: job.With}
				if len(on.Push.Branches) == 1 {
					found.Branch = on.Push.Branches[0]
				}
				return found
			}
		}
	}
	return nil
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
