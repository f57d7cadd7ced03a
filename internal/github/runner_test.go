package github

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// environment is a runner's with its files in a directory of the test.
func environment(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	env := map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": filepath.Join(dir, "output"),
		"GITHUB_STEP_SUMMARY": filepath.Join(dir, "summary")}
	for _, name := range []string{"GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"} {
		if err := os.WriteFile(env[name], nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return env
}

func runner(env map[string]string) (*Runner, *bytes.Buffer) {
	var stdout bytes.Buffer
	return New(Options{Getenv: func(name string) string { return env[name] }, Stdout: &stdout}), &stdout
}

func content(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

type pair struct{ Name, Value string }

// parseFile reads an output file as the runner does: "=" or "<<", whichever comes first, and then up to the line that is
// the delimiter (actions/runner, FileCommandManager.cs).
func parseFile(text string) ([]pair, error) {
	var pairs []pair
	lines := strings.SplitAfter(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSuffix(lines[i], "\n")
		if line == "" {
			continue
		}
		equals, heredoc := strings.Index(line, "="), strings.Index(line, "<<")
		if equals >= 0 && (heredoc < 0 || equals < heredoc) {
			pairs = append(pairs, pair{line[:equals], line[equals+1:]})
			continue
		}
		if heredoc <= 0 || heredoc+2 == len(line) {
			return nil, fmt.Errorf("line %q is no output", line)
		}
		name, delimiter, value, found := line[:heredoc], line[heredoc+2:], "", false
		for i++; i < len(lines) && !found; i++ {
			if found = strings.TrimSuffix(lines[i], "\n") == delimiter; !found {
				value += lines[i]
			}
		}
		if i--; !found {
			return nil, fmt.Errorf("delimiter %q not found", delimiter)
		}
		pairs = append(pairs, pair{name, strings.TrimSuffix(value, "\n")})
	}
	return pairs, nil
}
