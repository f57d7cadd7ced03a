package acttest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Release is a release of this repository that scripts/release.sh tagged, as GitHub would have it for a repository that calls its workflows.
type Release struct {
	Commit string   // the tagged one
	Flags  []string // act's, for the release's commits
	Host   string   // base URL of its files
}

const releaseVersion = "v9.8.7"

var (
	ownReference = regexp.MustCompile(`uses: onedigest/onedigest/\S+@([0-9a-f]{40}) # ` + releaseVersion)
	pathUse      = regexp.MustCompile(`uses: \./`)
)

// NewRelease releases the work tree whose root is given, with a program for this platform.
func NewRelease(tb testing.TB, root string, program []byte) Release {
	tb.Helper()
	source, dist := filepath.Join(tb.TempDir(), "source"), tb.TempDir()
	run := func(dir string, environ []string, name string, args ...string) string {
		tb.Helper()
		command := exec.CommandContext(tb.Context(), name, args...) //nolint:gosec // fixed words and our own paths
		command.Dir = dir
		command.Env = append(command.Environ(), environ...)
		out, err := command.Output()
		if err != nil {
			tb.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("", nil, "bash", "-c", `mkdir -p "$1" && cd "$0" && git ls-files -z -co --exclude-standard | xargs -0 cp --parents -t "$1"`, root, source)
	for _, args := range [][]string{{"init", "--quiet", "--initial-branch=main"}, {"config", "user.name", "e2e"}, {"config", "user.email", "e2e@example.com"}, {"add", "--all"}, {"commit", "--quiet", "--message", "first"}} {
		run(source, nil, "git", args...)
	}
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	if _, err := writer.Write(program); err != nil {
		tb.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		tb.Fatal(err)
	}
	asset := "onedigest_" + runtime.GOOS + "_" + runtime.GOARCH
	sums := fmt.Sprintf("%x  %s\n%x  %s.gz\n", sha256.Sum256(program), asset, sha256.Sum256(packed.Bytes()), asset)
	if err := os.WriteFile(filepath.Join(dist, "SHA256SUMS"), []byte(sums), 0o600); err != nil {
		tb.Fatal(err)
	}
	r := Release{Commit: run(source, []string{"GITHUB_REPOSITORY=onedigest/onedigest", "GITHUB_SERVER_URL=https://github.example"}, "scripts/release.sh", "tag", releaseVersion, dist)}
	commits := []string{r.Commit}
	for _, workflow := range []string{"pipeline", "service", "environment", "preview"} {
		text := run(source, nil, "git", "show", r.Commit+":.github/workflows/"+workflow+".yaml")
		if pathUse.MatchString(text) {
			tb.Errorf("the released %s.yaml uses something of the repository that calls it:\n%s", workflow, text)
		}
		for _, match := range ownReference.FindAllStringSubmatch(text, -1) {
			commits = append(commits, match[1])
		}
	}
	slices.Sort(commits)
	for _, commit := range slices.Compact(commits) {
		dir := tb.TempDir()
		// What the workflows use of it; act copies all of it for each step.
		run(source, nil, "bash", "-c", `git archive "$0" actions charts .github | tar -x -C "$1"`, commit, dir)
		run(dir, nil, "sed", "-i", "/^      queue: max$/d", ".github/workflows/service.yaml")      // which act does not know
		run(dir, nil, "sed", "-i", "/^      deployment: /d", ".github/workflows/environment.yaml") // nor this
		r.Flags = append(r.Flags, "--local-repository", "onedigest/onedigest@"+commit+"="+dir)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.URL.Path != "/"+releaseVersion+"/"+asset+".gz" {
			http.NotFound(w, request)
			return
		}
		_, _ = w.Write(packed.Bytes())
	}))
	tb.Cleanup(server.Close)
	r.Host = server.URL
	return r
}
