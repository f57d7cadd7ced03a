package build

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/app"
)

// TestOneImageOfACommit builds a commit in several ways, from a real repository with the real compiler into a registry that behaves like ECR: the
// commit's image is reused by the same recipe only, and which builder is meant is not guessed.
func TestOneImageOfACommit(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	repository := server.Repository("shop").String()
	dir := committed(t, map[string]string{
		"go.mod": "module example.com/shop\n\ngo 1.26\n", "cmd/shop/main.go": "package main\n\nfunc main() {}\n", "cmd/worker/main.go": "package main\n\nfunc main() { println() }\n",
		"both/go.mod": "module example.com/both\n\ngo 1.26\n", "both/main.go": "package main\n\nfunc main() {}\n", "both/Dockerfile": "FROM scratch\n"})
	environ := server.Env()
	for _, name := range []string{"PATH", "HOME", "GOPROXY", "GOCACHE", "GOMODCACHE", "GOTOOLCHAIN", "GOSUMDB"} {
		if value, isSet := os.LookupEnv(name); isSet {
			environ = append(environ, name+"="+value)
		}
	}
	for _, test := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"the first", []string{"--main", "cmd/shop", "--platforms", "linux/amd64"}, 0, []string{`"outcome": "created"`}},
		{"the same", []string{"--main", "cmd/shop", "--platforms", "linux/amd64"}, 0, []string{`"outcome": "reused"`}},
		{"another program", []string{"--main", "cmd/worker", "--platforms", "linux/amd64"}, 1, []string{"main", "cmd/shop", "cmd/worker"}},
		{"another platform", []string{"--main", "cmd/shop", "--platforms", "linux/arm64"}, 1, []string{"platform", "linux/amd64", "linux/arm64"}},
		{"which builder", []string{"--context", "both"}, 2, []string{"--builder go", "--builder docker"}},
	} {
		var output bytes.Buffer
		code := Command().Run(t.Context(), app.Process{Args: append([]string{"--repository", repository, "--output", "json"}, test.args...), Environ: environ, Dir: filepath.Clean(dir),
			Stdout: &output, Stderr: &output, Now: time.Now})
		if code != test.code {
			t.Errorf("%s: exit %d, want %d:\n%s", test.name, code, test.code, output.String())
		}
		for _, want := range test.want {
			if !strings.Contains(output.String(), want) {
				t.Errorf("%s: no %q in:\n%s", test.name, want, output.String())
			}
		}
	}
}
