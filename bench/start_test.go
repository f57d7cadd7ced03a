package bench

import (
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// BenchmarkStart is what an action takes before its verb runs, on a runner without Go: "download" with an empty tool cache, from a
// host on this machine; "kept" from the tool cache; "compile" is what an action does that is no release, with empty caches of Go but
// modules at hand, and is measured once. Goals: at most 1 s, and at most a twentieth of compiling.
func BenchmarkStart(b *testing.B) {
	root, err := filepath.Abs("..")
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	name := "onedigest_linux_" + runtime.GOARCH
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", filepath.Join(dir, name), "./cmd/onedigest")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		b.Fatal(err)
	}
	packed := filepath.Join(dir, name+".gz")
	file, err := os.Create(packed)
	if err != nil {
		b.Fatal(err)
	}
	writer, hash := gzip.NewWriter(nil), sha256.New()
	writer.Reset(io.MultiWriter(file, hash))
	if _, err := writer.Write(program); err != nil {
		b.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		b.Fatal(err)
	}
	if err := file.Close(); err != nil {
		b.Fatal(err)
	}
	host := httptest.NewServer(http.StripPrefix("/v1.2.3/", http.FileServer(http.Dir(dir))))
	b.Cleanup(host.Close)

	// The action's checkout: the script, and the sources that it would compile.
	action := filepath.Join(dir, "action")
	copied := exec.Command("bash", "-c", `mkdir -p "$1" && git ls-files -z -- actions cmd internal devenv go.mod go.sum | xargs -0 cp --parents -t "$1"`, "copy", action)
	copied.Dir = root
	if out, err := copied.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	checksums := filepath.Join(action, "actions/checksums.txt")
	released := fmt.Sprintf("version v1.2.3\naddress %s\n%x  %s\n%x  %s.gz\n", host.URL, sha256.Sum256(program), name, hash.Sum(nil), name)
	start := func(tools string, path string) {
		command := exec.Command(filepath.Join(action, "actions/run.sh"), "smoke")
		command.Dir = b.TempDir()
		command.Env = []string{"PATH=" + path, "HOME=" + os.Getenv("HOME"), "GITHUB_ACTIONS=true", "RUNNER_TEMP=" + b.TempDir(), "RUNNER_TOOL_CACHE=" + tools}
		// Without inputs, the verb ends with exit code 2 as soon as it runs.
		if out, err := command.CombinedOutput(); command.ProcessState.ExitCode() != 2 {
			b.Fatalf("%v\n%s", err, out)
		}
	}
	const withoutGo = "/usr/bin:/bin"
	write := func(b *testing.B, text string) {
		if err := os.WriteFile(checksums, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("download", func(b *testing.B) {
		write(b, released)
		for b.Loop() {
			start(b.TempDir(), withoutGo)
		}
		b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/op")
		b.ReportMetric(float64(size(b, packed))/1e6, "MB")
	})
	b.Run("kept", func(b *testing.B) {
		write(b, released)
		tools := b.TempDir()
		start(tools, withoutGo)
		for b.Loop() {
			start(tools, withoutGo)
		}
		b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/op")
	})
	b.Run("compile", func(b *testing.B) {
		if os.Getenv("ONEDIGEST_BENCH_COMPILE") == "" {
			b.Skip("SKIPPED: takes minutes; set ONEDIGEST_BENCH_COMPILE=1, and -benchtime 1x")
		}
		if err := os.Remove(checksums); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			start(b.TempDir(), os.Getenv("PATH"))
		}
		b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/op")
	})
}

func size(b *testing.B, path string) int64 {
	b.Helper()
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}
