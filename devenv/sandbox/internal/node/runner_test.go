package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

// startKeeper keeps a shell command running; its reports come on the channel.
func startKeeper(t *testing.T, script string, ready probe) (*runner, <-chan Report, <-chan error) {
	t.Helper()
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("NOT CHECKED: that components are kept running; there is no sh")
	}
	dir := place.Dir(t.TempDir())
	if err := os.Mkdir(dir.In("logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	reports := make(chan Report, 1000)
	k := newRunner(dir, component{name: "test", argv: []string{shell, "-c", script}, ready: ready}, func(r Report) { reports <- r })
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	done := make(chan struct{})
	go func() { defer close(done); ended <- k.run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return k, reports, ended
}

func next(t *testing.T, reports <-chan Report, state State, restarts int) Report {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case r := <-reports:
			if r.State == state && r.Restarts == restarts {
				return r
			}
		case <-timeout:
			t.Fatalf("no report of %s after %d restarts", state, restarts)
		}
	}
}

func atOnce(context.Context) error { return nil }

func TestAComponentThatEndsIsStartedAgain(t *testing.T) {
	t.Parallel()
	_, reports, _ := startKeeper(t, "exec sleep 300", atOnce)
	first := next(t, reports, Ready, 0)
	process, err := os.FindProcess(first.PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	if second := next(t, reports, Ready, 1); second.PID == first.PID {
		t.Error("it is the same process")
	}
}

func TestAComponentIsStoppedOnPurposeAndComesBack(t *testing.T) {
	t.Parallel()
	k, reports, _ := startKeeper(t, "exec sleep 300", atOnce)
	next(t, reports, Ready, 0)
	k.stops <- Order{Stop: "test", Seconds: 0.01}
	next(t, reports, Held, 0)
	next(t, reports, Ready, 1)
}

func TestAComponentThatKeepsEndingFails(t *testing.T) {
	t.Parallel()
	_, reports, ended := startKeeper(t, "exit 3", func(context.Context) error { return errors.New("never") })
	r := next(t, reports, Failed, maxExits-1)
	if !strings.Contains(r.Note, "exit status 3") {
		t.Errorf("the report says %q", r.Note)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("it ended with %v", err)
	}
}

func TestAwaitSaysWhatWasAnsweredLast(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("not ready in time"))
	defer cancel()
	err := waitReady(ctx, func(context.Context) error { return errors.New("still loading") })
	if err == nil || !strings.Contains(err.Error(), "not ready in time") || !strings.Contains(err.Error(), "still loading") {
		t.Errorf("got %v", err)
	}
}

func TestOrders(t *testing.T) {
	t.Parallel()
	in, out := io.Pipe()
	orders := readOrders(in)
	go func() {
		fmt.Fprintln(out, "nonsense")                         //nolint:errcheck // a pipe's
		fmt.Fprintln(out, `{"stop":"kubelet","seconds":1.5}`) //nolint:errcheck // a pipe's
		out.Close()                                           //nolint:errcheck,gosec // a pipe's
	}()
	if got := <-orders; got != (Order{Stop: "kubelet", Seconds: 1.5}) {
		t.Errorf("read %+v", got)
	}
	if _, more := <-orders; more {
		t.Error("there are orders after the end")
	}
}

// TestNothingIsWrittenOutside holds every path of the components' arguments to the sandbox's directory and the system's
// programs.
func TestNothingIsWrittenOutside(t *testing.T) {
	t.Parallel()
	dir := place.Dir("/sandbox")
	for _, c := range []component{
		etcd(dir, "/bin/kube"), containerd(dir), apiserver(dir, place.Settings{Kube: "/bin/kube"}), controllers(dir, "/bin/kube"),
		scheduler(dir, "/bin/kube"), proxy(dir, "/bin/kube"), kubelet(dir, place.Settings{Kube: "/bin/kube", ECRLogin: "/bin/login/ecrlogin"}),
	} {
		for _, argument := range c.argv[1:] {
			value := argument[strings.Index(argument, "=")+1:]
			if filepath.IsAbs(value) && !strings.HasPrefix(value, "/sandbox/") && value != "/bin/login" {
				t.Errorf("%s gets %q", c.name, argument)
			}
		}
	}
}
