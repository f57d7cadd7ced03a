package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/acttest"
)

// flow runs the repository's workflows with act, on this machine and without a network: jobs run as its own processes,
// and the actions of others are replaced by ones that do nothing.
type flow struct {
	checkout checkout
	act      string
	remote   []string // act's flags for the actions of others
}

// jobDeployment turns the deployment of a job off, of which act has none.
const jobDeployment = "      deployment: ${{ !fromJSON(inputs.settings).github-deployment }}\n"

// actLimit bounds one run of a workflow.
const actLimit = 15 * time.Minute

func newFlow(t *testing.T) *flow {
	t.Helper()
	act := actProgram(t)
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	f := &flow{act: act, checkout: checkout{t: t, dir: t.TempDir(), namespaces: new(sync.Map)}}
	t.Cleanup(func() { f.checkout.deleteNamespaces(t) })
	for _, part := range []string{"app", "charts", "terraform", "actions", ".github"} {
		if err := os.CopyFS(filepath.Join(f.checkout.dir, part), os.DirFS(filepath.Join(root, part))); err != nil {
			t.Fatal(err)
		}
	}
	f.checkout.edit(".github/workflows/promote.yaml", "  queue: max\n", "") // which act does not know
	f.checkout.edit(".github/workflows/service.yaml", "      queue: max\n", "")
	f.checkout.edit(".github/workflows/environment.yaml", jobDeployment, "") // nor this
	f.checkout.shortenDrain()
	f.checkout.git("init", "--quiet", "--initial-branch=main")
	f.checkout.commit("first")
	f.remote = acttest.StandIns(t, filepath.Join(root, ".github/workflows"))
	return f
}

// run starts one workflow and returns act's log. The environment holds nothing of this machine's but the PATH.
func (f *flow) run(t *testing.T, event, workflow string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), actLimit)
	defer cancel()
	act := acttest.Act{Program: f.act, Repository: f.checkout.dir, Home: t.TempDir(), Path: os.Getenv("PATH")}
	return act.Run(ctx, event, workflow, slices.Concat(f.remote, args)...)
}

// actProgram is act, built if the tests run on a node.
func actProgram(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return acttest.Program(t, root, os.Getenv("ONEDIGEST_E2E") != "")
}

// goEnv asks the go command for one of its settings.
func goEnv(t *testing.T, name string) string {
	t.Helper()
	value, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(value))
}
