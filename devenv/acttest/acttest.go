// Package acttest runs workflows with act (https://github.com/nektos/act), on this machine and without a network: jobs run as its own
// processes, and the actions of others are replaced.
package acttest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

var actModule = regexp.MustCompile(`\[act\]=(\S+)@(\S+)`)

// Program is the act that scripts/tools.sh pins, built once into bin/tools as that script does. If it is not there and may not be built, the
// test is skipped. The root is that of the checkout.
func Program(tb testing.TB, root string, mayBuild bool) string {
	tb.Helper()
	pins, err := os.ReadFile(filepath.Join(root, "scripts/tools.sh")) //nolint:gosec // a file of the checkout
	if err != nil {
		tb.Fatal(err)
	}
	match := actModule.FindStringSubmatch(string(pins))
	if match == nil {
		tb.Fatal("scripts/tools.sh pins no act")
	}
	program := filepath.Join(root, "bin/tools/act-"+match[2])
	if _, err := os.Stat(program); err == nil {
		return program
	}
	if !mayBuild {
		tb.Skipf("NOT CHECKED: needs %s, which ONEDIGEST_E2E=1 builds", program)
	}
	building := filepath.Join(filepath.Dir(program), "building")
	if err := os.MkdirAll(building, 0o750); err != nil {
		tb.Fatal(err)
	}
	install := exec.CommandContext(tb.Context(), "go", "install", match[1]+"@"+match[2]) //nolint:gosec // the pinned module
	install.Env = append(install.Environ(), "GOBIN="+building, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		tb.Fatalf("building %s: %v\n%s", match[1], err, out)
	}
	if err := os.Rename(filepath.Join(building, "act"), program); err != nil {
		tb.Fatal(err)
	}
	return program
}

// Act is act's program and where it runs.
type Act struct {
	Program    string
	Repository string // the directory whose workflows it runs
	Home       string // empty at first; act fills it
	Path       string // PATH, all that the jobs have of this machine's environment
}

// Run runs one workflow, a file in .github/workflows, one job after the other, and returns act's log.
func (a Act) Run(ctx context.Context, event, workflow string, args ...string) (string, error) {
	flags := []string{event, "--workflows", ".github/workflows/" + workflow, "--platform", "ubuntu-latest=-self-hosted", "--pull=false", "--concurrent-jobs=1",
		"--env", "CHECKOUT_FROM=" + a.Repository} // for the stand-in of actions/checkout
	command := exec.CommandContext(ctx, a.Program, append(flags, args...)...) //nolint:gosec // the caller's
	command.Dir = a.Repository
	command.Env = []string{"PATH=" + a.Path, "HOME=" + a.Home, "XDG_CACHE_HOME=" + filepath.Join(a.Home, "cache"), "XDG_CONFIG_HOME=" + filepath.Join(a.Home, "config"), "NO_COLOR=1", "GIT_PAGER=cat"}
	// In a session of its own, so that an interrupt that is meant for the tests does not cut it in two.
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = time.Minute
	log, err := command.CombinedOutput()
	return string(log), err
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

// checkoutStandIn does what actions/checkout does with a path, and without one with a commit, such as the head of a pull request. With neither it does nothing, because act
// has the work tree already.
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
        [[ -n $INTO$REF ]] || exit 0
        if [[ ! -e .git ]]; then # act copies its work tree only where that is what is asked for
          git init --quiet
          git fetch --quiet "$CHECKOUT_FROM" '+refs/*:refs/remotes/from/*'
        fi
        if [[ -z $INTO ]]; then
          git checkout --quiet --force --detach "$REF"
          exit 0
        fi
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

// StandIns returns act's flags that replace the actions of other repositories which the workflows in a directory use.
func StandIns(tb testing.TB, workflows string) (flags []string) {
	tb.Helper()
	standIn := func(text string) string {
		dir := tb.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "action.yml"), []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
		return dir
	}
	kept := strings.NewReplacer("KEPT", tb.TempDir())
	instead := map[string]string{"actions/checkout": standIn(checkoutStandIn), "actions/upload-artifact": standIn(kept.Replace(uploadStandIn)), "actions/download-artifact": standIn(kept.Replace(downloadStandIn))}
	other := standIn(nothing)
	paths, err := filepath.Glob(filepath.Join(workflows, "*.yaml"))
	if err != nil || len(paths) == 0 {
		tb.Fatalf("no workflow found: %v", err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path) //nolint:gosec // the caller's
		if err != nil {
			tb.Fatal(err)
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
