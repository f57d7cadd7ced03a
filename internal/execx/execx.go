// Package execx finds the programs that adapters run.
package execx

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Find returns the absolute path of a program on the PATH in environ, the environment that the program will run in. Relative
// entries of PATH are skipped, because they would run a program from the work tree.
func Find(name string, environ []string) (string, error) {
	for _, dir := range filepath.SplitList(Variable(environ, "PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if program, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return program, nil
		}
	}
	return "", fmt.Errorf("no %q on PATH", name)
}

// Variable returns the value of an environment variable, or "" if it is not set. If it is set several times, the last value
// counts.
func Variable(environ []string, name string) (found string) {
	for _, pair := range environ {
		if key, value, _ := strings.Cut(pair, "="); key == name {
			found = value
		}
	}
	return found
}
