package actions_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// releaseHost stands in for the host of a release, with one program that says who it is.
type releaseHost struct {
	*httptest.Server
	program, packed []byte
	answer          http.HandlerFunc // instead of the program; nil: the program

	mu    sync.Mutex
	asked []string
}

const releasedVersion = "v1.2.3"

func newReleaseHost(t *testing.T, answer http.HandlerFunc) *releaseHost {
	t.Helper()
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("SKIPPED: actions run on Linux and macOS")
	}
	host := &releaseHost{program: []byte("#!/bin/sh\necho released \"$@\"\n"), answer: answer}
	host.packed = pack(t, host.program)
	host.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host.mu.Lock()
		host.asked = append(host.asked, r.URL.String())
		host.mu.Unlock()
		if host.answer != nil {
			host.answer(w, r)
			return
		}
		_, _ = w.Write(host.packed)
	}))
	t.Cleanup(host.Close)
	return host
}

func (h *releaseHost) requests() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

func pack(t *testing.T, program []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	if _, err := writer.Write(program); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func asset() string { return "onedigest_" + runtime.GOOS + "_" + runtime.GOARCH }

// checkout makes the checkout of the action at a release, and returns its run.sh.
func (h *releaseHost) checkout(t *testing.T, address string) string {
	t.Helper()
	run := checkout(t, "package main\n")
	write(t, filepath.Join(filepath.Dir(run), "checksums.txt"), fmt.Sprintf("# a comment\nversion %s\ncommit %040d\naddress %s/releases/download\n%x  %s\n%x  %s.gz\n",
		releasedVersion, 1, address, sha256.Sum256(h.program), asset(), sha256.Sum256(h.packed), asset()), 0o644)
	return run
}

// job is a run of a released run.sh. Its PATH has what a runner has, and a go that makes programs which say that they were compiled.
type job struct {
	script, path, temp, tools string
	env                       []string
}

func newJob(t *testing.T, script string, env ...string) job {
	t.Helper()
	path := tools(t, "bash", "cat", "chmod", "cksum", "curl", "env", "flock", "gzip", "head", "mkdir", "mv", "rm", "sed", "sha256sum", "sleep", "sort", "uname")
	write(t, filepath.Join(path, "go"), `#!/bin/bash
case $1 in
  env) [[ $2 != GOVERSION ]] || echo go1.99.0 ;;
  build) while [[ $1 != -o ]]; do shift; done
    printf '#!/bin/sh\necho compiled\n' >"$2"; chmod +x "$2" ;;
esac
`, 0o755)
	return job{script: script, path: path, temp: t.TempDir(), tools: t.TempDir(), env: append([]string{"ONEDIGEST_DOWNLOAD_SECONDS=1"}, env...)}
}

// run returns the exit code, what the program printed, and what the wrapper did.
func (j job) run(t *testing.T) (code int, stdout string) {
	t.Helper()
	command := j.command(t)
	var out, stderr bytes.Buffer
	command.Stdout, command.Stderr = &out, &stderr
	code = exitCode(t, command.Run())
	return code, out.String() + stderr.String()
}

func (j job) command(t *testing.T) *exec.Cmd {
	t.Helper()
	return command(t, j.script, "build", append([]string{"PATH=" + j.path, "GITHUB_ACTIONS=true", "RUNNER_TEMP=" + j.temp, "RUNNER_TOOL_CACHE=" + j.tools}, j.env...)...)
}

// expect runs the job and compares the exit code and parts of the output; "!" before a part means that it must not be there.
func (j job) expect(t *testing.T, code int, parts ...string) {
	t.Helper()
	got, out := j.run(t)
	if got != code {
		t.Errorf("exit code %d, want %d:\n%s", got, code, out)
	}
	for _, part := range parts {
		absent, is := strings.CutPrefix(part, "!")
		if strings.Contains(out, strings.TrimPrefix(part, "!")) == is {
			t.Errorf("output %q; want %q there: %t", out, strings.TrimPrefix(absent, "!"), !is)
		}
	}
}

const nothingRun = "!released"

// TestRunTakesTheRelease: the program is downloaded once, without Go, and taken from the tool cache from then on.
func TestRunTakesTheRelease(t *testing.T) {
	t.Parallel()
	host := newReleaseHost(t, nil)
	j := newJob(t, host.checkout(t, host.URL))
	if err := os.Remove(filepath.Join(j.path, "go")); err != nil {
		t.Fatal(err)
	}
	j.expect(t, 0, "released build\n", "!onedigest:", "!::")
	if got := host.requests(); len(got) != 1 || got[0] != "/releases/download/"+releasedVersion+"/"+asset()+".gz" {
		t.Errorf("asked for %q", got)
	}
	j.temp = t.TempDir() // a later job
	j.expect(t, 0, "released build\n", "!onedigest:", "!::")
	if got := host.requests(); len(got) != 1 {
		t.Errorf("asked again for what is in the tool cache: %q", got)
	}
	left, err := filepath.Glob(filepath.Join(j.tools, "onedigest/1.2.3/*/.*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// TestRunVerifiesTheToolCache: what another job has put into the tool cache does not run.
func TestRunVerifiesTheToolCache(t *testing.T) {
	t.Parallel()
	host := newReleaseHost(t, nil)
	j := newJob(t, host.checkout(t, host.URL))
	j.expect(t, 0, "released build\n")
	kept, err := filepath.Glob(filepath.Join(j.tools, "onedigest/1.2.3/*/onedigest"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("%q, %v", kept, err)
	}
	write(t, kept[0], "#!/bin/sh\necho hostile\n", 0o755)
	j.expect(t, 0, "released build\n", "!hostile", "!is not the program") // this job has a copy of its own
	j.temp = t.TempDir()
	j.expect(t, 0, "released build\n", "!hostile", "is not the program of release v1.2.3 and is replaced")
	// Whoever swaps the program while it is verified changes a file that no longer matters.
	j.temp = t.TempDir()
	swapping := filepath.Join(t.TempDir(), "sha256sum")
	write(t, swapping, "#!/bin/sh\nsum=$(/usr/bin/sha256sum)\nprintf '#!/bin/sh\\necho hostile\\n' >'"+kept[0]+"'\necho \"$sum\"\n", 0o755)
	if err := os.Remove(filepath.Join(j.path, "sha256sum")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(swapping, filepath.Join(j.path, "sha256sum")); err != nil {
		t.Fatal(err)
	}
	j.expect(t, 0, "released build\n", "!hostile")
	// A tool cache in the work tree, or none, is no reason to compile.
	j.tools = ""
	j.expect(t, 0, "released build\n")
	j.tools = filepath.Join(j.temp, "tree/cache")
	write(t, filepath.Join(j.tools, "onedigest/1.2.3/x64/onedigest"), "#!/bin/sh\necho hostile\n", 0o755)
	j.env = append(j.env, "GITHUB_WORKSPACE="+filepath.Join(j.temp, "tree"))
	j.expect(t, 0, "released build\n", "!hostile", "!is not the program")
}

// TestRunOfAHostThatFails: nothing of a wrong program runs, and nothing is compiled in its place; a release that cannot be had is compiled,
// and the reason is said.
func TestRunOfAHostThatFails(t *testing.T) {
	t.Parallel()
	other := pack(t, []byte("#!/bin/sh\necho released hostile\n"))
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			fmt.Fprint(w, "::error::from outside")
		}
	}
	compiled := []string{"compiled\n", nothingRun, "::warning title=onedigest::compiling build", "cannot be downloaded", "give a mirror as the input releases", "!from outside"}
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		code   int
		parts  []string
	}{
		"another program": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(other) }, 3,
			[]string{nothingRun, "!compiled", "::error title=onedigest::", fmt.Sprintf("its SHA-256 digest is %x, not ", sha256.Sum256(other)), "Nothing of it was run"}},
		"a page of a proxy": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>please log in</html>") }, 3, []string{nothingRun, "!compiled", "Nothing of it was run"}},
		"nothing":           {func(http.ResponseWriter, *http.Request) {}, 3, []string{nothingRun, "!compiled"}},
		"a part, said to be all": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(other[:20]) }, 3,
			[]string{nothingRun, "!compiled"}},
		"a part": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(other[:20])
		}, 0, compiled},
		"an answer that never comes": {hang, 0, append([]string{"Operation timed out"}, compiled...)},
		"404":                        {status(http.StatusNotFound), 0, append([]string{"404"}, compiled...)},
		"500":                        {status(http.StatusInternalServerError), 0, append([]string{"500"}, compiled...)},
		"redirects without end": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, 0,
			append([]string{"redirects"}, compiled...)},
		"a redirect to a file": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		}, 0, compiled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := newReleaseHost(t, test.answer)
			j := newJob(t, host.checkout(t, host.URL))
			j.expect(t, test.code, test.parts...)
			if found, _ := filepath.Glob(filepath.Join(j.tools, "onedigest/1.2.3/*/*")); len(found) > 0 {
				t.Errorf("the tool cache has %q", found)
			}
		})
	}
}

