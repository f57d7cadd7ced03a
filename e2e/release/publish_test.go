package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ghStandIn is gh for a repository with releases: a file says which are drafts and which are published, another one what was asked for.
const ghStandIn = `#!/bin/bash
case "$1 $2" in
  "auth setup-git") ;;
  "release view") [[ -e $GH_STATE/$3 ]] && cat "$GH_STATE/$3" ;;
  "release create") echo create "$3" >>"$GH_STATE/asked"; echo true >"$GH_STATE/$3" ;;
  "release upload") echo upload "$3" >>"$GH_STATE/asked"; [[ ! -e $GH_STATE/broken ]] ;;
  "release edit") echo edit "$3" >>"$GH_STATE/asked"; echo false >"$GH_STATE/$3" ;;
  *) exit 1 ;;
esac
`

// TestPublish pushes the tags to a repository and publishes, with a stand-in for gh: an interrupted release is taken up, a published one is left as it
// is, a version is one commit, and the tag of the major version never goes back.
func TestPublish(t *testing.T) {
	t.Parallel()
	s := newSource(t)
	remote, bin, state, dist := filepath.Join(t.TempDir(), "remote"), t.TempDir(), t.TempDir(), t.TempDir()
	s.run("", "git", "init", "--quiet", "--bare", remote)
	s.run(s.dir, "git", "remote", "add", "origin", remote)
	write := func(path, content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil { //nolint:gosec // programs
			t.Fatal(err)
		}
	}
	write(filepath.Join(bin, "gh"), ghStandIn)
	sum := strings.Repeat("0", 64)
	write(filepath.Join(dist, "SHA256SUMS"), sum+"  onedigest_linux_amd64\n"+sum+"  onedigest_linux_amd64.gz\n")
	try := func(token, command, version string) (string, error) {
		made := exec.CommandContext(t.Context(), "scripts/release.sh", command, version, dist)
		made.Dir = s.dir
		made.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "GH_TOKEN="+token, "GH_STATE="+state, "GITHUB_SERVER_URL=https://github.example", "GITHUB_REPOSITORY=onedigest/onedigest")
		out, err := made.CombinedOutput()
		return string(out), err
	}
	must := func(command, version string) string {
		t.Helper()
		out, err := try("token", command, version)
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", command, version, err, out)
		}
		return out
	}
	asked := func() string {
		content, _ := os.ReadFile(filepath.Join(state, "asked"))
		return strings.ReplaceAll(strings.TrimSpace(string(content)), "\n", ", ")
	}
	at := func(tag string) string { return s.run(s.dir, "git", "ls-remote", remote, "refs/tags/"+tag) }

	first := s.run(s.dir, "git", "rev-parse", "HEAD")
	must("tag", "v1.2.3")
	if out, err := try("", "push", "v1.2.3"); err == nil || !strings.Contains(out, "RELEASE_TOKEN") || at("v1.2.3") != "" {
		t.Errorf("push without a token: %v, %s", err, out)
	}
	must("push", "v1.2.3")
	write(filepath.Join(state, "broken"), "")
	if out, err := try("token", "publish", "v1.2.3"); err == nil {
		t.Errorf("publish, with an upload that fails: %s", out)
	}
	if err := os.Remove(filepath.Join(state, "broken")); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"tag", "push", "publish", "major"} { // the run again
		must(command, "v1.2.3")
	}
	want := "create v1.2.3, upload v1.2.3, upload v1.2.3, edit v1.2.3"
	if got := asked(); got != want {
		t.Errorf("gh was asked: %s; want %s", got, want)
	}
	if out := must("publish", "v1.2.3"); asked() != want || !strings.Contains(out, "published already") {
		t.Errorf("publish of what is published: %s; gh was asked: %s", out, asked())
	}
	commit := s.run(s.dir, "git", "rev-parse", "v1.2.3")
	if !strings.HasPrefix(at("v1.2.3"), commit) || !strings.HasPrefix(at("v1"), commit) {
		t.Errorf("the remote has %s and %s, want %s", at("v1.2.3"), at("v1"), commit)
	}

	// A later release of an earlier line, and one of a later line.
	s.run(s.dir, "git", "commit", "--quiet", "--allow-empty", "--message", "second")
	for _, version := range []string{"v1.1.9", "v1.10.0", "v1.9.0", "v1.11.0-rc.1"} {
		must("tag", version)
		must("push", version)
		must("major", version)
		want := map[string]string{"v1.1.9": "v1.2.3"}[version]
		if want == "" {
			want = "v1.10.0"
		}
		if !strings.HasPrefix(at("v1"), s.run(s.dir, "git", "rev-parse", want)) {
			t.Errorf("after %s, v1 is %s; want %s", version, at("v1"), want)
		}
	}

	// Another commit under a version that is taken.
	s.run(s.dir, "git", "tag", "--delete", "v1.2.3")
	must("tag", "v1.2.3")
	if out, err := try("token", "push", "v1.2.3"); err == nil || !strings.Contains(out, "another commit at the remote already: "+commit) || first == s.run(s.dir, "git", "rev-parse", "HEAD") {
		t.Errorf("push of another commit as v1.2.3: %v, %s", err, out)
	}
}
