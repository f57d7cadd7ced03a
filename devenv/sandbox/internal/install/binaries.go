package install

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// kubernetes is the release in go.mod. Without it the components report v0.0.0-master, which client libraries
// cannot parse.
const kubernetes = "v1.37.2"

// flags are the same for all binaries and must not change, because a change recompiles all of Kubernetes.
var flags = []string{"-trimpath", "-buildvcs=false", "-ldflags", "-s -w" +
	" -X k8s.io/component-base/version.gitVersion=" + kubernetes +
	" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37" +
	" -X k8s.io/component-base/version.gitTreeState=clean -X k8s.io/component-base/version.gitCommit=module"}

// Binaries are built from this module.
type Binaries struct {
	Kube, ECRLogin, Pause string
}

// Source finds the directory of the sandbox module: below or above the working directory, or beside the program's bin/.
func Source() (string, error) {
	var starts []string
	if here, err := os.Getwd(); err == nil {
		starts = append(starts, here)
	}
	if program, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(program))
	}
	for _, start := range starts {
		for dir := start; ; dir = filepath.Dir(dir) {
			for _, candidate := range []string{dir, filepath.Join(dir, "devenv", "sandbox")} {
				content, err := os.ReadFile(filepath.Join(candidate, "go.mod")) //nolint:gosec // a file name of ours
				if err == nil && bytes.HasPrefix(content, []byte("module github.com/onedigest/onedigest/devenv/sandbox\n")) {
					return candidate, nil
				}
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", errors.New("the sandbox's source is not found: run from within the checkout")
}

// Build builds the binaries into bin that are missing or out of date. Without node it builds the login helper only.
func Build(ctx context.Context, source, bin string, node bool, out io.Writer) (Binaries, error) {
	// The kubelet runs any program in the helper's directory, so the helper has a directory of its own.
	built := Binaries{
		Kube: filepath.Join(bin, "kube"), Pause: filepath.Join(bin, "pause"), ECRLogin: filepath.Join(bin, "login", "ecrlogin"),
	}
	for _, b := range []struct{ target, from, notice string }{
		{built.Pause, "pause", ""},
		{built.ECRLogin, "ecrlogin", ""},
		{built.Kube, "kube", "Kubernetes compiles once (about 8 min on 2 cores; seconds on later runs)"},
	} {
		if !node && b.from != "ecrlogin" {
			continue
		}
		if err := build(ctx, source, b.target, b.from, b.notice, out); err != nil {
			return Binaries{}, err
		}
	}
	return built, nil
}

// build builds one binary, unless the stamp next to it shows that it is up to date.
func build(ctx context.Context, source, target, from, notice string, out io.Writer) error {
	want, err := stamp(source, from)
	if err != nil {
		return err
	}
	stampFile := target + ".stamp"
	if have, err := os.ReadFile(stampFile); err == nil && string(have) == want { //nolint:gosec // beside the binary
		if _, err := os.Stat(target); err == nil {
			return nil
		}
	}
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("building %q: Go is not installed (https://go.dev/dl/)", from)
	}
	if notice != "" {
		fmt.Fprintln(out, notice) //nolint:errcheck // progress
	}
	stop := printElapsed(out, "building "+from)
	arguments := append(append([]string{"build"}, flags...), "-o", target, "./"+from)
	command := exec.CommandContext(ctx, "go", arguments...) //nolint:gosec // fixed flags and our own paths
	command.Dir = source
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	output, err := command.CombinedOutput()
	stop()
	if err != nil {
		return fmt.Errorf("building %q: %w: %s", from, err, strings.TrimSpace(string(output)))
	}
	return os.WriteFile(stampFile, []byte(want), 0o600)
}

// stamp returns a hash of a binary's inputs: its dependencies, its source, the compiler.
func stamp(source, from string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, flags, runtime.Version(), runtime.GOARCH) //nolint:errcheck // a hash does not fail
	files := []string{"go.mod", "go.sum", filepath.Join(from, "main.go")}
	inner, err := filepath.Glob(filepath.Join(source, "internal", "provider", "*.go"))
	if err != nil {
		return "", err
	}
	if from != "ecrlogin" {
		inner = nil
	}
	for _, file := range files {
		inner = append(inner, filepath.Join(source, file))
	}
	for _, file := range inner {
		content, err := os.ReadFile(file) //nolint:gosec // our own source
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d\n", filepath.Base(file), len(content)) //nolint:errcheck // a hash does not fail
		sum.Write(content)                                             //nolint:errcheck,gosec // as above
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// printElapsed prints the elapsed time until the returned function is called.
func printElapsed(out io.Writer, what string) func() {
	began := time.Now()
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(10 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				fmt.Fprintf(out, "  %s: %.0f s\n", what, time.Since(began).Seconds()) //nolint:errcheck // progress
			}
		}
	}()
	return func() {
		close(done)
		fmt.Fprintf(out, "  %s took %.1f s\n", what, time.Since(began).Seconds()) //nolint:errcheck // progress
	}
}