// TestRunWithoutARelease: what keeps the release from being used, and an action that has none.
func TestRunWithoutARelease(t *testing.T) {
	t.Parallel()
	host := newReleaseHost(t, nil)
	without := func(names ...string) job {
		j := newJob(t, host.checkout(t, host.URL))
		for _, name := range names {
			if err := os.Remove(filepath.Join(j.path, name)); err != nil {
				t.Fatal(err)
			}
		}
		return j
	}
	without("curl").expect(t, 0, "compiled\n", "neither curl nor wget", nothingRun)
	without("gzip").expect(t, 0, "compiled\n", "there is no gzip", nothingRun)
	without("sha256sum").expect(t, 0, "compiled\n", "no sha256sum, shasum or openssl", nothingRun)
	without("curl", "go").expect(t, 3, "::error title=onedigest::there is neither curl nor wget to download release v1.2.3; building build needs Go 1.26.0 and there is no go on the PATH; let the runner reach "+host.URL)
	unreleased := newJob(t, checkout(t, "package main\n"))
	unreleased.expect(t, 0, "compiled\n", "compiling build: this checkout of the action is not a release", "!::")
	damaged := newJob(t, host.checkout(t, "ftp://example.com"))
	damaged.expect(t, 3, "checksums.txt is damaged", "!compiled")
	if got := host.requests(); len(got) > 0 {
		t.Errorf("asked for %q", got)
	}
}

