package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain runs the command when up starts this program again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := Run(ctx, Process{
			Args: os.Args[1:], Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Executable: os.Executable,
		})
		stop()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

type result struct {
	code           int
	stdout, stderr string
}

func try(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	code := Run(ctx, Process{
		Args: args, Stdout: &stdout, Stderr: &stderr, Getenv: func(string) string { return "" }, Executable: os.Executable,
	})
	return result{code, stdout.String(), stderr.String()}
}

// want runs the command and checks the exit code and a part of the output.
func want(t *testing.T, code int, part string, args ...string) result {
	t.Helper()
	got := try(t, args...)
	if got.code != code || !strings.Contains(got.stdout+got.stderr, part) {
		t.Errorf("localaws %s: got %d\n%s%swant %d with %q", strings.Join(args, " "), got.code, got.stdout, got.stderr, code, part)
	}
	return got
}

// newDir returns a directory; a server on it is stopped when the test ends.
func newDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	t.Cleanup(func() { want(t, 0, "", "down", "--dir", dir) })
	return dir
}

// TestEverySubcommand runs every subcommand once, as a user would.
func TestEverySubcommand(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	want(t, 1, "not up", "status", "--dir", dir)
	want(t, 1, "start it with localaws up", "env", "--dir", dir)
	want(t, 0, "not up", "down", "--dir", dir, "--purge")

	want(t, 0, "up at http://127.0.0.1:", "up", "--dir", dir, "--addr", "127.0.0.1:0", "--repository", "shop=IMMUTABLE")
	for range 2 { // the second names the key that exists
		want(t, 0, "already up", "up", "--dir", dir, "--key", "alias/evidence")
	}
	want(t, 2, "write it as alias/NAME", "up", "--dir", dir, "--key", "evidence")
	want(t, 0, "already up", "up", "--dir", dir, "--repository", "shop", "--repository", "team/app=IMMUTABLE_WITH_EXCLUSION:latest,dev-*")
	want(t, 0, "repositories: shop, team/app", "status", "--dir", dir)
	want(t, 1, "already up at", "up", "--dir", dir, "--addr", "127.0.0.1:1")

	var reported struct {
		State, Dir, URL string
		PID             int
		Repositories    []string
	}
	status := want(t, 0, "", "status", "--dir", dir, "--output", "json")
	if err := json.Unmarshal([]byte(status.stdout), &reported); err != nil {
		t.Fatalf("%v: %s", err, status.stdout)
	}
	if reported.State != "up" || reported.Dir != dir || reported.PID == 0 || !cmp.Equal(reported.Repositories, []string{"shop", "team/app"}) {
		t.Errorf("got status %+v", reported)
	}
	if session, err := sessionOf(reported.PID); err != nil || session != reported.PID {
		t.Errorf("the server is in session %d (%v), want its own (%d)", session, err, reported.PID)
	}
	exported := want(t, 0, "export AWS_ENDPOINT_URL_ECR='"+reported.URL+"'", "env", "--dir", dir)
	shell := exec.CommandContext(t.Context(), "/bin/sh", "-c", exported.stdout+`printf '%s' "$AWS_ENDPOINT_URL_STS $AWS_EC2_METADATA_DISABLED"`)
	if out, err := shell.CombinedOutput(); err != nil || string(out) != reported.URL+" true" {
		t.Errorf("a shell reads %q (%v), want %q", out, err, reported.URL+" true")
	}

	// Stopped and started again it has the same repositories; shop has its rule, although up named it without one.
	want(t, 0, "stopped", "down", "--dir", dir)
	want(t, 0, "not up", "down", "--dir", dir)
	want(t, 0, "up at", "up", "--dir", dir, "--addr", "127.0.0.1:0")
	want(t, 0, "repositories: shop, team/app", "status", "--dir", dir)
	kept, err := os.ReadFile(filepath.Join(dir, "repositories", "shop.json"))
	if err != nil || !strings.Contains(string(kept), `"IMMUTABLE"`) {
		t.Errorf("shop is %s (%v), want it immutable", kept, err)
	}

	keys, err := os.ReadFile(filepath.Join(dir, "kms.json"))
	if err != nil || strings.Count(string(keys), `"private"`) != 1 || !strings.Contains(string(keys), "alias/evidence") {
		t.Errorf("the keys are %d bytes (%v), want one named alias/evidence", len(keys), err)
	}

	want(t, 0, "deleted", "down", "--dir", dir, "--purge")
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("purging left the directory: %v", err)
	}
}

// sessionOf reads a process's session from its stat line (field 6).
func sessionOf(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	var state string
	var parent, group, session int
	_, err = fmt.Sscan(string(text[bytes.LastIndexByte(text, ')')+1:]), &state, &parent, &group, &session)
	return session, err
}

