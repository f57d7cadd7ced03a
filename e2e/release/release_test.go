// Package release runs scripts/release.sh on a copy of this repository, and the actions from the commit that it tags. It needs no cluster.
package release

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/devenv/runner"
)

const version = "v1.2.3"

// source is a repository with the files of this work tree, and one commit.
type source struct {
	t   *testing.T
	dir string
}

func newSource(t *testing.T) source {
	t.Helper()
	s := source{t, filepath.Join(t.TempDir(), "source")}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	s.run("", "bash", "-c", `mkdir -p "$1" && cd "$0" && git ls-files -z -co --exclude-standard | xargs -0 cp --parents -t "$1" 2>/dev/null; true`, root, s.dir)
	for _, args := range [][]string{{"init", "--quiet", "--initial-branch=main"}, {"config", "user.name", "e2e"}, {"config", "user.email", "e2e@example.com"}, {"add", "--all"}, {"commit", "--quiet", "--message", "first"}} {
		s.run(s.dir, "git", args...)
	}
	// The pinned tools are built already.
	if err := os.MkdirAll(filepath.Join(s.dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "bin/tools"), filepath.Join(s.dir, "bin/tools")); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s source) run(dir, program string, args ...string) string {
	s.t.Helper()
	out, err := s.try(dir, program, args...)
	if err != nil {
		s.t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
	return strings.TrimSpace(out)
}

func (s source) try(dir, program string, args ...string) (string, error) {
	command := exec.CommandContext(s.t.Context(), program, args...)
	command.Dir = dir
	// A setting of the go command, and a time that differs: neither is to change a byte.
	command.Env = append(os.Environ(), "ONEDIGEST_PLATFORMS=linux/"+runtime.GOARCH, "GITHUB_SERVER_URL=https://github.example", "GITHUB_REPOSITORY=onedigest/onedigest", "GOAMD64=v3", "SOURCE_DATE_EPOCH=1")
	out, err := command.CombinedOutput()
	return string(out), err
}

func (s source) release(command, dir string) string {
	s.t.Helper()
	return s.run(s.dir, "scripts/release.sh", command, version, dir)
}

// TestRelease makes a release and uses it: two builds are the same bytes, one of them in another directory, from the tagged commit, with
// an empty cache; and the action of that commit downloads the program, verifies and runs it.
func TestRelease(t *testing.T) {
	if os.Getenv("ONEDIGEST_E2E") == "" {
		t.Skip("SKIPPED: compiles the whole program twice; set ONEDIGEST_E2E=1")
	}
	s := newSource(t)
	dist := filepath.Join(t.TempDir(), "dist")
	s.release("build", dist)
	name := "onedigest_linux_" + runtime.GOARCH
	for _, file := range []string{name, name + ".gz", name + ".spdx.json", "SHA256SUMS"} {
		if _, err := os.Stat(filepath.Join(dist, file)); err != nil {
			t.Error(err)
		}
	}
	s.run(dist, "sha256sum", "--check", "--strict", "SHA256SUMS")
	if bill := read(t, filepath.Join(dist, name+".spdx.json")); !strings.Contains(bill, `"helm.sh/helm/v3"`) || !strings.Contains(bill, `"SPDX-2.3"`) {
		t.Errorf("the bill of materials lacks a module: %.500s", bill)
	}
	first := s.run(s.dir, "git", "rev-parse", "HEAD")
	tagged := s.release("tag", dist)
	if again := s.release("tag", dist); again != tagged {
		t.Errorf("tagged %s, and again %s", tagged, again)
	}
	for _, tag := range []string{version, "v1"} {
		if got := s.run(s.dir, "git", "rev-parse", tag+"^{commit}"); got != tagged {
			t.Errorf("%s is %s, want %s", tag, got, tagged)
		}
	}
	if got := s.run(s.dir, "git", "rev-parse", "HEAD") + s.run(s.dir, "git", "status", "--porcelain"); got != first {
		t.Errorf("tagging changed the branch or the work tree: %s", got)
	}
	if got := s.run(s.dir, "git", "diff", "--name-only", first, tagged); got != ".github/workflows/environment.yaml\n.github/workflows/pipeline.yaml\n.github/workflows/preview.yaml\n.github/workflows/service.yaml\nactions/checksums.txt" {
		t.Errorf("the tagged commit changes %q", got)
	}

	elsewhere := source{t, filepath.Join(t.TempDir(), "another directory")}
	s.run("", "git", "clone", "--quiet", "--branch", version, s.dir, elsewhere.dir)
	if out := elsewhere.release("verify", dist); !strings.Contains(out, name+" is the same again") {
		t.Errorf("verify: %s", out)
	}
	runReleased(t, elsewhere.dir, dist, first)
	for _, file := range []string{name, name + ".gz"} {
		tampered := filepath.Join(t.TempDir(), "dist")
		s.run("", "cp", "-r", dist, tampered)
		s.run(tampered, "sh", "-c", `printf x >>"$0"`, file)
		if file != name { // with its line, as whoever changes both would do
			s.run(tampered, "sh", "-c", "sha256sum onedigest_* | LC_ALL=C sort -k 2 >SHA256SUMS")
		}
		if out, err := elsewhere.try(elsewhere.dir, "scripts/release.sh", "verify", version, tampered); err == nil || strings.Contains(out, "is the same again") {
			t.Errorf("verify of a changed %s: %v, %s", file, err, out)
		}
	}

	// What is refused.
	if err := os.WriteFile(filepath.Join(s.dir, "README.md"), []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, refused := range []struct{ dir, command, version, want string }{
		{s.dir, "build", version, "changes that are not committed"},
		{s.dir, "build", "1.2.3", "release.sh build|verify|tag|push|publish|major"},
		{s.dir, "delete", version, "release.sh build|verify|tag|push|publish|major"},
		{elsewhere.dir, "tag", version, "HEAD is a release's commit already"},
	} {
		if out, err := s.try(refused.dir, "scripts/release.sh", refused.command, refused.version, dist); err == nil || !strings.Contains(out, refused.want) {
			t.Errorf("%s %s: %v, %s; want %q", refused.command, refused.version, err, out, refused.want)
		}
	}
}

// runReleased runs the action of a checkout on a runner without Go.
func runReleased(t *testing.T, checkout, dist, commit string) {
	t.Helper()
	var asked int
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.StripPrefix("/onedigest/onedigest/releases/download/"+version, http.FileServer(http.Dir(dist))).ServeHTTP(w, r)
	}))
	t.Cleanup(host.Close)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }))
	t.Cleanup(service.Close)
	r := runner.Runner{Workspace: t.TempDir(), Temp: t.TempDir(), ToolCache: t.TempDir(), Env: []string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir(), "GITHUB_SERVER_URL=" + host.URL}}
	if _, err := exec.LookPath("/usr/bin/go"); err == nil {
		t.Log("this machine has /usr/bin/go: the test does not show that a runner needs none")
	}
	for _, job := range []string{"first", "second"} {
		got, err := r.Run(context.Background(), filepath.Join(checkout, "actions/smoke"), map[string]string{"url": service.URL, "consecutive": "1", "timeout": "10s"})
		if err != nil || got.Code != 0 || got.Outputs["verdict"] != "pass" || len(got.Annotations) > 0 {
			t.Errorf("%s job: %v, %+v", job, err, got)
		}
	}
	if asked != 1 {
		t.Errorf("%d downloads for two jobs, want 1", asked)
	}
	programs, _ := filepath.Glob(filepath.Join(r.ToolCache, "onedigest/1.2.3/*/onedigest"))
	if len(programs) != 1 {
		t.Fatalf("in the tool cache: %q", programs)
	}
	said, err := exec.CommandContext(t.Context(), programs[0], "version").Output()
	if want := regexp.MustCompile(`^onedigest v1\.2\.3\ncommit  ` + commit + "\n"); err != nil || !want.Match(said) {
		t.Errorf("the program says %q, %v", said, err)
	}
	if bytes.Contains([]byte(read(t, programs[0])), []byte(checkout)) {
		t.Error("the program contains the directory that it was built in")
	}
}

// TestSizes: the stripped programs of single verbs stay as small as docs/cli.md says, since a job may download or link them each time.
func TestSizes(t *testing.T) {
	if os.Getenv("ONEDIGEST_E2E") == "" {
		t.Skip("SKIPPED: links four programs; set ONEDIGEST_E2E=1")
	}
	const megabyte = 1_000_000
	for program, most := range map[string]int64{"promote": 15 * megabyte, "scan": 15 * megabyte, "smoke": 30 * megabyte, "build": 35 * megabyte} {
		to := filepath.Join(t.TempDir(), program)
		command := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", to, "./cmd/"+program)
		command.Dir = "../.."
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		info, err := os.Stat(to)
		if err != nil {
			t.Fatal(err)
		}
		if t.Logf("%s has %.1f MB", program, float64(info.Size())/megabyte); info.Size() > most {
			t.Errorf("%s has %d bytes, at most %d are allowed: look at what it links", program, info.Size(), most)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
