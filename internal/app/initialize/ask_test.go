package initialize_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestTheOrderOfQuestions: what the service is comes first, then how it is built, where it listens and where it runs. A wrong answer is asked for again, the name of an
// environment may be left out, and another flag that the advice names is an answer.
func TestTheOrderOfQuestions(t *testing.T) {
	t.Parallel()
	const main = "package main\n\nfunc main() {}\n"
	r := newRepository(t, map[string]string{"cmd/a/main.go": main, "cmd/b/main.go": main, "go.mod": goMod, "Dockerfile": "FROM scratch\n"})
	var asked []string
	answers := []string{"go", "cmd/b", "http", "8080", "/ready", "registry.example.com/shop", "first", "--runner mine", "eu-central-1", pin}
	r.ask = func(question string) (string, error) {
		asked = append(asked, question)
		if len(asked) > len(answers) {
			return "", errors.New("no answer to " + question)
		}
		return answers[len(asked)-1], nil
	}
	states := r.must()
	want := []string{"--builder", "--main", "--port", "--port", "--probe", "--repository", "--cluster", "--cluster", "--region", "--pin"}
	if !slices.Equal(asked, want) || states[".github/workflows/delivery.yaml"] != "created" {
		t.Errorf("asked %v, want %v; %v", asked, want, states)
	}
	if text := r.read(".github/workflows/delivery.yaml"); !strings.Contains(text, `"staging", "cluster": "first"`) || !strings.Contains(text, "runner: mine") {
		t.Errorf("got %s", text)
	}
}

// TestTheBuildsCredentialsAreSaid: a registry that is not ECR needs a runner that has credentials for it.
func TestTheBuildsCredentialsAreSaid(t *testing.T) {
	t.Parallel()
	args := []string{"--repository", "registry.example.com/shop", "--runner", "mine", "--pin", pin}
	for _, test := range []struct {
		args []string
		said bool
	}{{args, true}, {append(slices.Clone(args), "--build-runner", "mine"), false}, {required, false}} {
		r := newRepository(t, map[string]string{"Dockerfile": "FROM scratch\nEXPOSE 8080\n"})
		code, stdout, stderr := r.init(append(slices.Clone(test.args), "--probe", "/")...)
		if printed := stdout + stderr; code != 0 || strings.Contains(printed, "has no credentials for registry.example.com: give init --build-runner") != test.said || strings.Contains(printed, "Dockerfile Dockerfile") {
			t.Errorf("%v: exit code %d:\n%s", test.args, code, printed)
		}
	}
}
