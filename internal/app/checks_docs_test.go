package app_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/smoke"
)

// orders is the service of docs/checks: it keeps one order, and repeats what is ordered.
func orders(t *testing.T, broken bool) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "shop") })
	mux.HandleFunc("GET /orders/7", func(w http.ResponseWriter, _ *http.Request) {
		if broken {
			w.WriteHeader(http.StatusTeapot)
		}
		fmt.Fprint(w, `{"id": 7, "item": "pear"}`)
	})
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// TestTheCommandsOfTheDocsRun runs docs/checks/smoke.yaml: a k6 script by k6 itself, a shell script and a Go test.
func TestTheCommandsOfTheDocsRun(t *testing.T) {
	t.Parallel()
	k6 := pinnedTool(t, "k6")
	for _, program := range []string{"curl", "go"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("NOT CHECKED: needs %s", program)
		}
	}
	tools := t.TempDir()
	if err := os.Symlink(k6, filepath.Join(tools, "k6")); err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	if err := os.CopyFS(tree, os.DirFS("../../docs/checks")); err != nil {
		t.Fatal(err)
	}
	goCache, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	run := func(url, path string, args ...string) (int, string) {
		var log bytes.Buffer
		process := app.Process{Args: append([]string{"--url", url, "--checks", "smoke.yaml", "--pause", "10ms", "--patience", "1s", "--timeout", "5m"}, args...), Dir: tree, Stdout: &log, Stderr: &log, Now: time.Now,
			Environ: []string{"PATH=" + path, "HOME=" + tree, "XDG_CACHE_HOME=" + filepath.Dir(strings.TrimSpace(string(goCache))), "GOFLAGS=-buildvcs=false"}}
		command := smoke.Command()
		code := command.Run(context.WithoutCancel(t.Context()), process.ThroughSink())
		return code, log.String()
	}
	path := tools + ":" + os.Getenv("PATH")
	code, log := run(orders(t, false), path)
	for _, want := range []string{`check "shoppers" passed`, `check "an order by shell" passed`, `check "contract" passed`, "verdict: pass"} {
		if code != 0 || !strings.Contains(log, want) {
			t.Fatalf("exit %d, want %q in\n%s", code, want, log)
		}
	}
	code, log = run(orders(t, true), path)
	if code != 1 || !strings.Contains(log, "shoppers [check] exited with status 99") || !strings.Contains(log, "an order is found") {
		t.Errorf("a k6 script whose threshold is crossed: exit %d\n%s", code, log)
	}
	code, log = run("http://127.0.0.1:1", "/usr/bin:/bin")
	if code != 2 || !strings.Contains(log, `smoke.yaml:6: check "shoppers": "k6" is not on the PATH; install it in a step before this one`) {
		t.Errorf("without k6: exit %d\n%s", code, log)
	}
}

// pinnedTool is a tool that scripts/tools.sh pins and builds.
func pinnedTool(t *testing.T, name string) string {
	t.Helper()
	pins, err := os.ReadFile("../../scripts/tools.sh")
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`\[` + regexp.QuoteMeta(name) + `\]=\S+@(\S+)`).FindStringSubmatch(string(pins))
	if match == nil {
		t.Fatalf("scripts/tools.sh pins no %s", name)
	}
	program, err := filepath.Abs("../../bin/tools/" + name + "-" + match[1])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Skipf("NOT CHECKED: needs %s, which scripts/test.sh builds", program)
	}
	return program
}
