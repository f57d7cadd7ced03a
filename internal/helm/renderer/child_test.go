package renderer

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// TestStartEarly: the first rendering is done by the child that was started early, and the others by children of their own.
func TestStartEarly(t *testing.T) {
	t.Parallel()
	early := child(t).StartEarly(t.Context())
	<-early.ready.started
	waited := early.ready.child
	chart := chartOf("shop", map[string]string{"a.yaml": "{{ .Release.Name }}"})
	for range 2 {
		files, err := early.Render(t.Context(), nil, chart, valuesOf(t, chart, nil))
		if err != nil || files["shop/templates/a.yaml"] != "shop" {
			t.Errorf("got %v, %v", files, err)
		}
		if waited.ProcessState == nil || !waited.ProcessState.Success() {
			t.Errorf("the child that was started early has not rendered: %v", waited.ProcessState)
		}
	}
	if unstarted := (Renderer{}).StartEarly(t.Context()); unstarted.ready != nil {
		t.Error("something was started without a command")
	}
}

// TestAChildWithoutWorkEnds with the context; a rendering after it starts one of its own.
func TestAChildWithoutWorkEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	early := child(t).StartEarly(ctx)
	<-early.ready.started
	unused := early.ready.child.Process
	cancel()
	for deadline := time.Now().Add(time.Minute); unused.Signal(syscall.Signal(0)) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the child waits although the context has ended")
		}
	}
	chart := chartOf("shop", map[string]string{"a.yaml": "x"})
	if _, err := early.Render(t.Context(), nil, chart, valuesOf(t, chart, nil)); err != nil {
		t.Error(err)
	}
}

// TestEarlyChildOfAKilledParent: the end of the parent closes the standard input of a child that waits, which ends then.
func TestEarlyChildOfAKilledParent(t *testing.T) {
	t.Parallel()
	waits, err := start(child(t).Command)
	if err != nil {
		t.Fatal(err)
	}
	if err := waits.in.Close(); err != nil {
		t.Fatal(err)
	}
	if _ = waits.Wait(); waits.ProcessState.ExitCode() != exitBroken {
		t.Errorf("the child ended with %v", waits.ProcessState)
	}
}

// TestEarlyChildThatCannotBeStarted: the rendering says why.
func TestEarlyChildThatCannotBeStarted(t *testing.T) {
	t.Parallel()
	chart := chartOf("shop", map[string]string{"a.yaml": "x"})
	if _, err := (Renderer{Command: []string{"/nonexistent"}}).StartEarly(t.Context()).Render(t.Context(), nil, chart, valuesOf(t, chart, nil)); err == nil {
		t.Error("rendered by nothing")
	}
}

// TestAnEarlyChildThatWasKilled: it has done nothing yet, so that a new one renders; if that is killed too, the error names the likely cause.
func TestAnEarlyChildThatWasKilled(t *testing.T) {
	t.Parallel()
	chart := chartOf("shop", map[string]string{"a.yaml": "{{ .Release.Name }}"})
	early := child(t).StartEarly(t.Context())
	<-early.ready.started
	if err := early.ready.child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	files, err := early.Render(t.Context(), nil, chart, valuesOf(t, chart, nil))
	if err != nil || files["shop/templates/a.yaml"] != "shop" {
		t.Errorf("got %v, %v", files, err)
	}
	starts := filepath.Join(t.TempDir(), "starts")
	dying := Renderer{Command: []string{"/bin/sh", "-c", "echo >>" + starts + "; kill -KILL $$"}}.StartEarly(t.Context())
	<-dying.ready.started
	_, err = dying.Render(t.Context(), nil, chart, valuesOf(t, chart, nil))
	if release.ExitCode(err) != release.ExitFault || !strings.Contains(err.Error(), "it was killed, which the system does if it has no memory left") || !strings.Contains(err.Error(), "give the job more memory") {
		t.Errorf("got %v", err)
	}
	if content, err := os.ReadFile(starts); err != nil || string(content) != "\n\n" {
		t.Errorf("it was started %d times, %v", len(content), err)
	}
}

// TestAnEarlyChildThatRefuses: what a child says of the chart is final.
func TestAnEarlyChildThatRefuses(t *testing.T) {
	t.Parallel()
	starts := filepath.Join(t.TempDir(), "starts")
	chart := chartOf("bomb", map[string]string{"a.yaml": "x"})
	refusing := Renderer{Command: []string{"/bin/sh", "-c", "echo >>" + starts + "; cat >/dev/null & exit 13"}}.StartEarly(t.Context())
	if _, err := refusing.Render(t.Context(), nil, chart, valuesOf(t, chart, nil)); release.ExitCode(err) != release.ExitInput {
		t.Errorf("got %v", err)
	}
	if content, err := os.ReadFile(starts); err != nil || string(content) != "\n" {
		t.Errorf("it was started %d times, %v", len(content), err)
	}
}
