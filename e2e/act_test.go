package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// flow runs the repository's workflows with act, on this machine and without a network: jobs run as its own processes,
// and the actions of others are replaced by ones that do nothing.
type flow struct {
	checkout checkout
	act      string
	remote   []string // act's flags for the actions of others
}

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
	f.checkout.shortenDrain()
	f.checkout.git("init", "--quiet", "--initial-branch=main")
	f.checkout.commit("first")
	f.remote = replaceRemote(t, filepath.Join(root, ".github/workflows"))
	return f
}

var remoteAction = regexp.MustCompile(`uses: ([\w.-]+/[\w.-]+)@(\S+)`)

// nothing replaces every action of another repository but checkout: the Go toolchain is here, and the credentials come by the
// environment.
const nothing = `name: nothing
description: does nothing
runs:
  using: composite
  steps:
    - shell: bash
      run: ':'
`

// checkoutStandIn does what actions/checkout does with a path. Without one it does nothing, because act has the work tree already.
const checkoutStandIn = `name: checkout
description: checks a commit out beside the work tree
inputs:
  ref: {description: commit}
  path: {description: directory}
runs:
  using: composite
  steps:
    - shell: bash
      env:
        REF: ${{ inputs.ref }}
        INTO: ${{ inputs.path }}
      run: |
        [[ -n $INTO ]] || exit 0
        rm -rf -- "$INTO"
        git worktree prune
        git worktree add --quiet --detach "$INTO" "$REF"
`

// The stand-ins of the artifacts' actions pass files on in a directory. What stands in MOVE happens between a plan and its approval.
const uploadStandIn = `name: upload
description: keeps a file
inputs:
  path: {description: file}
runs:
  using: composite
  steps:
    - shell: bash
      env:
        FILE: ${{ inputs.path }}
      run: cp -- "$FILE" "KEPT"
`

const downloadStandIn = `name: download
description: gets the kept files
runs:
  using: composite
  steps:
    - shell: bash
      run: |
        cp -- "KEPT"/* .
        if [[ -n $MOVE ]]; then $MOVE; fi
`

// replaceRemote puts these in place of the actions of other repositories.
func replaceRemote(t *testing.T, workflows string) (flags []string) {
	t.Helper()
	standIn := func(text string) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "action.yml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	kept := strings.NewReplacer("KEPT", t.TempDir())
	instead := map[string]string{"actions/checkout": standIn(checkoutStandIn), "actions/upload-artifact": standIn(kept.Replace(uploadStandIn)), "actions/download-artifact": standIn(kept.Replace(downloadStandIn))}
	other := standIn(nothing)
	paths, err := filepath.Glob(filepath.Join(workflows, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no workflow found: %v", err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range remoteAction.FindAllStringSubmatch(string(content), -1) {
			with, found := instead[match[1]]
			if !found {
				with = other
			}
			flags = append(flags, "--local-repository", match[1]+"@"+match[2]+"="+with)
		}
	}
	return flags
}

// run starts one workflow and returns act's log. The environment holds nothing of this machine's but the PATH.
func (f *flow) run(t *testing.T, event, workflow string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), actLimit)
	defer cancel()
	home := t.TempDir()
	flags := append([]string{event, "--workflows", ".github/workflows/" + workflow, "--platform", "ubuntu-latest=-self-hosted", "--pull=false", "--concurrent-jobs=1"}, f.remote...)
	act := exec.CommandContext(ctx, f.act, append(flags, args...)...)
	act.Dir = f.checkout.dir
	act.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CACHE_HOME=" + filepath.Join(home, "cache"), "XDG_CONFIG_HOME=" + filepath.Join(home, "config"), "NO_COLOR=1", "GIT_PAGER=cat"}
	// In a session of its own, so that an interrupt that is meant for the tests does not cut it in two.
	act.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	act.Cancel = func() error { return act.Process.Signal(os.Interrupt) }
	act.WaitDelay = time.Minute
	log, err := act.CombinedOutput()
	return string(log), err
}

var actModule = regexp.MustCompile(`\[act\]=(\S+)@(\S+)`)

// actProgram is the act that scripts/tools.sh pins, built once into bin/tools as that script does.
func actProgram(t *testing.T) string {
	t.Helper()
	pins, err := os.ReadFile("../scripts/tools.sh")
	if err != nil {
		t.Fatal(err)
	}
	match := actModule.FindStringSubmatch(string(pins))
	if match == nil {
		t.Fatal("scripts/tools.sh pins no act")
	}
	tools, err := filepath.Abs("../bin/tools")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(tools, "act-"+match[2])
	if _, err := os.Stat(program); err == nil {
		return program
	}
	if os.Getenv("ONEDIGEST_E2E") == "" {
		t.Skipf("NOT CHECKED: needs %s, which ONEDIGEST_E2E=1 builds", program)
	}
	build(t, match[1]+"@"+match[2], program)
	return program
}

func build(t *testing.T, module, program string) {
	t.Helper()
	building := filepath.Join(filepath.Dir(program), "building")
	if err := os.MkdirAll(building, 0o755); err != nil {
		t.Fatal(err)
	}
	install := exec.CommandContext(t.Context(), "go", "install", module)
	install.Env = append(os.Environ(), "GOBIN="+building, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", module, err, out)
	}
	if err := os.Rename(filepath.Join(building, "act"), program); err != nil {
		t.Fatal(err)
	}
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
