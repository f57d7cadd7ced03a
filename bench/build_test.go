package bench

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/app"
	appbuild "github.com/onedigest/onedigest/internal/app/build"
)

// BenchmarkBuildExisting is the build of a commit that the registry holds already. Goals: at most 2 requests to the
// registry, at most 150 ms.
func BenchmarkBuildExisting(b *testing.B) {
	server := localawstest.Start(b)
	repository := server.RepositoryWith("shop", localaws.TagRule{Mutability: localaws.Immutable})
	tree := b.TempDir()
	for name, text := range map[string]string{"go.mod": "module example.com/shop\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() {}\n"} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "--all"}, {"-c", "user.name=b", "-c", "user.email=b@example.com", "commit", "--quiet", "-m", "all"}} {
		command := exec.Command("git", args...)
		command.Dir = tree
		if text, err := command.CombinedOutput(); err != nil {
			b.Fatalf("git %v: %v\n%s", args, err, text)
		}
	}
	build := func() {
		var stderr bytes.Buffer
		code := appbuild.Command().Run(b.Context(), app.Process{Args: []string{"--repository", repository.String()}, Dir: tree,
			Environ: append(os.Environ(), server.Env()...), Stdout: io.Discard, Stderr: &stderr, Now: time.Now})
		if code != 0 {
			b.Fatal(stderr.String())
		}
	}
	build()
	for b.Loop() {
		server.ResetRequests()
		build()
	}
	var registry, tokens int
	for _, request := range server.Requests() {
		if strings.HasPrefix(request.Path, "/v2/") {
			registry++
		} else {
			tokens++
		}
	}
	b.ReportMetric(float64(registry), "registry-requests")
	b.ReportMetric(float64(tokens), "token-requests")
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/op")
}