// TestRunFindsTheRelease: through a proxy, on the server that the runner belongs to, and in a mirror.
func TestRunFindsTheRelease(t *testing.T) {
	t.Parallel()
	const public = "http://github.example/onedigest/onedigest"
	host := newReleaseHost(t, nil)
	missing := newReleaseHost(t, http.NotFound)
	for name, test := range map[string]struct {
		address string
		env     []string
		want    string // the request
	}{
		"a proxy":                   {public, []string{"http_proxy=" + host.URL}, public + "/releases/download/v1.2.3/" + asset() + ".gz"},
		"its own server":            {public, []string{"GITHUB_SERVER_URL=" + host.URL}, "/onedigest/onedigest/releases/download/v1.2.3/" + asset() + ".gz"},
		"its own server has no":     {host.URL + "/a/b", []string{"GITHUB_SERVER_URL=" + missing.URL}, "/a/b/releases/download/v1.2.3/" + asset() + ".gz"},
		"a mirror":                  {public, []string{"ONEDIGEST_RELEASES=" + host.URL + "/mirror/"}, "/mirror/v1.2.3/" + asset() + ".gz"},
		"a mirror beside a server":  {public, []string{"ONEDIGEST_RELEASES=" + host.URL, "GITHUB_SERVER_URL=" + missing.URL}, "/v1.2.3/" + asset() + ".gz"},
		"a configuration of curl's": {host.URL, []string{"HOME=" + hostileHome(t), "CURL_HOME=" + hostileHome(t)}, "/releases/download/v1.2.3/" + asset() + ".gz"},
	} {
		t.Run(name, func(t *testing.T) {
			newJob(t, host.checkout(t, test.address), append([]string{"ONEDIGEST_DOWNLOAD_SECONDS=5"}, test.env...)...).expect(t, 0, "released build\n", "!compiled")
			if got := host.requests(); len(got) == 0 || got[len(got)-1] != test.want {
				t.Errorf("asked for %q, want %q last", got, test.want)
			}
		})
	}
	newJob(t, host.checkout(t, host.URL), "ONEDIGEST_RELEASES=file:///tmp").expect(t, 2, "is not an http or https address")
}

func hostileHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	write(t, filepath.Join(home, ".curlrc"), "output = /dev/null\n", 0o644)
	return home
}

// TestRunTriesAgain: a server that fails first, and wget in place of curl.
func TestRunTriesAgain(t *testing.T) {
	t.Parallel()
	host := newReleaseHost(t, nil)
	host.answer = func(w http.ResponseWriter, _ *http.Request) {
		if len(host.requests()) == 1 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = w.Write(host.packed)
	}
	newJob(t, host.checkout(t, host.URL), "ONEDIGEST_DOWNLOAD_SECONDS=60").expect(t, 0, "released build\n", "!compiled")
	if got := host.requests(); len(got) != 2 {
		t.Errorf("asked %d times, want 2", len(got))
	}
	j := newJob(t, host.checkout(t, host.URL), "ONEDIGEST_DOWNLOAD_SECONDS=60")
	wget, err := exec.LookPath("wget")
	if err != nil {
		t.Skip("SKIPPED in part: there is no wget")
	}
	if err := os.Rename(filepath.Join(j.path, "curl"), filepath.Join(j.path, "curl.away")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(wget, filepath.Join(j.path, "wget")); err != nil {
		t.Fatal(err)
	}
	j.expect(t, 0, "released build\n", "!compiled")
}

// TestRunStopsADownloadThatIsInterrupted: the step ends at once, and nothing goes on or stays behind.
func TestRunStopsADownloadThatIsInterrupted(t *testing.T) {
	t.Parallel()
	began, ended := make(chan bool, 1), make(chan bool, 1)
	host := newReleaseHost(t, func(_ http.ResponseWriter, r *http.Request) {
		began <- true
		<-r.Context().Done()
		ended <- true
	})
	j := newJob(t, host.checkout(t, host.URL), "ONEDIGEST_DOWNLOAD_SECONDS=600")
	run := j.command(t)
	run.Stdout, run.Stderr = io.Discard, io.Discard
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	<-began
	if err := run.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if got := exitCode(t, run.Wait()); got != 130 {
		t.Errorf("exit code %d; want 130", got)
	}
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	select {
	case <-ended:
	case <-ctx.Done():
		t.Error("the download went on after the step was cancelled")
	}
	if left, _ := filepath.Glob(filepath.Join(j.tools, "onedigest/1.2.3/*/.*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