// TestConcurrentUpStartsOneServer starts several at once: one serves, all succeed.
func TestConcurrentUpStartsOneServer(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	results := make([]result, 4)
	var wait sync.WaitGroup
	for i := range results {
		wait.Go(func() { results[i] = try(t, "up", "--dir", dir, "--addr", "127.0.0.1:0") })
	}
	wait.Wait()
	started := 0
	for _, got := range results {
		if got.code != 0 {
			t.Errorf("got %d: %s", got.code, got.stderr)
		}
		if strings.HasPrefix(got.stdout, "up at") {
			started++
		}
	}
	if started != 1 {
		t.Errorf("%d servers were started, want 1: %+v", started, results)
	}
}

// TestKilled: up recognises a killed server and starts another with its state.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	want(t, 0, "up at", "up", "--dir", dir, "--addr", "127.0.0.1:0", "--repository", "shop")
	found, alive, err := readRunning(dir)
	if err != nil || !alive {
		t.Fatalf("got %+v, %t, %v", found, alive, err)
	}
	if err := kill(found.PID); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); found.alive(); {
		if time.Now().After(deadline) {
			t.Fatal("the killed server lives")
		}
		time.Sleep(time.Millisecond)
	}
	want(t, 1, "not up", "status", "--dir", dir)
	want(t, 0, "up at", "up", "--dir", dir, "--addr", "127.0.0.1:0")
	want(t, 0, "repositories: shop", "status", "--dir", dir)
}

// TestForeignProcess: a process with the id of an ended server gets no signal.
func TestForeignProcess(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	other := exec.CommandContext(t.Context(), "sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- other.Wait() }()
	if err := (running{PID: other.Process.Pid, Started: "an earlier boot 1", Address: "127.0.0.1:1"}).write(dir); err != nil {
		t.Fatal(err)
	}
	want(t, 0, "not up", "down", "--dir", dir)
	select {
	case err := <-ended:
		t.Errorf("the other process ended: %v", err)
	default:
	}
	if err := other.Process.Kill(); err != nil {
		t.Error(err)
	}
	<-ended
}

// TestPortTaken: up reports why the server did not start, from its log.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	want(t, 3, "address already in use", "up", "--dir", newDir(t), "--addr", listener.Addr().String())
}

func TestPurgeRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mine := filepath.Join(dir, "blobs", "mine")
	if err := os.MkdirAll(mine, 0o700); err != nil {
		t.Fatal(err)
	}
	want(t, 1, "has no state of a local AWS", "down", "--dir", dir, "--purge")
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("purging took what was not its own: %v", err)
	}

	used := newDir(t)
	want(t, 0, "up at", "up", "--dir", used, "--addr", "127.0.0.1:0")
	foreign := filepath.Join(used, "notes.txt")
	if err := os.WriteFile(foreign, []byte("keep me"), 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, 3, "not empty", "down", "--dir", used, "--purge")
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("purging took a foreign file: %v", err)
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "none")
	for _, test := range []struct {
		want string
		args []string
	}{
		{"give one subcommand", nil},
		{"give one subcommand", []string{"up", "down"}},
		{`"start" is not a subcommand`, []string{"start"}},
		{"unknown flag", []string{"up", "--what"}},
		{"not a flag of localaws down", []string{"down", "--dir", dir, "--addr", "127.0.0.1:1"}},
		{"not an address and a port", []string{"up", "--dir", dir, "--addr", "localhost:1"}},
		{"not a loopback address", []string{"up", "--dir", dir, "--addr", "0.0.0.0:1"}},
		{`"yaml" is not a form`, []string{"status", "--dir", dir, "--output", "yaml"}},
		{"no default without HOME", []string{"status"}},
		{"repositoryName", []string{"up", "--dir", dir, "--repository", "UPPER"}},
		{"imageTagMutability", []string{"up", "--dir", dir, "--repository", "shop="}},
		{"imageTagMutability", []string{"up", "--dir", dir, "--repository", "shop=NEVER"}},
		{"must not be empty", []string{"up", "--dir", dir, "--repository", "shop=IMMUTABLE_WITH_EXCLUSION"}},
	} {
		want(t, 2, test.want, test.args...)
	}
	got := try(t, "up", "--addr", "x", "--output", "y", "--repository", "Z")
	for _, part := range []string{"--addr", "--output", "--dir", "--repository"} {
		if !strings.Contains(got.stderr, part) {
			t.Errorf("%q is not among the problems:\n%s", part, got.stderr)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("bad input made the directory: %v", err)
	}
}

func TestDefaultDir(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ state, home, want string }{
		{"/state", "/home/me", "/state/onedigest/localaws"},
		{"", "/home/me", "/home/me/.local/state/onedigest/localaws"},
		{"relative", "/home/me", "/home/me/.local/state/onedigest/localaws"},
		{"", "", ""},
	} {
		got := defaultDir(func(name string) string {
			return map[string]string{"XDG_STATE_HOME": test.state, "HOME": test.home}[name]
		})
		if got != test.want {
			t.Errorf("with %+v got %q", test, got)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"help"}, {"up", "-h"}} {
		got := want(t, 0, "Examples:", args...)
		for subcommand := range accepts {
			if !strings.Contains(got.stdout, "localaws "+subcommand) {
				t.Errorf("the help does not tell of %q", subcommand)
			}
		}
	}
}
