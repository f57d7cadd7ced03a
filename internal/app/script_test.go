package app_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/build"
	"github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/app/onedigest"
	"github.com/onedigest/onedigest/internal/app/pipeline"
	"github.com/onedigest/onedigest/internal/app/promote"
	"github.com/onedigest/onedigest/internal/app/smoke"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"build":     func() { app.Main(build.Command()) },
		"deploy":    func() { app.Main(deploy.Command()) },
		"smoke":     func() { app.Main(smoke.Command()) },
		"promote":   func() { app.Main(promote.Command()) },
		"pipeline":  func() { app.Main(pipeline.Command()) },
		"onedigest": func() { app.Main(onedigest.Command()) },

		"fake-docker": fakeDocker,
	})
}

// verbNamed returns a verb of the program.
func verbNamed(t *testing.T, name string) app.Command {
	t.Helper()
	for _, verb := range onedigest.Verbs() {
		if verb.Verb.Name == name {
			return verb
		}
	}
	t.Fatalf("there is no verb %q", name)
	return app.Command{}
}

// goVariables returns those settings of this machine.
func goVariables(t *testing.T) (environ []string) {
	t.Helper()
	for _, name := range goVariableNames {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		environ = append(environ, name+"="+strings.TrimSpace(string(value)))
	}
	return environ
}

// TestScripts runs whole commands, as their own programs, against a registry that behaves like ECR. In a script, `refuse`
// makes the registry answer every request with a status, and `app` starts a service with the given answers.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: setUp,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"refuse":      refuse,
			"commit":      commit,
			"holds":       holds,
			"service":     service,
			"same-digest": sameDigest,
			"fill":        fill,
		},
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
	})
}

const key = "aws"

// goVariableNames are the settings by which the go command works without a network, where this machine has them.
var goVariableNames = []string{"GOPROXY", "GOCACHE", "GOMODCACHE", "GOSUMDB", "GOTOOLCHAIN", "GOFLAGS"}

func setUp(env *testscript.Env) error {
	t := env.T().(testing.TB)
	server := localawstest.Start(t)
	server.RepositoryWith("shop", localaws.TagRule{Mutability: localaws.Immutable})
	for _, service := range []string{"cart", "worker", "catalog", "cart-api"} {
		server.RepositoryWith("shop/"+service, localaws.TagRule{Mutability: localaws.Immutable})
	}
	server.RepositoryWith("worker", localaws.TagRule{Mutability: localaws.Immutable})
	server.PutSecret("shop/db", `{"password": "canary-password-1"}`)
	env.Values[key] = server
	env.Vars = append(env.Vars, server.Env()...)
	env.Setenv("REGISTRY", server.Address())
	env.Setenv("ZEROS", "sha256:"+strings.Repeat("0", 64))
	env.Setenv("HOME", t.TempDir()) // outside the work tree, because the Go toolchain writes there
	for _, name := range goVariableNames {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			return err
		}
		env.Setenv(name, strings.TrimSpace(string(value)))
	}
	return nil
}

func serverOf(script *testscript.TestScript) *localawstest.Server {
	return script.Value(key).(*localawstest.Server)
}

// commit makes the current directory a repository with everything in it committed, and sets COMMIT and SHORT, its first digits. The time is fixed,
// so that a script's commits are the same everywhere.
func commit(script *testscript.TestScript, _ bool, _ []string) {
	for _, args := range [][]string{{"init", "--quiet", "--initial-branch=main"}, {"add", "--all"}, {"commit", "--quiet", "--message", "all"}} {
		command := exec.Command("git", append([]string{"-c", "user.name=script", "-c", "user.email=script@example.com"}, args...)...)
		command.Dir = script.MkAbs(".")
		command.Env = append(os.Environ(), "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
		if text, err := command.CombinedOutput(); err != nil {
			script.Fatalf("git %v: %v\n%s", args, err, text)
		}
	}
	head := exec.Command("git", "rev-parse", "HEAD")
	head.Dir = script.MkAbs(".")
	text, err := head.Output()
	script.Check(err)
	script.Setenv("COMMIT", strings.TrimSpace(string(text)))
	script.Setenv("SHORT", script.Getenv("COMMIT")[:7])
}

// refuse makes the registry answer every request of its protocol with a status.
func refuse(script *testscript.TestScript, _ bool, args []string) {
	status, err := strconv.Atoi(args[0])
	script.Check(err)
	serverOf(script).ClearFaults()
	serverOf(script).Inject(localaws.Fault{
		Match: func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/v2/") },
		Do:    localaws.RegistryError(status, "DENIED", "as the script wants"),
	})
}

// holds fails, or with ! succeeds, unless the registry's repository holds any image.
func holds(script *testscript.TestScript, negated bool, args []string) {
	request, err := http.NewRequest(http.MethodGet, "http://"+serverOf(script).Address()+"/v2/"+args[0]+"/tags/list", nil)
	script.Check(err)
	request.SetBasicAuth("AWS", serverOf(script).IssueToken())
	response, err := http.DefaultClient.Do(request)
	script.Check(err)
	defer response.Body.Close()
	var list struct{ Tags []string }
	script.Check(json.NewDecoder(response.Body).Decode(&list))
	if held := len(list.Tags) > 0; held == negated {
		script.Fatalf("%s holds tags %v", args[0], list.Tags)
	}
}

// fill writes the registry's address for the word REGISTRY into a file.
func fill(script *testscript.TestScript, _ bool, args []string) {
	path := script.MkAbs(args[0])
	script.Check(os.WriteFile(path, []byte(strings.ReplaceAll(script.ReadFile(args[0]), "REGISTRY", script.Getenv("REGISTRY"))), 0o600))
}

// sameDigest holds two results in JSON to one digest.
func sameDigest(script *testscript.TestScript, _ bool, args []string) {
	var digests [2]struct{ Digest string }
	for i, file := range args {
		script.Check(json.Unmarshal([]byte(script.ReadFile(file)), &digests[i]))
	}
	if digests[0] != digests[1] || digests[0].Digest == "" {
		script.Fatalf("%v", digests)
	}
}

// service starts a service that answers / and /configs, the latter with a status, and sets URL.
func service(script *testscript.TestScript, _ bool, args []string) {
	status, err := strconv.Atoi(args[0])
	script.Check(err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Commit", strings.Repeat("1", 40))
		if r.URL.Path == "/configs" {
			w.WriteHeader(status)
		}
		_, _ = w.Write([]byte(`{"path": "` + filepath.Base(r.URL.Path) + `"}`))
	}))
	script.Defer(server.Close)
	script.Setenv("URL", server.URL)
}
