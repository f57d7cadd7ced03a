package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestDeployScript checks deploy.sh's output, its prompts and the arguments it passes to the verbs; the verbs themselves are
// stand-ins that print what they were given.
func TestDeployScript(t *testing.T) {
	beside(t)
	text, err := os.ReadFile(filepath.Join("..", "deploy.sh"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "deploy.sh"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("ONEDIGEST_BIN", filepath.Join(env.WorkDir, "bin"))
			env.Setenv("IMAGE", "registry.example.com/team/shop@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
			return programs(env.WorkDir, text)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits},
	})
}

// programs puts deploy.sh into the script's directory, and makes what the script has in bin/ executable.
func programs(dir string, script []byte) error {
	all := map[string][]byte{filepath.Join(dir, "deploy.sh"): script}
	paths, err := filepath.Glob(filepath.Join(dir, "bin", "*"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		if all[path], err = os.ReadFile(path); err != nil {
			return err
		}
	}
	// A file that is open for writing cannot be executed, and a child that is forked for a script beside this one would
	// hold it open a moment longer.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	for path, text := range all {
		if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, text, 0o755)); err != nil {
			return err
		}
	}
	return nil
}

// exits is the script's command "exits CODE PROGRAM ARGS…": exec that holds the exit code too.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS…")
	}
	err, code := ts.Exec(args[1], args[2:]...), 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code, err = exit.ExitCode(), nil
	}
	ts.Check(err)
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d; want %s", code, args[0])
	}
}

// TestDeployScriptOnTheNode runs deploy.sh with the real verbs: without arguments, on a terminal, and by a tag.
func TestDeployScriptOnTheNode(t *testing.T) {
	onNode(t)
	beside(t, &environments)
	text, err := os.ReadFile(filepath.Join("..", "deploy.sh"))
	if err != nil {
		t.Fatal(err)
	}
	tree := newCheckout(t)
	tree.recordNamespaces([]string{"--environment", "staging"})
	if err := programs(tree.dir, text); err != nil {
		t.Fatal(err)
	}
	tree.commit("a script")
	image := tree.build()
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "deploy.sh.node"),
		Setup: func(env *testscript.Env) error {
			for _, pair := range append(goEnviron(), site.aws...) {
				name, value, _ := strings.Cut(pair, "=")
				env.Setenv(name, value)
			}
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("TREE", tree.dir)
			env.Setenv("IMAGE", image)
			env.Setenv("KUBECONFIG", site.kubeconfig)
			env.Setenv("ONEDIGEST_BIN", filepath.Join(site.root, "bin"))
			env.Setenv("ECR_REPOSITORY", site.registry+"/shop")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits},
	})
}
